"""What one should know of an image, and of a model that looks at it, before believing a result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathogan.mammograms.mammogram import USER, Mammogram
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_pathogan.engine.models import ModelCard


def notes_of(image: Image, card: ModelCard | None = None) -> list[str]:
    """What the image's file, or its reader, says that one should know, and whether a model has learnt from it."""
    slide, mammogram = image.metadata.get("slide"), image.metadata.get("mammogram")
    notes: list[str] = []
    if isinstance(slide, Slide):
        notes += slide.notes
        if slide.mpp_source.startswith(USER):
            notes.append("Its scale was given by hand")
    if isinstance(mammogram, Mammogram):
        notes += mammogram.notes
    if card is not None and card.knows({image.name, Path(image.name).name.split(".")[0]}):
        notes.append(
            f"An image of this name was among those that {card.name} has learnt from: what it "
            "finds here is better than elsewhere"
        )
    return notes
