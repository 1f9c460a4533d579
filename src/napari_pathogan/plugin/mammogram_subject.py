"""Mammograms, as docks speak of them."""

from __future__ import annotations

from napari_pathogan.plugin import commands
from napari_pathogan.plugin.mammogram_layers import is_mammogram
from napari_pathogan.plugin.subject import Subject

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
    needs_scale=False,
)
