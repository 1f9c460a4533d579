"""A slide in other colours: a slide again, lazy, that computes only what is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.colour.baselines import Macenko
from napari_pathogan.colour.lab import joined, lightness
from napari_pathogan.colour.stained import mirrored, tissue_tiles
from napari_pathogan.slides.computed import SAME, ComputedLevel, GridLevel, computed_slide
from napari_pathogan.slides.names import marked, recoloured
from napari_pathogan.tasks.stain.glass import REACH
from napari_pathogan.tasks.stain.network import STRIDE, Colouriser
from napari_pathogan.tasks.stain.predict import style_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.stain.glass import Glass
    from napari_pathogan.tasks.stain.predict import Blur, Transfer

    Pair = tuple[float, float]

FULL_STAIN = 200  # grey level of a stain that is full


def transferred(slide: Slide, transfer: Transfer) -> Slide:
    """The slide in its new colours: a slide of the same size and scale, computed where it is read.

    Each level is computed by itself. A level coarser than the style's pixels by more than half is
    computed by the student: the network was not taught such a scale.
    """
    levels = [
        _level(slide, step, (level.shape[0], level.shape[1]), transfer)
        for level, step in zip(slide.levels, slide.downsamples, strict=True)
    ]
    whose = transfer.colours_of or transfer.style
    title = recoloured(slide.name, whose, str(transfer.method))
    made = computed_slide(slide, levels, marked(title))
    made.metadata |= {
        "synthetic": True,
        "stain_style": transfer.style,
        "stain_method": str(transfer.method),
        "stain_colours_of": whose,
        "stain_slide": slide.name,
        "stain_imprint": str(slide.imprint),
    }
    return made


def levels_by_network(slide: Slide, transfer: Transfer) -> tuple[bool, ...]:
    """Which levels of a transferred slide are the network's; the student's are the others."""
    return tuple(_by_network(slide, step, transfer) for step in slide.downsamples)


def stains(slide: Slide) -> tuple[Slide, Slide]:
    """Haematoxylin and eosin of a slide, each a grey slide that is computed where it is read.

    Pixels are uint8: 200 where a stain is as full as its 99th percentile on this slide (Macenko).

    Raises
    ------
    NoTissueError, StainFitError, SlideFormatError
        If the slide has no tissue, not two stains, or is grey.
    """
    pixels = np.concatenate([tile.reshape(-1, 3) for tile in tissue_tiles(slide, None)])
    macenko = Macenko.fit(pixels)

    def amount_of(which: int) -> Slide:
        def amount(image: np.ndarray) -> np.ndarray:
            found = macenko.concentrations(image)[..., which] * FULL_STAIN
            return np.asarray(np.clip(np.rint(found), 0, 255), np.uint8)

        levels = [
            _Level(slide, step, (level.shape[0], level.shape[1]), amount, colour=())
            for level, step in zip(slide.levels, slide.downsamples, strict=True)
        ]
        return computed_slide(slide, levels, f"{slide.name} [{('haematoxylin', 'eosin')[which]}]")

    return amount_of(0), amount_of(1)


class _Level(ComputedLevel):
    """One level of a slide with its pixels changed; glass stays as it is."""

    def __init__(
        self,
        slide: Slide,
        step: tuple[float, float],
        shape: tuple[int, int],
        change: Callable[[np.ndarray], np.ndarray],
        *,
        colour: tuple[int, ...] = (3,),
        glass: Glass | None = None,
    ) -> None:
        super().__init__(slide, step, shape, colour=colour)
        self.change, self.glass = change, glass

    def part(self, start: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Change a part of the level; glass stays as it is."""
        origin = start[0] * self.step[0], start[1] * self.step[1]
        seen = self.slide.resampled(origin, self.step, shape, parallel=False)
        if self.glass is None:
            return self.changed(seen, start)
        if not self.glass.near(origin, self.step, shape):
            return seen
        return self.kept(seen, start, origin, self.glass)

    def kept(
        self, image: np.ndarray, start: tuple[int, int], origin: Pair, glass: Glass
    ) -> np.ndarray:
        """The part of the level from ``start`` on in new colours, but for its glass."""
        return glass.keep(image, self.changed(image, start), origin, self.step)

    def changed(self, image: np.ndarray, start: tuple[int, int]) -> np.ndarray:
        """The part of the level from ``start`` on, as the method makes it of its pixels."""
        del start  # single pixels don't know where they are
        return self.change(image)


