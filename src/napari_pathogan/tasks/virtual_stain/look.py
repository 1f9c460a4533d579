"""A slide in a virtual stain, to look at: as it is painted, at a first look, and how doubtful it is.

Instance normalisation over a tile makes neighbours disagree. So the statistics of every layer are
measured once, on tiles all over the slide's tissue taken together, and kept for the whole slide:
a pixel then depends on what is around it alone, not on the tile that it falls into.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.colour.lab import glass_share
from napari_pathogan.colour.stained import (
    SAMPLE_PX,
    mirrored,
    need_colours,
    tissue_or_field,
    tissue_tiles,
)
from napari_pathogan.engine.events import Event, Finished, Progress, Tile
from napari_pathogan.engine.live import LiveView
from napari_pathogan.errors import PathoganError, UnknownScaleError
from napari_pathogan.slides.computed import SAME, ComputedLevel, GridLevel, computed_slide
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.slides.names import marked, virtually_stained
from napari_pathogan.slides.tissue import tissue_mask
from napari_pathogan.tasks.virtual_stain.network import MARGIN, STRIDE
from napari_pathogan.tasks.virtual_stain.seams import SlideNorm
from napari_pathogan.tasks.virtual_stain.stains import virtual_title
from napari_pathogan.tasks.virtual_stain.student import distil
from napari_pathogan.tasks.virtual_stain.trust import CELL_PX, TrustMap, doubts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_pathogan.colour.lut import Lut
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel

    Pair = tuple[float, float]
    Tiles = dict[float | None, list[np.ndarray]]  # um per pixel -> what :func:`slide_tiles` reads

TILES = 4  # that a slide's statistics and its student are of: more keep the first look waiting
_LEAST_PX = 70  # sides of a slide at the model's scale: what the discriminator judges at once
_GLASS = 0.9  # share of a cell from which on it is glass, which keeps its pixels: there is nothing to doubt
_BLOCK = 32  # cells of a doubt map that are computed at once, along a side


class PairScaleError(PathoganError, ValueError):
    """A slide's pixels are too coarse for a pair of stains, or it is smaller than a patch."""


@dataclass(frozen=True, eq=False)
class Painting:
    """How one slide is carried to a virtual stain.

    Attributes
    ----------
    slide, stain
        The slide as it is, and the stain that it has.
    model
        The pair of stains.
    norm
        The slide's statistics in the generator.
    tiles
        Those that were measured, in the virtual stain: uint8 (N, H, W, 3).
    student, student_error
        The first look, and its mean distance from the generator on tiles of this slide (Lab units).
    """

    slide: Slide
    stain: str
    model: VirtualStainModel
    norm: SlideNorm
    tiles: np.ndarray
    student: Lut
    student_error: float

    @classmethod
    def of(
        cls, slide: Slide, model: VirtualStainModel, stain: str, known: Tiles | None = None
    ) -> Painting:
        """Measure a slide once.

        Parameters
        ----------
        known
            Tiles of the slide that other paintings of it have been measured on; takes what is read.

        Raises
        ------
        SlideFormatError
            If the slide is grey.
        UnknownScaleError, PairScaleError
            If nobody knows its scale and the model has one, if it is too coarse for the model, or
            smaller than a patch.
        SourceStainError
            If the model takes no images of this stain.
        NoTissueError
            If it has no tissue.
        """
        model.target_of(stain)
        need_colours(slide)
        check_scale(slide, model)
        known = {} if known is None else known
        if model.mpp not in known:
            known[model.mpp] = slide_tiles(slide, model.mpp)
        tiles = known[model.mpp]
        norm = SlideNorm()
        made = model.paint(np.stack(tiles), stain, norm.measured)
        return cls(slide, stain, model, norm, made, *distil(tiles, list(made)))

    @property
    def target(self) -> str:
        """The stain that it is carried to."""
        return self.model.target_of(self.stain)

    @property
    def title(self) -> str:
        """``virtual PAS``."""
        return virtual_title(self.target)

    @property
    def step(self) -> Pair:
        """Level-0 pixels to one of the model's (y, x)."""
        if self.model.mpp is None or self.slide.mpp is None:
            return 1.0, 1.0
        y, x = self.slide.mpp
        return self.model.mpp / y, self.model.mpp / x

    def paint(self, image: np.ndarray) -> np.ndarray:
        """Paint a part of the slide, uint8 (H, W, 3) of the model's pixels."""
        return self.model.paint(image, self.stain, self.norm)

    def back(self, image: np.ndarray) -> np.ndarray:
        """Carry what was painted back to the slide's own stain."""
        return self.model.paint(image, self.target, self._norm_back)

    @cached_property
    def _norm_back(self) -> SlideNorm:
        norm = SlideNorm()
        self.model.paint(self.tiles, self.target, norm.measured)
        return norm


