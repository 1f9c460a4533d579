"""Where the tissue is: a coarse mask that survives pen, scanner lines, pale stains and fat.

All decisions are made on optical density against the slide's own background, per colour channel:

- stained: dense or coloured enough, found with two thresholds (a pale part counts where it hangs
  together with a clear one);
- pen: hues no histological stain has over a wide area. Green ink absorbs red most and green least;
  blue ink absorbs far more red than green; red ink absorbs green and blue alike and hardly red
  (eosin absorbs blue much less); black ink absorbs all alike, heavily;
- dust, glass edges and scanner lines: what is grey, not coloured;
- holes up to the size of a few fat cells or a small vessel belong to the tissue.

Sizes are in mm; where the scale is unknown, pixels of the overview are taken as 16 um.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pathogan.slides.geometry import Overlay, Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.slides.slide import Slide

_ASSUMED_MPP = 16.0
_LONG_SIDE = 1500  # of the overview where the scale is unknown
_LEAST_SIDE = 256  # a small image is looked at more finely than asked for
_MOST_CELLS = 1 << 22  # of a mask: a slide of over 10 cm2 is looked at less finely, in 0.4 GB

_DENSE, _DENSE_WEAK = 0.07, 0.035  # mean optical density (log10)
_COLOURED, _COLOURED_WEAK = 0.05, 0.02  # difference between channels
_GREY = 0.10  # colour relative to density below which an object is not stained
_PEN_RADIUS_MM = 0.05
_PEN_BLUR_MM = 0.5
_CLOSE_MM = 0.032
_LEAST_OBJECT_MM2 = 0.01
_LARGEST_HOLE_MM2 = 0.05
_THIN_PX = 2.5


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """A coarse boolean mask, and where exactly its cells lie on the slide.

    Attributes
    ----------
    overlay
        (Y, X) bool; cells in level-0 pixels.
    shape
        Rows and columns of the slide's level-0 pixels.
    mpp
        um per level-0 pixel (y, x), or None.
    pen
        (Y, X) bool: cells under ink of a pen, which are no tissue; None if there are none.
    """

    overlay: Overlay
    shape: tuple[int, int]
    mpp: tuple[float, float] | None
    pen: np.ndarray | None = None

    @property
    def area_px(self) -> float:
        """Tissue in level-0 pixels; what the last cells hold beyond the slide does not count."""
        return float(self.coverage((0.0, 0.0), self.shape, (1, 1))[0, 0]) * math.prod(self.shape)

    @property
    def share(self) -> float:
        """Tissue as a share of the slide, 0 to 1."""
        return self.area_px / math.prod(self.shape)

    @property
    def area_mm2(self) -> float | None:
        """Tissue in mm2; None where the scale is unknown."""
        return None if self.mpp is None else self.area_px * self.mpp[0] * self.mpp[1] / 1e6

    def coverage(
        self, origin: tuple[float, float], step: tuple[float, float], shape: tuple[int, int]
    ) -> np.ndarray:
        """Tissue share of each cell of another grid, exact by area.

        Parameters
        ----------
        origin
            Upper left corner of the grid in level-0 edge coordinates (y, x).
        step
            Level-0 pixels per cell (y, x).
        shape
            Rows and columns of cells.

        Returns
        -------
        np.ndarray
            (H, W) float32, 0 to 1. What lies beyond the slide is no tissue.
        """
        total = self.overlay.data.astype(np.float64)
        for axis in (0, 1):
            edges = origin[axis] + np.arange(shape[axis] + 1) * step[axis]
            edges = np.clip(edges, 0, self.shape[axis])
            place = (edges - self.overlay.origin[axis]) / self.overlay.step[axis]
            total = _between(total, np.clip(place, 0, total.shape[axis]), axis)
        cell = step[0] * step[1] / (self.overlay.step[0] * self.overlay.step[1])
        return np.clip(total / cell, 0, 1).astype(np.float32)


def tissue_mask(slide: Slide, *, mpp: float = _ASSUMED_MPP) -> TissueMask:
    """Find the tissue of a slide (or, on a grey slide, the breast of a mammogram).

    Parameters
    ----------
    mpp
        um per cell of the mask. A small image gets finer cells, at least 256 along its long side,
        and one of whole glass coarser ones, 4 million at most. Where the slide's scale is unknown, the mask has 1,500 cells along the long side at most.
    """
    height, width = slide.shape
    long = max(height, width)
    if slide.mpp is None:
        step = max(1.0, long / _LONG_SIDE)
        steps, cell = (step, step), _ASSUMED_MPP
    else:
        finest = max(slide.mpp)
        least = math.sqrt(height * slide.mpp[0] * width * slide.mpp[1] / _MOST_CELLS)
        cell = max(finest, min(mpp, long * finest / _LEAST_SIDE), least)
        steps = (cell / slide.mpp[0], cell / slide.mpp[1])
    count = math.ceil(height / steps[0] - 1e-9), math.ceil(width / steps[1] - 1e-9)
    reach = Region(0, 0, round(count[0] * steps[0]), round(count[1] * steps[1]))
    steps = (reach.height / count[0], reach.width / count[1])
    overview = slide.read(reach, size=count)
    pen = None
    if slide.is_rgb:
        density = _optical_density(overview)
        pen = _pen(density, cell)
        found = _stained_tissue(density, pen, cell)
    else:
        found = _find_breast(overview)
    return TissueMask(
        Overlay(found, (0.0, 0.0), steps),
        slide.shape,
        slide.mpp,
        pen if pen is not None and pen.any() else None,
    )


def pen_ink(overview: np.ndarray, mpp: float) -> np.ndarray:
    """Find ink of a pen, with its blurred margin, in (Y, X, 3) uint8 of so many um a pixel: (Y, X) bool."""
    return _pen(_optical_density(overview), mpp)


def _stained_tissue(density: list[np.ndarray], pen: np.ndarray, mpp: float) -> np.ndarray:
    mean = np.add.reduce(density) / 3
    colour = np.maximum.reduce(density) - np.minimum.reduce(density)
    clear = (mean > _DENSE) | (colour > _COLOURED)
    pale = (mean > _DENSE_WEAK) | (colour > _COLOURED_WEAK)
    stained = _hanging_together(clear & ~pen, pale & ~pen)
    stained = _without_grey(stained, mean, colour)
    closed = _closed(stained, _CLOSE_MM * 1e3 / mpp)
    px_per_mm2 = 1e6 / mpp**2
    whole = _fill_holes(closed, _LARGEST_HOLE_MM2 * px_per_mm2) & ~pen
    whole = _without_blur(whole, pen, _PEN_BLUR_MM * 1e3 / mpp)
    return _large(whole, _LEAST_OBJECT_MM2 * px_per_mm2)


def _optical_density(overview: np.ndarray) -> list[np.ndarray]:
    """Red, green and blue (Y, X) float32, each 0 on the slide's own background."""
    smooth = [
        ndimage.gaussian_filter(overview[..., channel].astype(np.float32), 0.7)
        for channel in range(3)
    ]
    lowest, highest = np.minimum.reduce(smooth), np.maximum.reduce(smooth)
    empty = (lowest > 190) & (highest - lowest < 24)
    background = np.full(3, 245.0)
    if empty.mean() > 0.01:
        # the brighter half: the rest may be very pale tissue
        bright = empty & (lowest >= np.median(lowest[empty]))
        background = np.array([np.median(channel[bright]) for channel in smooth])
    scale = [np.float32(math.log10(level + 1)) for level in background]
    return [np.maximum(0, s - np.log10(c + 1)) for s, c in zip(scale, smooth, strict=True)]


