"""The colours of a slide, under the name that this room's models were made with."""

from __future__ import annotations

from napari_pathogan.slides.slide_colours import AXES, SlideColours

__all__ = ["AXES", "SlideColours"]