def paintings(slide: Slide, models: Sequence[VirtualStainModel], stain: str) -> Iterator[Painting]:
    """A painting by each model, one after the other; what they share of the slide is read once."""
    known: Tiles = {}
    for model in models:
        yield Painting.of(slide, model, stain, known)


def check_scale(slide: Slide, model: VirtualStainModel) -> None:
    """Refuse a slide that a pair of stains can't look at; as :meth:`Painting.of`."""
    shape: tuple[float, float] = slide.shape
    if model.mpp is not None:
        if slide.mpp is None:
            msg = (
                f"{slide.name} does not say how large its pixels are, and {model.card.name} was trained "
                f"at {model.mpp:g} um; give the slide's um per pixel"
            )
            raise UnknownScaleError(msg)
        if max(slide.mpp) > model.mpp * SAME:
            msg = (
                f"{slide.name} has {max(slide.mpp):.3g} um per pixel, too coarse for {model.card.name}, "
                f"trained at {model.mpp:g} um; open a finer scan"
            )
            raise PairScaleError(msg)
        shape = slide.shape[0] * slide.mpp[0] / model.mpp, slide.shape[1] * slide.mpp[1] / model.mpp
    if min(shape) < _LEAST_PX:
        msg = (
            f"{slide.name} has {shape[1]:.0f} x {shape[0]:.0f} px at the scale of {model.card.name}, "
            f"smaller than a patch of {_LEAST_PX} x {_LEAST_PX} px: too little to paint from"
        )
        raise PairScaleError(msg)


def slide_tiles(slide: Slide, mpp: float | None) -> list[np.ndarray]:
    """Up to 4 tiles spread over a slide's tissue, uint8 (256, 256, 3) of ``mpp``.

    Raises
    ------
    NoTissueError, SlideFormatError
        If it has no tissue, or is grey.
    """
    mask = tissue_or_field(slide, tissue_mask(slide))
    return tissue_tiles(slide, mpp, SAMPLE_PX, mask=mask, most=TILES)