def ink_hues(density: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Where colours are those of green, blue, red and black ink, one mask each.

    None of the hues is near haematoxylin's, which absorbs green most, red less and blue least.

    Parameters
    ----------
    density
        Optical density (log10) of red, green and blue, arrays of one shape.
    """
    red, green, blue = density
    most, least = np.maximum.reduce(density), np.minimum.reduce(density)
    return (
        (green < 0.55 * red) & (green < 0.92 * blue),
        (blue < 0.45 * red) & (green < 0.85 * red),
        (red < 0.22 * green) & (blue > 0.71 * green),
        (least > 0.6) & (most - least < 0.25 * most),
    )


def _pen(density: list[np.ndarray], mpp: float) -> np.ndarray:
    """Pixels under pen ink, with its blurred margin."""
    red, green, blue = density
    most, least = np.maximum.reduce(density), np.minimum.reduce(density)
    greenish, bluish, reddish, black = ink_hues(density)
    dark_red = (blue > 0.74 * green) & (red < 0.8 * green) & (most > 0.45)
    grey = most - least < 0.25 * most
    # blood comes near to red ink, but hardly as a whole disc this far from eosin
    red_core = (red < 0.20 * green) & (blue > 0.75 * green)
    core = ((greenish | red_core) & (most > 0.2)) | (bluish & (most > 0.45)) | black
    core = _opened(core, _PEN_RADIUS_MM * 1e3 / mpp)
    if not core.any():
        return core
    hue = greenish | (bluish & (red > 0.3)) | reddish | dark_red | black
    hue &= most > 0.04
    ink = _hanging_together(core, hue | core)
    near = _distance(~ink) <= _PEN_BLUR_MM * 1e3 / mpp
    pale_red = (blue > 0.74 * green) & (red < 0.9 * green)
    pale_blue = (blue < 0.5 * red) & (green < 0.95 * red)
    blur = near & (grey | pale_blue | pale_red) & (most > 0.02)
    # the very edge of a stroke mixes with glass, where the hue is lost in noise
    return ndimage.binary_dilation(_hanging_together(ink, blur | ink), iterations=2)


def _hanging_together(seeds: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The objects of ``mask`` that hold a seed."""
    labels, count = ndimage.label(mask)
    held = np.zeros(count + 1, bool)
    held[labels[seeds]] = True
    held[0] = False
    return held[labels]


def _without_grey(stained: np.ndarray, mean: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Drop objects without colour (dust, glass edges) and lines with little (of the scanner)."""
    labels, count = ndimage.label(stained, np.ones((3, 3)))
    if not count:
        return stained
    flat = labels.ravel()
    area = np.bincount(flat)
    hue = np.bincount(flat, colour.ravel()) / np.maximum(np.bincount(flat, mean.ravel()), 1e-6)
    thick = np.zeros(count + 1)
    inside = flat > 0
    np.maximum.at(thick, flat[inside], _distance(stained).ravel()[inside])
    line = (thick <= _THIN_PX) | (area > 24 * thick**2)  # 12 times as long as wide
    keep = (hue > _GREY) & ~(line & (hue < 3 * _GREY))
    keep[0] = False
    return keep[labels]


def _without_blur(tissue: np.ndarray, pen: np.ndarray, radius: float) -> np.ndarray:
    """Drop objects that are only the blurred margin of a pen stroke."""
    if not pen.any():
        return tissue
    labels, _ = ndimage.label(tissue, np.ones((3, 3)))
    area = np.bincount(labels.ravel())
    near = np.bincount(labels[_distance(~pen) <= radius], minlength=len(area))
    keep = near < 0.9 * area
    keep[0] = False
    return keep[labels]


def _find_breast(overview: np.ndarray) -> np.ndarray:
    """The largest bright object of a mammogram (black background), holes filled."""
    top = float(np.percentile(overview, 99))
    labels, count = ndimage.label(ndimage.binary_opening(overview > 0.05 * top, iterations=2))
    if not count:
        return np.zeros(overview.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(labels == sizes.argmax())


def _fill_holes(mask: np.ndarray, most: float) -> np.ndarray:
    holes, count = ndimage.label(~mask)
    if not count:
        return mask
    small = np.bincount(holes.ravel()) <= most
    rim = np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])
    small[rim] = False  # open to the edge: glass, not a hole
    small[0] = False
    return mask | small[holes]


def _large(mask: np.ndarray, least: float) -> np.ndarray:
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    big = np.bincount(labels.ravel()) >= least
    big[0] = False
    return big[labels]


def _opened(mask: np.ndarray, radius: float) -> np.ndarray:
    """Without what a disc of the radius does not fit into; quick for any radius."""
    core = _distance(mask) > radius
    return _distance(~core) <= radius if core.any() else core


def _closed(mask: np.ndarray, radius: float) -> np.ndarray:
    """Gaps narrower than a disc of the radius closed."""
    if not mask.any():
        return mask
    pad = math.ceil(radius) + 1
    grown = np.pad(_distance(~mask) <= radius, pad, mode="edge")
    return (_distance(grown) > radius)[pad:-pad, pad:-pad] | mask


def _distance(mask: np.ndarray) -> np.ndarray:
    """Distance of each set pixel to the nearest unset one; infinite where there is none."""
    if mask.all():
        return np.full(mask.shape, np.inf)
    return ndimage.distance_transform_edt(mask)


def _between(values: np.ndarray, edges: np.ndarray, axis: int) -> np.ndarray:
    """Integral of a step function between consecutive edges along an axis."""
    start = np.zeros_like(values.take([0], axis))
    running = np.concatenate([start, values.cumsum(axis)], axis)
    below = np.minimum(edges.astype(np.int64), values.shape[axis] - 1)
    part = np.expand_dims(edges - below, 1 - axis)
    at = running.take(below, axis) + part * values.take(below, axis)
    return np.diff(at, axis=axis)