class _BlurredLevel(_Level):
    """A level that is blurred before its single pixels are mapped."""

    def __init__(
        self, slide: Slide, step: Pair, shape: tuple[int, int], transfer: Transfer, blur: Blur
    ) -> None:
        super().__init__(slide, step, shape, transfer.pixelwise, glass=transfer.glass)
        self.blur, self.edge = blur, blur.margin(step)

    def changed(self, image: np.ndarray, start: tuple[int, int]) -> np.ndarray:
        """Blur and map a part of the level."""
        return self.change(self._soft(image, start))

    def kept(
        self, image: np.ndarray, start: tuple[int, int], origin: Pair, glass: Glass
    ) -> np.ndarray:
        """Blur and map, but for the glass."""
        soft = self._soft(image, start)
        return glass.keep(image, self.change(soft), origin, self.step, by=soft)

    def _soft(self, image: np.ndarray, start: tuple[int, int]) -> np.ndarray:
        """The part blurred with what is around it."""
        edge, (high, wide) = self.edge, image.shape[:2]
        first = start[0] - edge, start[1] - edge
        seen = mirrored(self.slide, self.step, first, (high + 2 * edge, wide + 2 * edge))
        return self.blur(seen, self.step)[edge : edge + high, edge : edge + wide]


class _NetworkLevel(_Level):
    """A level in the network's colours, computed on the style's own grid of pixels."""

    def __init__(
        self,
        slide: Slide,
        step: tuple[float, float],
        shape: tuple[int, int],
        transfer: Transfer,
        ratio: tuple[float, float],
    ) -> None:
        super().__init__(slide, step, shape, transfer.pixelwise, glass=transfer.glass)
        assert transfer.model is not None
        self.model, self.vector, self.finish = transfer.model, transfer.vector, transfer.finish
        self.grid = GridLevel(ratio, Colouriser.margin, STRIDE)

    def changed(self, image: np.ndarray, start: tuple[int, int]) -> np.ndarray:
        """Colour a part of the level."""
        made = self.grid.part(start, (image.shape[0], image.shape[1]), self._made)
        return joined(lightness(image) + made[..., 0], made[..., 1:], image)

    def _made(self, first: tuple[int, int], count: tuple[int, int]) -> np.ndarray:
        """What is added to lightness, and a and b, on the style's grid: (H, W, 3)."""
        step = self.step[0] / self.grid.ratio[0], self.step[1] / self.grid.ratio[1]
        edge = REACH if self.glass is not None else 0
        inner = np.s_[edge : edge + count[0], edge : edge + count[1]]
        around = (first[0] - edge, first[1] - edge), (count[0] + 2 * edge, count[1] + 2 * edge)
        seen = mirrored(self.slide, step, *around)
        filled = seen if self.glass is None else self.glass.filled(seen)
        seen = seen[inner]
        colour = self.model.colour(lightness(filled[inner]), self.vector)
        change = np.zeros(colour.shape[:2], np.float32)
        if self.finish is not None:
            change, colour = self.finish(seen, colour)
        return np.dstack([change, colour])


def _level(
    slide: Slide, step: tuple[float, float], shape: tuple[int, int], transfer: Transfer
) -> _Level:
    if transfer.blur is not None:
        return _BlurredLevel(slide, step, shape, transfer, transfer.blur)
    if not _by_network(slide, step, transfer):
        return _Level(slide, step, shape, transfer.pixelwise, glass=transfer.glass)
    return _NetworkLevel(slide, step, shape, transfer, _ratio(slide, step, transfer))


def _by_network(slide: Slide, step: tuple[float, float], transfer: Transfer) -> bool:
    return transfer.model is not None and max(_ratio(slide, step, transfer)) <= SAME


def _ratio(slide: Slide, step: tuple[float, float], transfer: Transfer) -> tuple[float, float]:
    """Pixels of the style to one of a level (y, x); 1 where a scale is not known."""
    model = transfer.model
    if model is None or model.mpp is None or slide.mpp is None:
        return 1.0, 1.0
    scale = style_pixels(slide, model)
    return step[0] * scale[0], step[1] * scale[1]
