"""What a machine has, what it lacks for this program, and the mend: ``pathogan doctor``."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib import import_module, metadata
from typing import TYPE_CHECKING

from napari_pathogan.engine.places import models_folders, own_models
from napari_pathogan.errors import PathoganError
from napari_pathogan.files import data_folder
from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

_PACKAGES = (
    *("napari", "npe2", "PyQt6", "PySide6", "PyQt5", "qtpy", "numpy", "scipy", "scikit-image"),
    *("torch", "torchvision", "timm", "tifffile", "imagecodecs", "zarr", "pydicom", "shapely"),
)
_OPTIONAL = {  # module -> what it brings, and the extra that has it
    "openslide": ("slides of scanners' own formats", "slides"),
    "wsidicom": ("DICOM slides that OpenSlide does not read", "slides"),
    "distributed": ("batches in several processes and on clusters", "cluster"),
    "highdicom": ("DICOM SR and GSPS of masses", "sr"),
    "obstore": ("slides at an address", "remote"),
    "anndata": ("nuclei as AnnData", "scverse"),
}
_CODECS = ("JPEG8", "JPEG2K", "JPEGXL", "JPEGLS", "ZSTD", "WEBP", "LERC")
_OPENGL = """
import sys
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
app = QGuiApplication([])
surface, context = QOffscreenSurface(), QOpenGLContext()
surface.create()
if not (context.create() and context.makeCurrent(surface)):
    sys.exit("no OpenGL context can be made")
from OpenGL import GL
print(GL.glGetString(GL.GL_RENDERER).decode(), GL.glGetString(GL.GL_VERSION).decode(), sep=", ")
"""
_SLOW_S = 60


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found.

    Attributes
    ----------
    facts
        Name -> what there is.
    faults
        What is wrong, each a sentence with its mend.
    """

    facts: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The report, a line each; faults last."""
        wide = max(map(len, self.facts))
        lines = [f"{name:{wide}}  {said}" for name, said in self.facts.items()]
        return "\n".join([*lines, "", *(self.faults or ["Nothing is wrong."])])


def check_up(*, display: bool = True) -> Checkup:
    """Look at versions, devices, codecs, OpenGL and folders.

    Parameters
    ----------
    display
        Whether OpenGL is tried, in a process of its own.
    """
    found = Checkup()
    found.facts["napari-pathogan"] = __version__
    found.facts["Python"] = f"{platform.python_version()} ({sys.executable})"
    found.facts["System"] = f"{platform.platform()}, {os.cpu_count()} cores{_memory()}"
    for name in _PACKAGES:
        if version := _version(name):
            found.facts[name] = version
    if not any(_version(name) for name in ("PyQt6", "PySide6", "PyQt5")):
        found.faults.append("napari has no Qt: uv pip install 'napari-pathogan[all]'")
    for module, (what, extra) in _OPTIONAL.items():
        there = _imports(module)
        found.facts[module] = "there" if not there else f"missing: {what} need it"
        if there and _installed(module):
            found.faults.append(f"{module} can't be imported ({there}): install it again")
        elif there:
            found.facts[module] += f" (uv pip install 'napari-pathogan[{extra}]')"
    for look in (_look_at_torch, _look_at_codecs, _look_at_folders):
        look(found)
    if display:
        _look_at_opengl(found)
    return found


def _look_at_torch(found: Checkup) -> None:
    try:
        import torch  # noqa: PLC0415  (slow, and may fail: that is looked at)

        from napari_pathogan.engine.devices import check_torchvision, choose_device  # noqa: PLC0415

        check_torchvision()
    except PathoganError as error:
        found.faults.append(str(error))
        return
    except (ImportError, OSError) as error:
        found.faults.append(
            f"torch can't be imported ({error}): install torch and torchvision again"
        )
        return
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    gpus += ["Apple GPU"] if torch.backends.mps.is_available() else []
    device = choose_device()
    found.facts["GPU"] = ", ".join(gpus) or "none: models run on the CPU"
    found.facts["Models run on"] = f"{device}, {torch.get_num_threads()} threads"


def _look_at_codecs(found: Checkup) -> None:
    try:
        import imagecodecs  # noqa: PLC0415  (slow)
    except (ImportError, OSError) as error:
        found.faults.append(f"imagecodecs can't be imported ({error}): install it again")
        return
    missing = [name for name in _CODECS if not _has(imagecodecs, name)]
    found.facts["Codecs"] = ", ".join(name for name in _CODECS if name not in missing)
    if missing:
        found.faults.append(
            f"imagecodecs lacks {', '.join(missing)}: slides packed so can't be read"
        )


def _look_at_folders(found: Checkup) -> None:
    from napari_pathogan.engine.features import user_folder  # noqa: PLC0415  (imports torch)

    places = {"Data": data_folder(), "Models": (models_folders() or (own_models(),))[-1]}
    if (features := user_folder()) is not None:
        places["Features"] = features
    for name, place in places.items():
        found.facts[f"{name} folder"] = f"{place}{'' if place.is_dir() else ' (not there yet)'}"
        if why := _unwritable(place):
            found.faults.append(f"nothing can be written to {place}: {why}")


def _look_at_opengl(found: Checkup) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - this Python
            [sys.executable, "-c", _OPENGL],
            capture_output=True,
            text=True,
            timeout=_SLOW_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        found.faults.append(f"OpenGL could not be tried: {error}")
        return
    if done.returncode == 0:
        found.facts["OpenGL"] = done.stdout.strip().splitlines()[-1]
    else:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no word about it"]
        found.faults.append(
            f"napari's canvas needs OpenGL and a display, and there is none ({said[-1].strip()}): start it "
            "on a desktop, or under xvfb-run; the command line needs neither"
        )


def _has(codecs: ModuleType, name: str) -> bool:
    return bool(getattr(getattr(codecs, name, None), "available", False))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _installed(module: str) -> bool:
    return module in metadata.packages_distributions()


def _imports(module: str) -> str:
    """Why a module can't be imported; empty if it can."""
    try:
        import_module(module)
    except (ImportError, OSError) as error:
        return str(error) or type(error).__name__
    return ""


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return ""
    return f", {size / 2**30:.0f} GB"


def _unwritable(place: Path) -> str:
    there = next(_there(place))
    try:
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _there(place: Path) -> Iterator[Path]:
    """The folder, or the nearest around it, that is there."""
    yield from (folder for folder in (place, *place.parents) if folder.is_dir())
