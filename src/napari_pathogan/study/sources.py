"""Where a study's images come from: folders, slides, generators; drawn by seed, one at a time."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_pathogan.engine.events import Event, Progress
from napari_pathogan.errors import SlideFormatError, StudyError, UnknownScaleError
from napari_pathogan.slides.backends import SUFFIXES
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.tissue import tissue_mask
from napari_pathogan.study.pictures import SUFFIXES as PICTURES
from napari_pathogan.study.pictures import read_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.study.config import ImageSettings, Source

_MOST = 5000  # files of a folder that are looked at
_BATCH = 16  # generated images between two events
_TISSUE = 0.75  # least share of a patch that is tissue
_SLIDES = {*SUFFIXES, ".zarr"}


class Draw(Protocol):
    """Makes images with a generator; ``napari_pathogan.synthetic.generate`` is one."""

    def __call__(
        self, name: str, n: int, *, label: str | None, seed: int, **of: np.ndarray
    ) -> np.ndarray:
        """Make uint8 (n, H, W, 3); ``of`` are images to paint over, where there are some."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image that was found or made.

    Attributes
    ----------
    origin
        Which file, place on a slide, or generator, label and seed.
    image
        uint8 (H, W, 3), or None where it can't be read.
    problem
        Why not.
    """

    source: Source
    origin: str
    image: np.ndarray | None
    problem: str = ""


def pictures(
    source: Source, wanted: int, settings: ImageSettings, draw: Draw | None, seed: int
) -> Iterator[Event | Picture]:
    """Give a source's images in an order drawn by ``seed``: more than wanted where there are more.

    Yields
    ------
    Event | Picture
        Progress, and one picture for each file, place or generated image.

    Raises
    ------
    StudyError
        If the folder is missing or empty, or there is no ``draw`` for a generator.
    """
    rng = np.random.default_rng(seed)
    spare = wanted + max(4, wanted // 5)
    if source.folder is not None:
        yield from _from_folder(source, source.folder, rng)
    elif source.slides is not None:
        yield from _from_slides(source, source.slides, spare, settings, rng)
    elif draw is None:
        msg = f"{source.name}: no generators are at hand; give a folder of generated images"
        raise StudyError(msg)
    elif source.of is not None:
        yield from _painted(source, source.of, draw, rng)
    else:
        yield from _generated(source, spare, draw, seed)


def _from_folder(
    source: Source, folder: Path, rng: np.random.Generator
) -> Iterator[Event | Picture]:
    if not folder.is_dir():
        msg = f"{folder} is not a folder; give one with images inside"
        raise StudyError(msg)
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
    if not files:
        msg = f"{folder} holds no images ({', '.join(sorted(PICTURES))})"
        raise StudyError(msg)
    looked_at = rng.permutation(len(files))[:_MOST]
    for done, index in enumerate(looked_at):
        yield Progress(done, len(looked_at), f"looking at {source.name}")
        path = files[index]
        try:
            yield Picture(source, str(path), read_image(path))
        except ValueError as error:
            yield Picture(source, str(path), None, str(error))


def _generated(source: Source, n: int, draw: Draw, seed: int) -> Iterator[Event | Picture]:
    name = source.generator or ""
    for start in range(0, n, _BATCH):
        yield Progress(start, n, f"generating {source.name}")
        part = seed + start // _BATCH
        images = draw(name, min(_BATCH, n - start), label=source.label, seed=part)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            msg = f"{source.name} gave {images.dtype} {images.shape}, not 8-bit RGB images"
            raise StudyError(msg)
        for i, image in enumerate(images):
            yield Picture(source, f"{source.name}, seed {part}, image {i}", image)


def _painted(
    source: Source, folder: Path, draw: Draw, rng: np.random.Generator
) -> Iterator[Event | Picture]:
    """Each image of a folder painted over."""
    for found in _from_folder(source, folder, rng):
        if not isinstance(found, Picture) or found.image is None:
            yield found
            continue
        image = draw(source.generator or "", 1, label=source.label, seed=0, of=found.image[None])[0]
        yield Picture(source, f"{source.name}, of {found.origin}", image)


def _from_slides(
    source: Source, path: Path, n: int, settings: ImageSettings, rng: np.random.Generator
) -> Iterator[Event | Picture]:
    files = _slide_files(path)
    with ExitStack() as stack:
        places: list[list[tuple[Slide, tuple[float, float]]]] = []
        for done, file in enumerate(files):
            yield Progress(done, len(files), f"finding tissue on {file.name}")
            try:
                slide = stack.enter_context(Slide.open(file))
                if slide.mpp is None and source.slide_mpp is not None:
                    slide = slide.with_mpp(source.slide_mpp)
                places.append(_places(slide, settings, rng))
            except (SlideFormatError, UnknownScaleError) as error:
                yield Picture(source, str(file), None, str(error))
        turns = max(map(len, places), default=0)
        # slides take turns, so that each gives about as many
        chosen = [own[turn] for turn in range(turns) for own in places if turn < len(own)][:n]
        for done, (slide, origin) in enumerate(chosen):
            yield Progress(done, len(chosen), f"reading {slide.name}")
            step, size = _step(slide, settings), settings.size_px or 0
            image = slide.resampled(origin, step, (size, size))
            where = f"{slide.path}, x {origin[1]:.0f}, y {origin[0]:.0f}"
            if not slide.is_rgb:
                image = np.repeat(_eight_bit(image)[..., None], 3, axis=2)
            yield Picture(source, where, image)


def _eight_bit(image: np.ndarray) -> np.ndarray:
    """Grey as uint8 (H, W); deep grey by its upper byte, all slides alike."""
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


def _slide_files(path: Path) -> list[Path]:
    if not path.exists():
        msg = f"{path} does not exist; give a slide or a folder of slides"
        raise StudyError(msg)
    if path.is_file() or path.suffix.lower() == ".zarr":
        return [path]
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in _SLIDES)
    if not files:
        msg = f"{path} holds no slides"
        raise StudyError(msg)
    return files


def _step(slide: Slide, settings: ImageSettings) -> tuple[float, float]:
    """Level-0 pixels per pixel of a patch (y, x)."""
    if slide.mpp is None:
        msg = f"{slide.name} does not say how large its pixels are; give it as slide_mpp"
        raise UnknownScaleError(msg)
    mpp = settings.mpp or 0.0
    return mpp / slide.mpp[0], mpp / slide.mpp[1]


def _places(
    slide: Slide, settings: ImageSettings, rng: np.random.Generator
) -> list[tuple[Slide, tuple[float, float]]]:
    """Corners of patches on tissue that do not overlap, shuffled."""
    step, size = _step(slide, settings), settings.size_px or 0
    tile = (step[0] * size, step[1] * size)
    shape = (int(slide.shape[0] // tile[0]), int(slide.shape[1] // tile[1]))
    if not all(shape):
        return []
    cover = tissue_mask(slide).coverage((0.0, 0.0), tile, shape)
    cells = np.argwhere(cover >= _TISSUE)
    return [(slide, (r * tile[0], c * tile[1])) for r, c in rng.permutation(cells).tolist()]
