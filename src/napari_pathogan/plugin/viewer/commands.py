"""What PathoGAN adds to napari's menus besides docks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari  # noqa: TC002  (napari resolves the annotations to pass its viewer)
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtWidgets import QApplication

from napari_pathogan.errors import PathoganError
from napari_pathogan.mammograms.study import examinations
from napari_pathogan.plugin.viewer.arriving import come_nearer
from napari_pathogan.plugin.viewer.asking import (
    MAMMOGRAMS,
    SLIDES,
    ask_address,
    ask_file,
    ask_files,
)
from napari_pathogan.plugin.viewer.layers import fit, is_slide, place_level0
from napari_pathogan.plugin.viewer.lines import SteadyEdges
from napari_pathogan.plugin.viewer.mammogram_choice import chosen
from napari_pathogan.plugin.viewer.mammogram_layers import prepare_mammograms, study_layers
from napari_pathogan.plugin.viewer.reader import SUFFIXES, read
from napari_pathogan.plugin.viewer.use import begin

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image, Shapes


def open_slide(viewer: napari.Viewer) -> None:
    """Ask for a slide and open it; a plain PNG or JPEG too. Fits the view to it."""
    begin(viewer)
    kinds = " ".join(f"*{suffix}" for suffix in SUFFIXES if suffix != ".zarr")
    filters = f"Slides ({kinds} zarr.json .zattrs);;All files (*)"
    path = ask_file(QApplication.activeWindow(), "Open a slide", filters, SLIDES)
    if path is not None:
        show_slide(viewer, path)


def open_address(viewer: napari.Viewer) -> None:
    """Ask for the address of a slide and open it, once its beginning has come over the network."""
    begin(viewer)
    place = ask_address(QApplication.activeWindow())
    if place is not None:
        come_nearer(place, lambda: show_slide(viewer, place))


def show_slide(viewer: napari.Viewer, path: Path) -> None:
    """Open a slide as a layer; an error becomes a notification. For OME-Zarr, any file inside."""
    if path.name in {"zarr.json", ".zattrs"}:
        path = path.parent
    try:
        layers = read(str(path))
    except PathoganError as error:
        show_error(str(error))
        return
    for data, kwargs, _ in layers:
        viewer.add_image(data, **kwargs)


def open_mammograms(viewer: napari.Viewer) -> None:
    """Ask for the mammograms of a study, one file or several, and hang them."""
    begin(viewer)
    kinds = "Mammograms (*.dcm *.dicom *.png *.pgm *.tif *.tiff);;All files (*)"
    paths = ask_files(QApplication.activeWindow(), "Open mammograms", kinds, MAMMOGRAMS)
    if paths:
        show_mammograms(viewer, *paths)


def show_mammograms(viewer: napari.Viewer, *paths: Path) -> None:
    """Hang mammograms, or folders of studies; an error becomes a notification.

    Where they are of several examinations, the user chooses.
    """
    try:
        studies = [one.open() for one in chosen(examinations(paths))]
    except PathoganError as error:
        show_error(str(error))
        return
    if not studies:
        return
    for line in (line for study in studies for line in study.skipped):
        show_warning(line)
    prepare_mammograms(viewer, [view for study in studies for view in study.views])
    for data, kwargs, _ in study_layers(*studies, viewer=viewer):
        viewer.add_image(data, **kwargs)


def new_regions(viewer: napari.Viewer) -> Shapes | None:
    """Add a Shapes layer that lies on the slide, ready to draw polygons."""
    begin(viewer)
    slide = _slide(viewer)
    if slide is None:
        return None
    regions = viewer.add_shapes(
        name=f"Regions ({slide.name})",
        ndim=2,
        edge_color="#ffd400",
        face_color="#ffd40020",
        **place_level0(slide),
    )
    SteadyEdges(viewer, regions)
    regions.mode = "add_polygon"
    return regions


def toggle_scale_bar(viewer: napari.Viewer) -> None:
    """Show or hide the scale bar."""
    begin(viewer)
    bar = viewer.canvas.overlays.scale_bar
    bar.visible = not bar.visible


def fit_slide(viewer: napari.Viewer) -> None:
    """Bring the whole slide into view."""
    begin(viewer)
    if (slide := _slide(viewer)) is not None:
        fit(viewer, [slide])


def _slide(viewer: napari.Viewer) -> Image | None:
    """Return the selected slide, or the topmost one; says so when there is none."""
    slides = [layer for layer in viewer.layers if is_slide(layer)]
    chosen = [layer for layer in slides if layer in viewer.layers.selection]
    if not slides:
        show_info("Open a slide first: File > Open Sample > PathoGAN has one to try.")
        return None
    return (chosen or slides)[-1]
