"""Mammograms, as docks speak of them."""

from __future__ import annotations

from napari_pathogan.plugin.shell.pixel_size import PixelSize
from napari_pathogan.plugin.shell.subject import Subject
from napari_pathogan.plugin.viewer import commands
from napari_pathogan.plugin.viewer.mammogram_layers import (
    give_spacing,
    is_mammogram,
    recall_spacing,
    spacing_is_asked,
    spacing_of,
)

ALL_VIEWS, THIS_VIEW = "All views", "This view"

MAMMOGRAM = Subject(
    name="Image",
    tip="The mammogram to look at: any grey image that is open",
    part="Views",
    part_tip="Whether to look at this view, or at all mammograms that are open",
    parts=(ALL_VIEWS, THIS_VIEW),
    start="<b>Start with a mammogram</b><br>DICOM, PNG, PGM, TIFF; one view or a whole study",
    open="Open a mammogram…",
    open_tip="Choose one file, or all views of a study, on this computer",
    offers=is_mammogram,
    ask=commands.open_mammograms,
    show=commands.show_mammograms,
    pixel_size=PixelSize(
        unit="mm",
        unit_mm=1.0,
        example="0.07",
        tip="This file does not say how many millimetres a pixel spans, so sizes are in pixels. "
        "Typical: 0.05 to 0.1 for a digital mammogram at full size. It is remembered for this file.",
        usual=(0.02, 1.0),
        longest_mm=500.0,
        needed=False,
        size=spacing_of,
        asked=spacing_is_asked,
        give=give_spacing,
        recall=recall_spacing,
    ),
)
