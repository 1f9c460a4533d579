"""What one should know of an image, and of a model that looks at it, before believing a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.contents import learnt_from
from napari_pathogan.engine.events import Finished
from napari_pathogan.mammograms.mammogram import USER, Mammogram
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Image

    from napari_pathogan.engine.events import Event
    from napari_pathogan.engine.models import ModelCard


_DIGEST = "digest"  # in the metadata of an image: of what it shows, once it was asked for


def notes_of(image: Image, card: ModelCard | None = None) -> list[str]:
    """What the image's file, or its reader, says that one should know, and whether a model has learnt from it.

    That it has learnt from these pixels, whatever their name, is said once :func:`digesting` has found out.
    """
    slide, mammogram = image.metadata.get("slide"), image.metadata.get("mammogram")
    notes: list[str] = []
    if isinstance(slide, Slide):
        notes += [slide.synthetic] if slide.synthetic else []
        notes += slide.notes
        if slide.mpp_source.startswith(USER):
            notes.append("Its scale was given by hand")
    if isinstance(mammogram, Mammogram):
        notes += mammogram.notes
    if card is not None:
        known = learnt_from(card, image.name, image.metadata.get(_DIGEST, ""))
        notes += [known] if known else []
    return notes


def digest_is_missing(image: Image, card: ModelCard | None) -> bool:
    """Whether it is still to be found out if a model has learnt from an image."""
    return card is not None and card.tells_images and _DIGEST not in image.metadata


def digesting(shown: Slide | Mammogram) -> Iterator[Event]:
    """Look at pixels all over an image; finishes with its digest."""
    yield Finished(shown.imprint.digest)


def keep_digest(image: Image, digest: str) -> None:
    """Keep the digest of what an image shows."""
    image.metadata = {**image.metadata, _DIGEST: digest}
