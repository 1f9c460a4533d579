"""Sample data: File > Open Sample > PathoGAN."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

FOLDER = Path(str(resources.files("napari_pathogan.plugin") / "sample_data"))
PHANTOM = "he_phantom.ome.tif"
PHANTOM_40X = "he_phantom_40x.ome.tif"
PHANTOM_STUDY = "mammogram_phantom"


def he_phantom() -> list[tuple[Any, dict[str, Any], str]]:
    """An H&E-like slide drawn by a program, with IDC-like and healthy regions."""
    return _open(PHANTOM)


def he_phantom_40x() -> list[tuple[Any, dict[str, Any], str]]:
    """An H&E-like field at 40x drawn by a program, with nuclei of three kinds."""
    return _open(PHANTOM_40X)


def mammogram_phantom() -> list[tuple[Any, dict[str, Any], str]]:
    """Four mammograms drawn by a program, with masses in both breasts, as DICOM files."""
    return _open(PHANTOM_STUDY)


def ihc() -> list[tuple[Any, dict[str, Any], str]]:
    """Colon stained for FHL2 (DAB and haematoxylin) from scikit-image; its scale is not known."""
    from napari import current_viewer  # noqa: PLC0415  (slow to import)
    from skimage import data  # noqa: PLC0415

    from napari_pathogan.plugin.viewer.layers import prepare, slide_layer  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.use import begin  # noqa: PLC0415
    from napari_pathogan.slides.slide import Slide  # noqa: PLC0415

    image = data.immunohistochemistry()
    slide = Slide.from_arrays([image], name="IHC (scikit-image)")
    begin(viewer := current_viewer())
    if viewer is not None:
        prepare(viewer, [slide])
    return [slide_layer(slide, viewer)]


def _open(name: str) -> list[tuple[Any, dict[str, Any], str]]:
    from napari_pathogan.plugin.viewer.reader import read  # noqa: PLC0415  (slow to import)

    return read(str(FOLDER / name), ask=False)  # napari shows a traceback where a sample is left
