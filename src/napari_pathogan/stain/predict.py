"""A slide in other colours: a slide again, lazy, that computes only what is looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pathogan.errors import NoTissueError, PathoganError, SlideFormatError, UnknownScaleError
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.tissue import tissue_mask
from napari_pathogan.stain.baselines import Macenko, Reinhard
from napari_pathogan.stain.colour import joined, lightness
from napari_pathogan.stain.finish import Finish, Tint
from napari_pathogan.stain.light import LightCurve, tissue_quantiles
from napari_pathogan.stain.lut import Lut
from napari_pathogan.stain.network import STRIDE, Colouriser
from napari_pathogan.stain.student import distil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from napari_pathogan.stain.model import StyleModel


_SAMPLES, _SAMPLE_PX = 16, 256  # tiles that a slide's colours are measured on
_SAME = 1.5  # pixels up to this much coarser or finer than the style's are as good as its own
_TILE = 512
FULL_STAIN = 200  # grey level of a stain that is full


class Method(StrEnum):
    """How a slide is carried to a style."""

    cnn = "cnn"
    lut = "lut"
    macenko = "macenko"
    reinhard = "reinhard"


class StyleScaleError(PathoganError, ValueError):
    """A slide's pixels are too coarse for a style's network."""


@dataclass(frozen=True, eq=False)
class Transfer:
    """How one slide is carried to a style.

    Attributes
    ----------
    method, style
        What was chosen: the method, and the name of the style or reference.
    pixelwise
        The map of single pixels, uint8 (..., 3) -> uint8: the whole of it for macenko, reinhard
        and lut; for cnn its student, for levels far coarser than the style.
    model, vector
        For cnn: the style, and the global vector if not the pool's.
    finish
        For cnn: what is done to lightness and to the network's colours; None leaves both alone.
    student_error
        Mean distance of the student from the network on tiles of this slide, in Lab units.
    notes
        What the user should know: a stain far from the style's pool.
    """

    method: Method
    style: str
    pixelwise: Callable[[np.ndarray], np.ndarray]
    model: StyleModel | None = None
    vector: torch.Tensor | None = None
    finish: Finish | None = None
    student_error: float | None = None
    notes: tuple[str, ...] = ()


def fit(
    slide: Slide,
    style: StyleModel,
    method: Method = Method.cnn,
    *,
    reference: np.ndarray | None = None,
    keep_lightness: bool = False,
) -> Transfer:
    """Measure a slide once and make its way to a style.

    Parameters
    ----------
    reference
        uint8 RGB of an image in the wanted colours: the target of macenko and reinhard in place of
        the style's pool; for cnn and lut the global features come from it (the paper's Figure 6),
        and their finish goes towards it.
    keep_lightness
        For cnn and lut: pass lightness through untouched and take the network's colours as they
        are, as the paper does, rather than bring both towards the style's
        (:class:`~napari_pathogan.stain.finish.Finish`).

    Raises
    ------
    NoTissueError, StainFitError
        If the slide or the reference has no tissue, or (Macenko) not two stains.
    SlideFormatError
        If the slide is grey.
    UnknownScaleError, StyleScaleError
        For cnn and lut: if nobody knows the slide's scale, or it is too coarse for the style.
    """
    learned = method in {Method.cnn, Method.lut}
    if learned:
        _check_scale(slide, style)
    tiles = tissue_tiles(slide, style.mpp if learned else None)
    own = Reinhard.fit(np.concatenate([tile.reshape(-1, 3) for tile in tiles]))
    notes = _far(slide.name, own, style)
    if not learned:
        target = style.macenko if method == Method.macenko else style.reinhard
        if reference is not None:
            target = type(target).fit(reference)
        return Transfer(method, style.card.name, _pixelwise(tiles, target), notes=notes)
    vector, light, tint = None, style.light, style.tint
    if reference is not None:
        vector = style.vector(reference)
        light, tint = tissue_quantiles([reference]), Tint.of([reference])
    colours = [style.colour(lightness(tile), vector) for tile in tiles]
    finish = None if keep_lightness else Finish.fit(tiles, colours, light, tint)
    lut, error = student(tiles, colours, finish)
    model = style if method == Method.cnn else None
    return Transfer(method, style.card.name, lut, model, vector, finish, error, notes)


def student(
    tiles: Sequence[np.ndarray], colours: Sequence[np.ndarray], finish: Finish | None
) -> tuple[Lut, float]:
    """Distil what a network and a finish made of tiles, as :func:`distil` does.

    A table sees no surroundings, so its curve of lightness is not blurred, and goes less far.
    """
    if finish is None:
        return distil(tiles, colours)
    made = [finish(tile, colour)[1] for tile, colour in zip(tiles, colours, strict=True)]
    return distil(tiles, made, LightCurve.fit(tiles, finish.light.target))


def fit_reference(slide: Slide, reference: np.ndarray, method: Method, name: str) -> Transfer:
    """Make a slide's way to the colours of a reference image, uint8 RGB (macenko, reinhard).

    Raises
    ------
    NoTissueError, StainFitError
        If the slide or the reference has no tissue, or (Macenko) not two stains.
    """
    target = (Macenko if method == Method.macenko else Reinhard).fit(reference)
    return Transfer(method, name, _pixelwise(tissue_tiles(slide, None), target))


def transferred(slide: Slide, transfer: Transfer) -> Slide:
    """The slide in its new colours: a slide of the same size and scale, computed where it is read.

    Each level is computed by itself. A level coarser than the style's pixels by more than half is
    computed by the student: the network was not taught such a scale.
    """
    levels = [
        _level(slide, step, (level.shape[0], level.shape[1]), transfer)
        for level, step in zip(slide.levels, slide.downsamples, strict=True)
    ]
    made = Slide.from_arrays(
        levels,
        name=f"{slide.name} [{transfer.style}, {transfer.method}]",
        mpp=slide.mpp,
        mpp_source=slide.mpp_source,
        downsamples=slide.downsamples,
    )
    made.metadata |= {"stain_style": transfer.style, "stain_method": str(transfer.method)}
    return made


def networked(slide: Slide, transfer: Transfer) -> tuple[bool, ...]:
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
        name = f"{slide.name} [{('haematoxylin', 'eosin')[which]}]"
        return Slide.from_arrays(
            levels,
            name=name,
            mpp=slide.mpp,
            mpp_source=slide.mpp_source,
            downsamples=slide.downsamples,
        )

    return amount_of(0), amount_of(1)


def tissue_tiles(slide: Slide, mpp: float | None, side: int = _SAMPLE_PX) -> list[np.ndarray]:
    """Up to 16 square tiles spread over the tissue, uint8 (side, side, 3); the same each time.

    Raises
    ------
    NoTissueError
        If the slide has no tissue.
    SlideFormatError
        If it is grey.
    """
    if not slide.is_rgb:
        msg = f"{slide.name} is grey; stain transfer needs a colour slide"
        raise SlideFormatError(msg)
    step = (1.0, 1.0)
    if mpp is not None and slide.mpp is not None:
        step = mpp / slide.mpp[0], mpp / slide.mpp[1]
    size = side * step[0], side * step[1]
    shape = tuple(max(1, int(n // s)) for n, s in zip(slide.shape, size, strict=True))
    covered = tissue_mask(slide).coverage((0, 0), size, (shape[0], shape[1])).ravel()
    full = np.flatnonzero(covered > 0.5 * covered.max())
    if not covered.max() > 0:
        msg = f"no tissue was found on {slide.name}, so its stains can't be measured"
        raise NoTissueError(msg)
    chosen = full[np.linspace(0, len(full) - 1, min(_SAMPLES, len(full))).round().astype(int)]
    return [
        slide.resampled((cell // shape[1] * size[0], cell % shape[1] * size[1]), step, (side, side))
        for cell in chosen
    ]


class _Level:
    """One level of a slide with its pixels changed, sliced like an array (Y, X[, 3]) of uint8."""

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        slide: Slide,
        step: tuple[float, float],
        shape: tuple[int, int],
        change: Callable[[np.ndarray], np.ndarray],
        colour: tuple[int, ...] = (3,),
    ) -> None:
        self.slide, self.step, self.change = slide, step, change
        self.shape = (*shape, *colour)
        self.chunks = (_TILE, _TILE, *colour)

    def __getitem__(self, place: tuple[slice, ...]) -> np.ndarray:
        rows, cols = (s.indices(n)[:2] for s, n in zip(place, self.shape[:2], strict=False))
        return self.part((rows[0], cols[0]), (rows[1] - rows[0], cols[1] - cols[0]))

    def part(self, start: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Change a part of the level."""
        return self.change(self.seen(start, shape))

    def seen(self, start: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Read a part of the level as it was."""
        origin = start[0] * self.step[0], start[1] * self.step[1]
        return self.slide.resampled(origin, self.step, shape, parallel=False)


class _NetworkLevel(_Level):
    """A level in the network's colours, computed on the style's own grid of pixels.

    That grid starts at the slide's corner and is cut at multiples of 8, so that a pixel's colour
    does not depend on how the level is cut into tiles.
    """

    def __init__(
        self,
        slide: Slide,
        step: tuple[float, float],
        shape: tuple[int, int],
        transfer: Transfer,
        ratio: tuple[float, float],
    ) -> None:
        super().__init__(slide, step, shape, transfer.pixelwise)
        assert transfer.model is not None
        self.model, self.vector, self.finish = transfer.model, transfer.vector, transfer.finish
        near = all(1 / _SAME <= r <= _SAME for r in ratio)
        self.ratio = (1.0, 1.0) if near else ratio  # style pixels to one of this level

    def part(self, start: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Colour a part of the level."""
        image, made = self.seen(start, shape), self._made(start, shape)
        return joined(lightness(image) + made[..., 0], made[..., 1:], image)

    def _made(self, start: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """What is added to lightness, and a and b: (H, W, 3)."""
        first, count = [], []
        for a, n, s in zip(start, shape, self.ratio, strict=True):
            low = math.floor((a * s - 1 - Colouriser.margin) / STRIDE) * STRIDE
            high = math.ceil(((a + n) * s + 1 + Colouriser.margin) / STRIDE) * STRIDE
            first.append(low)
            count.append(high - low)
        step = self.step[0] / self.ratio[0], self.step[1] / self.ratio[1]
        origin = first[0] * step[0], first[1] * step[1]
        seen = self.slide.resampled(origin, step, (count[0], count[1]), parallel=False)
        colour = self.model.colour(lightness(seen), self.vector)
        change = np.zeros(colour.shape[:2], np.float32)
        if self.finish is not None:
            change, colour = self.finish(seen, colour)
        made = np.dstack([change, colour])
        if self.ratio == (1.0, 1.0):
            y, x = start[0] - first[0], start[1] - first[1]
            return made[y : y + shape[0], x : x + shape[1]]
        places = [
            (a + 0.5 + np.arange(n)) * s - 0.5 - f
            for a, n, s, f in zip(start, shape, self.ratio, first, strict=True)
        ]
        grid = np.stack(np.meshgrid(*places, indexing="ij"))
        return np.dstack([ndimage.map_coordinates(made[..., c], grid, order=1) for c in range(3)])


def _level(
    slide: Slide, step: tuple[float, float], shape: tuple[int, int], transfer: Transfer
) -> _Level:
    if not _by_network(slide, step, transfer):
        return _Level(slide, step, shape, transfer.pixelwise)
    return _NetworkLevel(slide, step, shape, transfer, _ratio(slide, step, transfer))


def _by_network(slide: Slide, step: tuple[float, float], transfer: Transfer) -> bool:
    return transfer.model is not None and max(_ratio(slide, step, transfer)) <= _SAME


def _ratio(slide: Slide, step: tuple[float, float], transfer: Transfer) -> tuple[float, float]:
    """Pixels of the style to one of a level (y, x); 1 where a scale is not known."""
    model = transfer.model
    if model is None or model.mpp is None or slide.mpp is None:
        return 1.0, 1.0
    return step[0] * slide.mpp[0] / model.mpp, step[1] * slide.mpp[1] / model.mpp


def _pixelwise(
    tiles: list[np.ndarray], target: Macenko | Reinhard
) -> Callable[[np.ndarray], np.ndarray]:
    pixels = np.concatenate([tile.reshape(-1, 3) for tile in tiles])
    if isinstance(target, Macenko):
        return Macenko.fit(pixels).map_to(target)
    return Lut.tabulate(Reinhard.fit(pixels).map_to(target))


def _check_scale(slide: Slide, style: StyleModel) -> None:
    if style.mpp is None:
        return
    if slide.mpp is None:
        msg = (
            f"{slide.name} does not say how large its pixels are, and the style {style.card.name} "
            f"was learned at {style.mpp:g} um; give the slide's um per pixel, or choose Reinhard"
        )
        raise UnknownScaleError(msg)
    if max(slide.mpp) > style.mpp * _SAME:
        msg = (
            f"{slide.name} has {max(slide.mpp):.3g} um per pixel, too coarse for the style "
            f"{style.card.name}, learned at {style.mpp:g}; choose another style, Macenko or Reinhard"
        )
        raise StyleScaleError(msg)


def _far(name: str, own: Reinhard, style: StyleModel) -> tuple[str, ...]:
    distance = own.distance(style.reinhard)
    if distance <= 2 * style.reach:
        return ()
    far = (
        f"the colours of {name} are far from those {style.card.name} was learned from "
        f"({distance:.0f} Lab units; its own patients reach {style.reach:.0f}): look twice at the result"
    )
    return (far,)
