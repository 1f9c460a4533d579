"""Which images a model learns from, by what they show: files are renamed and copied, pixels stay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Progress
from napari_pathogan.errors import PathoganError
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.mammograms.views import is_dicom
from napari_pathogan.slides.backends import SUFFIXES
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from napari_pathogan.engine.models import ModelCard, TrainingData

MOST = 2000  # more images are patches of others, which nobody opens
_SAID_FROM = 20  # so many take a moment


def images_below(folder: Path) -> list[Path]:
    """The files of a folder that may be images, also in folders below; a file by itself."""
    if folder.is_file():
        return [folder]
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )


def noted(data: TrainingData, files: Sequence[Path]) -> Generator[Event, None, TrainingData]:
    """Add digests of images to what a card says of them; returns it. Nothing is added of more than :data:`MOST`.

    What is no image by itself (a mask in a format of its own, a damaged file) is passed over: the training
    says what it leaves out.
    """
    if len(files) > MOST:
        return data
    found = set()
    for number, path in enumerate(files):
        if len(files) >= _SAID_FROM:
            yield Progress(number, len(files), f"noting what is learnt from: {path.name}")
        try:
            found.add(digest_of(path))
        except PathoganError:
            continue
    return with_images(data, found)


def with_images(data: TrainingData, digests: Iterable[str]) -> TrainingData:
    """What a card says of images, with some more digests."""
    known = tuple(sorted({*data.images, *digests} - {""}))
    return data.model_copy(update={"images": known})


def digest_of(path: Path) -> str:
    """The digest of what a file shows, as docks and commands open it.

    Raises
    ------
    PathoganError
        If it can't be opened.
    """
    if is_dicom(path):
        try:
            return open_mammogram(path).imprint.digest
        except PathoganError:
            pass  # a slide
    with Slide.open(path) as slide:
        if slide.is_rgb:
            return slide.imprint.digest
    return open_mammogram(path).imprint.digest


def learnt_from(card: ModelCard, name: str, digest: str) -> str:
    """What is to be said of an image if a model has learnt from it, or from one of its name; "" if not."""
    if card.has_seen(digest):
        return too_well(card, "This image")
    if card.knows({name, Path(name).name.split(".")[0]}):
        return (
            f"An image of this name was among those that {card.name} has learnt from: what it "
            "finds here is better than elsewhere"
        )
    return ""


def too_well(card: ModelCard, image: str) -> str:
    """What is to be said of an image, by its name, that a model has learnt from."""
    return (
        f"{image} is among the images that {card.name} has learnt from: what it finds here is better "
        "than elsewhere"
    )
