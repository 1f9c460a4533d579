"""Glass stays as it is: where a slide has no tissue, every method leaves its very pixels.

A style was learned from tissue, and says nothing about glass; colours that it gives to what is
white are wrong wherever they come from. How far a pixel takes new colours is the product of two
shares: one of the coarse tissue mask, which leaves out pen, dust and dirty glass and fades out over
some um beyond the tissue's edge; and one of the pixel's own density against the slide's own
background, which leaves out lumens and fat within the tissue. Both are smooth, so that there is no
seam, and both are exactly 0 on glass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pathogan.colour.stained import tissue_or_field
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.tissue import tissue_mask

if TYPE_CHECKING:
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.slides.tissue import TissueMask

Pair = tuple[float, float]

_LONG_SIDE = 1024  # of the overview that the background is measured on
_CLEAR, _STAINED = 0.04, 0.14  # optical density (natural log): glass up to, tissue from
_BEYOND_UM, _FADE_UM = 4.0, 16.0  # the mask's tissue reaches so far beyond it, and fades out;
_BEYOND, _FADE = 1.0, 2.0  # at least so many of its cells
_ASSUMED_MPP = 0.5
_WIDE, _DEEP = 8, 24  # pixels: glass that holds a disc of that radius is filled so far from tissue
REACH = _WIDE + 2 * _DEEP
_BRIGHT, _GREY, _ENOUGH = (
    205,
    14,
    0.003,
)  # glass is as bright and as grey; and this share of a slide
_UNSEEN = 245.0  # its intensity on a slide that shows none


@dataclass(frozen=True, eq=False)
class Glass:
    """Where a slide takes new colours, and how far.

    Attributes
    ----------
    background
        (3,) red, green and blue of the slide's glass, 0 to 255.
    tissue
        float32 (Y, X): 1 on tissue, 0 far from it, on level 0; None takes all for tissue.
    """

    background: np.ndarray
    tissue: Overlay | None = None

    @classmethod
    def of(cls, slide: Slide, mask: TissueMask | None = None) -> Glass:
        """Look at a whole slide; ``mask`` is its tissue where that is known already."""
        mask = mask or tissue_or_field(slide, tissue_mask(slide))
        height, width = slide.shape
        shrink = max(1.0, max(height, width) / _LONG_SIDE)
        size = max(1, round(height / shrink)), max(1, round(width / shrink))
        overview = slide.read(Region(0, 0, height, width), size=size)
        mpp = slide.mpp or (_ASSUMED_MPP, _ASSUMED_MPP)
        cell = [s * m for s, m in zip(mask.overlay.step, mpp, strict=True)]
        found = mask.overlay.data
        away = ndimage.distance_transform_edt(~found, cell) if not found.all() else 0 * found
        beyond, fade = max(_BEYOND_UM, _BEYOND * max(cell)), max(_FADE_UM, _FADE * max(cell))
        share = np.clip(1 - (away - beyond) / fade, 0, 1).astype(np.float32)
        if mask.pen is not None:
            share[mask.pen] = 0
        return cls(_background(overview), Overlay(share, mask.overlay.origin, mask.overlay.step))

    def near(self, origin: Pair, step: Pair, shape: tuple[int, int]) -> bool:
        """Whether there may be tissue in a grid of pixels, as :meth:`Slide.resampled` takes it."""
        return self.tissue is None or bool(self._cells(origin, step, shape)[0].any())

    def keep(
        self,
        before: np.ndarray,
        after: np.ndarray,
        origin: Pair,
        step: Pair,
        by: np.ndarray | None = None,
    ) -> np.ndarray:
        """New colours on tissue, the slide's own on glass.

        Parameters
        ----------
        before, after
            uint8 (H, W, 3): the slide as it is, and as a method makes it.
        origin, step
            Where the pixels lie, as :meth:`Slide.resampled` takes it.
        by
            The slide blurred, where ``after`` is of that: its density counts.

        Returns
        -------
        uint8 (H, W, 3).
        """
        table = self._table()
        seen = before if by is None else by
        share = np.maximum.reduce([table[c][seen[..., c]] for c in range(3)])
        share *= self._coarse(origin, step, before.shape[:2])
        if share.min() == 1:
            return after
        mixed = before + share[..., None] * (after.astype(np.float32) - before)
        return np.asarray(np.rint(mixed), np.uint8)

    def filled(self, image: np.ndarray) -> np.ndarray:
        """Tissue mirrored into the wide glass beside it, for a network that looks around a pixel.

        Taught on tissue, it colours what ends at flat glass grey and green, some pixels deep.

        Parameters
        ----------
        image
            uint8 (H, W, 3), about at the style's scale. What is filled depends on :data:`REACH` pixels
            around.
        """
        table, soft = self._table(), ndimage.uniform_filter(image, (3, 3, 1))
        clear = np.maximum.reduce([table[c][soft[..., c]] for c in range(3)]) == 0
        if clear.all() or not clear.any():
            return image
        core = ndimage.distance_transform_edt(clear) > _WIDE
        if not core.any():
            return image
        wide = clear & (ndimage.distance_transform_edt(~core) <= _WIDE)
        away, nearest = ndimage.distance_transform_edt(wide, return_indices=True)
        here, last = np.indices(wide.shape), np.reshape(wide.shape, (2, 1, 1)) - 1
        there = np.clip(2 * nearest - here, 0, last)
        there = np.where(wide[tuple(there)], nearest, there)
        fill = wide & (away <= _DEEP)
        return np.where(fill[..., None], image[tuple(there)], image)

    def _table(self) -> np.ndarray:
        """How stained each byte of each channel is: float32 (3, 256), 0 on glass, 1 on tissue."""
        density = np.log((self.background[:, None] + 1) / (np.arange(256) + 1))
        share = np.clip((density - _CLEAR) / (_STAINED - _CLEAR), 0, 1)
        return np.asarray(share * share * (3 - 2 * share), np.float32)

    def _coarse(self, origin: Pair, step: Pair, shape: tuple[int, int]) -> np.ndarray:
        """The mask's share of each pixel, interpolated: float32 (H, W), or (1, 1) where all agree."""
        if self.tissue is None:
            return np.ones((1, 1), np.float32)
        cells, places = self._cells(origin, step, shape)
        if cells.min() == cells.max():
            return cells[:1, :1]
        grid = np.meshgrid(*places, indexing="ij")
        share: np.ndarray = ndimage.map_coordinates(
            cells, grid, order=1, mode="nearest", output=np.float32
        )
        return share

    def _cells(
        self, origin: Pair, step: Pair, shape: tuple[int, int]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """The mask's cells around a grid, and the grid's pixels in them (rows and columns)."""
        assert self.tissue is not None
        part, places = [], []
        for axis in (0, 1):
            level0 = origin[axis] + (np.arange(shape[axis]) + 0.5) * step[axis]
            place = (level0 - self.tissue.origin[axis]) / self.tissue.step[axis] - 0.5
            place = np.clip(place, 0, self.tissue.data.shape[axis] - 1)
            first = math.floor(place[0])
            part.append(slice(first, math.ceil(place[-1]) + 1))
            places.append(place - first)
        return self.tissue.data[part[0], part[1]], places


def _background(overview: np.ndarray) -> np.ndarray:
    """The colour of the glass on uint8 (Y, X, 3), float (3,).

    Stricter than that of the tissue mask: pale collagen that fills a field is beige, and no glass.
    """
    flat = overview.reshape(-1, 3)
    low, high = flat.min(1), flat.max(1)
    glass = flat[(low > _BRIGHT) & (high - low < _GREY)]
    if len(glass) < _ENOUGH * len(flat):
        return np.full(3, _UNSEEN)
    bright = glass.min(1)
    return np.asarray(np.median(glass[bright >= np.median(bright)], 0), float)
