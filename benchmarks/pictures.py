"""The pictures of README and docs, from real use of the samples: a window, its menus and its buttons.

    xvfb-run -a -s "-screen 0 1920x1200x24" python benchmarks/pictures.py         # all
    xvfb-run -a -s "-screen 0 1920x1200x24" python benchmarks/pictures.py masses  # some

Each in a napari of its own (``tests/desk/desk.py``), with models and settings as they come. ``demo.png`` is
what ``make demo`` shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
TESTS, IMAGES = ROOT / "tests", ROOT / "docs" / "images"
SIZE = 1600, 1000
_PART = "PATHOGAN_PICTURE"  # what a process shows that this one has begun


def nuclei(desk: Any) -> None:  # noqa: ANN401
    """Nuclei of a class each, one of them chosen."""
    dock = ready(desk, "Nuclei", "H&E phantom at 40x")
    run(desk, dock)
    desk.viewer.scene.camera.zoom *= 2


def masses(desk: Any) -> None:  # noqa: ANN401
    """Four views and what was found in them."""
    run(desk, ready(desk, "Mammogram masses", "Mammogram phantom study"))


def stain(desk: Any) -> None:  # noqa: ANN401
    """The same slide in other colours."""
    dock = ready(desk, "Stain transfer", "H&E phantom at 40x")
    run(desk, dock)
    beside(desk, dock, "Side by side")


def virtual_stain(desk: Any) -> None:  # noqa: ANN401
    """Four stains side by side, three of them virtual."""
    dock = ready(desk, "Virtual stains", "H&E phantom at 40x")
    dock.stain.setCurrentIndex(dock.stain.findText("H&E"))
    dock.stain.activated.emit(dock.stain.currentIndex())
    run(desk, dock)
    beside(desk, dock, "All side by side")


def beside(desk: Any, dock: Any, text: str) -> None:  # noqa: ANN401
    """Tick the box that lays views next to each other."""
    from qtpy.QtWidgets import QCheckBox  # noqa: PLC0415

    desk.press(next(one for one in dock.findChildren(QCheckBox) if one.text() == text))


def ready(desk: Any, title: str, sample: str) -> Any:  # noqa: ANN401
    """The dock and its image."""
    from napari_pathogan.plugin.shell.running import running  # noqa: PLC0415

    dock = desk.dock(title)
    desk.sample(sample)
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.wait(lambda: not running(), "the models to be ready")
    return dock


def run(desk: Any, dock: Any) -> None:  # noqa: ANN401
    """Press Run, and wait for the end."""
    desk.press(dock.form.run)
    desk.wait(lambda: dock.run is None, "the run")


PICTURES: dict[str, Callable[[Any], None]] = {
    one.__name__: one for one in (nuclei, masses, stain, virtual_stain)
}


def show(name: str) -> None:
    """Make one picture."""
    sys.path[:0] = [str(TESTS / "desk"), str(TESTS)]
    from PIL import Image  # noqa: PLC0415

    from desk import napari_of_its_own  # noqa: PLC0415

    with napari_of_its_own() as desk:
        desk.viewer.window.resize(*SIZE)
        desk.rest(1)
        PICTURES[name](desk)
        desk.rest(8)  # notifications go
        shown = desk.viewer.screenshot(canvas_only=False, flash=False)
        small = Image.fromarray(shown[..., :3]).quantize(256, dither=Image.Dither.NONE)
        small.save(IMAGES / f"{name}.png", optimize=True)
    os._exit(0)


def main() -> None:
    """Make those that are named, or all."""
    for name in sys.argv[1:] or PICTURES:
        with tempfile.TemporaryDirectory() as home:
            homes = {f"XDG_{one}_HOME": home for one in ("DATA", "CONFIG", "CACHE")}
            again = [sys.executable, __file__]
            subprocess.run(again, env=os.environ | homes | {_PART: name}, check=True)  # noqa: S603
        print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    if part := os.environ.get(_PART):
        show(part)
    else:
        main()
