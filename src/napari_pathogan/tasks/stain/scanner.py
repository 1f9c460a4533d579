"""From one scanner's pictures to another's: a smooth map fitted to two unpaired pools of images.

Scanners differ in optics, sensor, colour matrix and tone curve, and treat every slide alike; so one
map serves all slides of a scanner, and nothing is fitted to the slide at hand, whose tissue is its
own. The map has two parts. A blur, a mixture of two Gaussians, gives pictures the sharpness of the
other scanner's: the radial power spectra of lightness agree. It never sharpens: what a scanner has
not resolved is not made up. Then colours: a polynomial of second order in red, green and blue,
regressed on the optimal transport (an exact assignment) between draws of both pools' pixels, and
held towards the linear map between their means and covariances. Pools are brought to one sharpness
before, else the finer grain of one would pass for contrast.

Pools should hold the same kinds of tissue, as much of each; the same slides they need not be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import ndimage
from scipy.optimize import least_squares, linear_sum_assignment
from scipy.spatial.distance import cdist

from napari_pathogan.colour.baselines import Reinhard
from napari_pathogan.colour.lab import lightness
from napari_pathogan.colour.slide_colours import SlideColours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.tasks.stain.data import StylePool

Pair = tuple[float, float]

_RINGS = np.linspace(0, 0.5, 17)  # cycles per pixel
_LEAST = 0.2  # pixels: a Gaussian below this changes nothing
_REACH = 3.0  # standard deviations that it is cut at
_EVEN_PX = 2.0  # both pools are blurred by this too: grain and noise are no colours
_DRAWN, _ROUNDS = 1200, 4  # pixels of an assignment, and how many there are
_EACH = 20_000  # pixels of a patient
_RIDGE = 1e-4  # of each coefficient's departure from the linear map
_COVERS = 1.5  # times the reach: another patient of the scanner may lie as far out


@dataclass(frozen=True)
class Softening:
    """A blur that never sharpens: a mixture of two Gaussians.

    Attributes
    ----------
    share
        Weight of the first; the other has the rest.
    sigmas
        Standard deviations, in pixels of the pool; under 0.2 they change nothing.
    """

    share: float
    sigmas: Pair

    @classmethod
    def fit(cls, source: Sequence[np.ndarray], target: Sequence[np.ndarray]) -> Self:
        """Fit to images of one scale, uint8 (H, W, 3): those of ``source`` get ``target``'s spectrum."""
        ratio = np.sqrt(_spectrum(target) / _spectrum(source))
        wanted = np.minimum(ratio / ratio[0], 1)
        middles = (_RINGS[1:] + _RINGS[:-1]) / 2

        def missed(p: np.ndarray) -> np.ndarray:
            falls = np.exp(-2 * (np.pi * middles[:, None] * p[1:]) ** 2)
            return np.asarray(falls @ [p[0], 1 - p[0]] - wanted)

        found = least_squares(missed, [0.5, 0.5, 2.0], bounds=([0, 0, 0], [1, 4, 4])).x
        share, first, second = (round(float(value), 4) for value in found)
        return cls(share, (first, second))

    def margin(self, scale: Pair) -> int:
        """Pixels around a part of an image that its blur looks at; ``scale`` as for a call."""
        return max(math.ceil(_REACH * s / r) + 1 for s in self.sigmas for r in scale)

    def __call__(self, image: np.ndarray, scale: Pair = (1.0, 1.0)) -> np.ndarray:
        """Blur uint8 (H, W, 3) whose pixels are so many of the pool's each (y, x)."""
        made = np.zeros(image.shape, np.float32)
        for weight, sigma in zip((self.share, 1 - self.share), self.sigmas, strict=True):
            made += weight * _blurred(image, sigma / scale[0], sigma / scale[1])
        return np.asarray(np.rint(made), np.uint8)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """From :meth:`to_json`."""
        first, second = record["sigmas"]
        return cls(float(record["share"]), (float(first), float(second)))

    def to_json(self) -> dict[str, Any]:
        """As plain numbers, for a model card."""
        return {"share": self.share, "sigmas": list(self.sigmas)}


