"""A transferred slide to look at: the student's colours at once, the network's as they come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_pathogan.engine.live import LiveView
from napari_pathogan.tasks.stain.levels import levels_by_network, transferred
from napari_pathogan.tasks.stain.predict import Method, Transfer

if TYPE_CHECKING:
    from napari_pathogan.slides.slide import Slide


def live(slide: Slide, fine: Slide, transfer: Transfer) -> LiveView:
    """A slide in a style's colours, of ``transferred(slide, transfer)``, to look at."""
    fast = transferred(slide, replace(transfer, method=Method.lut, model=None))
    return LiveView(fine, fast, levels_by_network(slide, transfer))