class _Painted(ComputedLevel):
    """A level that a generator paints, on the model's own grid of pixels."""

    def __init__(self, painting: Painting, step: Pair, shape: tuple[int, int]) -> None:
        super().__init__(painting.slide, step, shape)
        self.painting = painting
        ratio = step[0] / painting.step[0], step[1] / painting.step[1]
        self.grid = GridLevel(ratio, MARGIN, STRIDE)

    def part(self, start: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Paint a part of the level."""
        step = self.step[0] / self.grid.ratio[0], self.step[1] / self.grid.ratio[1]

        def make(first: tuple[int, int], count: tuple[int, int]) -> np.ndarray:
            return self.painting.paint(mirrored(self.slide, step, first, count))

        return self.grid.part(start, shape, make)


class _FirstLook(ComputedLevel):
    """A level as the student has it."""

    def __init__(self, painting: Painting, step: Pair, shape: tuple[int, int]) -> None:
        super().__init__(painting.slide, step, shape)
        self.student = painting.student

    def part(self, start: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Look up a part of the level."""
        origin = start[0] * self.step[0], start[1] * self.step[1]
        return self.student(self.slide.resampled(origin, self.step, shape, parallel=False))


def painted(painting: Painting) -> Slide:
    """The slide in its virtual stain: of the same size and scale, painted where it is read.

    Levels coarser than the model's pixels by more than half are the student's: the generator was
    not taught such a scale.
    """
    return _slide(painting, by_generator(painting))


def by_generator(painting: Painting) -> tuple[bool, ...]:
    """Which levels of a painted slide are the generator's; the others are the student's."""
    own = painting.step
    return tuple(max(y / own[0], x / own[1]) <= SAME for y, x in painting.slide.downsamples)


def live(painting: Painting) -> LiveView:
    """The slide in its virtual stain: the student's tiles at once, the generator's as they come."""
    which = by_generator(painting)
    return LiveView(painted(painting), _slide(painting, (False,) * len(which)), which)


def _slide(painting: Painting, which: tuple[bool, ...]) -> Slide:
    slide = painting.slide
    levels = [
        (_Painted if generated else _FirstLook)(painting, step, (level.shape[0], level.shape[1]))
        for level, step, generated in zip(slide.levels, slide.downsamples, which, strict=True)
    ]
    title = virtually_stained(slide.name, painting.title)
    made = computed_slide(slide, levels, marked(title))
    made.metadata |= {
        "synthetic": True,
        "virtual_stain": painting.target,
        "virtual_stain_title": painting.title,
        "source_stain": painting.stain,
        "virtual_stain_model": painting.model.card.name,
        "virtual_stain_sha256": painting.model.card.sha256,
        "virtual_stain_slide": slide.name,
        "virtual_stain_imprint": str(slide.imprint),
    }
    return made


def doubt_map(painting: Painting, region: Region, which: TrustMap) -> Iterator[Event]:
    """Compute how doubtful the virtual stain of a region is.

    Yields
    ------
    Tile after each block, Progress, and Finished with an :class:`~.geometry.Overlay` of cells of
    8 x 8 px of the model: float32, NaN on glass and where the block has not been computed.
    """
    step = painting.step
    cell = CELL_PX * step[0], CELL_PX * step[1]
    first = math.floor(region.y / cell[0]), math.floor(region.x / cell[1])
    last = math.ceil(region.bottom / cell[0]), math.ceil(region.right / cell[1])
    shape = max(1, last[0] - first[0]), max(1, last[1] - first[1])
    cells = np.full(shape, np.nan, np.float32)
    overlay = Overlay(cells, (first[0] * cell[0], first[1] * cell[1]), cell)
    yield Progress(0, 0, f"measuring the {which.words}")
    edge = -(-MARGIN // CELL_PX)
    blocks = [(r, c) for r in range(0, shape[0], _BLOCK) for c in range(0, shape[1], _BLOCK)]
    for done, (row, col) in enumerate(blocks, 1):
        rows, cols = min(_BLOCK, shape[0] - row), min(_BLOCK, shape[1] - col)
        start = (first[0] + row - edge) * CELL_PX, (first[1] + col - edge) * CELL_PX
        size = (rows + 2 * edge) * CELL_PX, (cols + 2 * edge) * CELL_PX
        seen = mirrored(painting.slide, step, start, size)
        made = painting.paint(seen)
        back = painting.back(made) if which is TrustMap.cycle else None
        found = doubts(painting.model, seen, painting.stain, which, painted=made, back=back)
        glass = glass_share(seen).reshape(found.shape[0], CELL_PX, found.shape[1], CELL_PX)
        found = np.where(glass.mean((1, 3)) > _GLASS, np.nan, found).astype(np.float32)
        part = found[edge : edge + rows, edge : edge + cols]
        cells[row : row + rows, col : col + cols] = part
        yield Tile("doubt", row, col, part)
        yield Progress(done, len(blocks), f"measuring the {which.words}")
    yield Finished(overlay)