@dataclass(frozen=True, eq=False)
class ScannerMap:
    """How pictures of one scanner become those of another.

    Attributes
    ----------
    softening
        The blur, which comes first.
    coefficients
        (10, 3): red, green and blue of a pixel as polynomials, of the terms of :func:`_terms`.
    linear
        (4, 3): the linear map between the pools' moments, without the blur: a baseline.
    source
        Lab statistics of the pool of the scanner that the map is from.
    reach
        The largest Lab distance of one of that pool's patients from the whole of it.
    """

    softening: Softening
    coefficients: np.ndarray
    linear: np.ndarray
    source: Reinhard
    reach: float

    @classmethod
    def fit(cls, source: StylePool, target: StylePool) -> Self:
        """Fit to two pools of one scale; which image is of which tissue is not asked."""
        rng = np.random.default_rng(0)
        softening = Softening.fit(source.images, target.images)
        other = Softening.fit(target.images, source.images)
        start, end = (
            _draw(pool, rng, soften) for pool, soften in ((source, softening), (target, other))
        )
        base = _moments_map(start, end)
        ends = [_transported(start, end, base, rng) for _ in range(_ROUNDS)]
        x, y = (np.concatenate(part) for part in zip(*ends, strict=True))
        terms = _terms(x)
        held = _RIDGE * len(x) * np.eye(terms.shape[1])
        departure = np.linalg.solve(terms.T @ terms + held, terms.T @ (y - terms[:, :4] @ base))
        departure[:4] += base
        whole = Reinhard.fit(source.tissue())
        each = [
            Reinhard.fit(source.select([p == name for p in source.patients]).tissue())
            for name in dict.fromkeys(source.patients)
        ]
        linear = _moments_map(_draw(source, rng), _draw(target, rng))
        reach = max(one.distance(whole) for one in each)
        return cls(softening, departure.round(6), linear.round(6), whole, reach)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Recolour single pixels, uint8 (..., 3); the blur is not in it."""
        return _mapped(image, self.coefficients)

    def linearly(self, image: np.ndarray) -> np.ndarray:
        """Recolour by the linear map alone, uint8 (..., 3)."""
        return _mapped(image, self.linear)

    def covers(self, slide: Reinhard, style: Reinhard) -> bool:
        """Whether a slide looks like those of the map's scanner, and not like the style already."""
        away = slide.distance(self.source)
        return away <= _COVERS * self.reach and away < slide.distance(style)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """From :meth:`to_json`."""
        return cls(
            Softening.from_json(record["softening"]),
            np.array(record["coefficients"]),
            np.array(record["linear"]),
            Reinhard.from_json(record["source"]),
            float(record["reach"]),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain lists, for a model card."""
        return {
            "softening": self.softening.to_json(),
            "coefficients": self.coefficients.tolist(),
            "linear": self.linear.tolist(),
            "source": self.source.to_json(),
            "reach": round(self.reach, 4),
        }


def _blurred(image: np.ndarray, *sigmas: float) -> np.ndarray:
    wide = [sigma if sigma >= _LEAST else 0.0 for sigma in sigmas]
    found: np.ndarray = ndimage.gaussian_filter(
        image, (*wide, 0), output=np.float32, truncate=_REACH
    )
    return found


def _spectrum(images: Sequence[np.ndarray]) -> np.ndarray:
    """Mean power of the lightness of images in rings of frequency, (16,)."""
    each = []
    for image in images:
        light = lightness(image)
        window = np.outer(*(np.hanning(n) for n in light.shape))
        power = np.abs(np.fft.fft2((light - light.mean()) * window)) ** 2 / (window**2).sum()
        away = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in light.shape), indexing="ij"))
        ring = np.digitize(away.ravel(), _RINGS) - 1
        sums, counts = (np.bincount(ring, w, 17)[:16] for w in (power.ravel(), None))
        each.append(sums / counts)
    return np.asarray(np.mean(each, 0)) + 1e-9


def _draw(pool: StylePool, rng: np.random.Generator, soften: Softening | None = None) -> np.ndarray:
    """Pixels of a pool, as many of each patient, float (N, 3) in 0 to 1."""
    images = pool.images
    if soften is not None:
        images = tuple(
            np.rint(_blurred(soften(image), _EVEN_PX, _EVEN_PX)).astype(np.uint8)
            for image in images
        )
    parts = []
    for name in dict.fromkeys(pool.patients):
        own = [i.reshape(-1, 3) for i, p in zip(images, pool.patients, strict=True) if p == name]
        parts.append(rng.choice(np.concatenate(own), _EACH) / 255)
    return np.concatenate(parts)


def _moments_map(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The linear map between two clouds of colours, (4, 3), of the first of :func:`_terms`."""
    a, b = (SlideColours(x.mean(0), np.cov(x.T) + 1e-6 * np.eye(3)) for x in (start, end))
    matrix, offset = a.map_to(b)
    return np.vstack([offset + matrix @ np.full(3, 0.5), matrix.T])


def _transported(
    start: np.ndarray, end: np.ndarray, base: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Colours, and where optimal transport takes them; costs are counted after the linear map."""
    x, y = (rng.choice(cloud, _DRAWN, replace=False) for cloud in (start, end))
    rows, columns = linear_sum_assignment(cdist(_terms(x)[:, :4] @ base, y, "sqeuclidean"))
    return x[rows], y[columns]


def _terms(rgb: np.ndarray) -> np.ndarray:
    """1, red, green, blue less a half, their squares and products: (N, 3) in 0 to 1 -> (N, 10)."""
    x = rgb - 0.5
    r, g, b = x.T
    return np.stack([np.ones(len(x)), r, g, b, r * r, g * g, b * b, r * g, r * b, g * b], 1)


def _mapped(image: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    terms = _terms(image.reshape(-1, 3) / 255)[:, : len(coefficients)]
    made = np.clip(np.rint(terms @ coefficients * 255), 0, 255)
    return np.asarray(made, np.uint8).reshape(image.shape)
