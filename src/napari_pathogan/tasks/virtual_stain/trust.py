"""Where a virtual stain may be wrong: two maps, what they were measured to find, and how far a slide is.

A map is only worth showing if it finds what is wrong. So defects are planted into held-out images
of the source stain, and each map is asked where they are (:func:`measure`): the area under its ROC
curve over pixels, averaged over images. What a map does not find is said; a map that finds nothing
is not shown (:func:`shown`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata

from napari_pathogan.colour.lab import to_lab
from napari_pathogan.colour.stain_distance import StainPool
from napari_pathogan.errors import NoTissueError
from napari_pathogan.tasks.virtual_stain.stains import SourceStainError, stain_title

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel

CELL_PX = 8  # of a map: that of the discriminator's scores
_SOFT_PX = 6.0  # standard deviation of the blur of cycle errors: a cell says what is around it
FINDS = 0.7  # area under the ROC curve from which on a map is said to find a defect
CLEAR = 2.0  # reaches away from its pool a slide is beyond doubt of another stain
_DEFECT_PX = 64  # about as wide
_LEAST_PX, _MIDDLE_PX, _MOST = 96, 256, 8  # sides of images that are planted in, and how many


class TrustMap(StrEnum):
    """What doubt is measured by."""

    cycle = "cycle"
    judge = "judge"

    @property
    def words(self) -> str:
        """What it is called."""
        return {"cycle": "cycle error", "judge": "discriminator"}[self.value]

    @property
    def unit(self) -> str:
        """What its values are counted in."""
        return {"cycle": "Lab units", "judge": "of 1"}[self.value]


def doubts(
    model: VirtualStainModel,
    image: np.ndarray,
    stain: str,
    which: TrustMap,
    *,
    painted: np.ndarray | None = None,
    back: np.ndarray | None = None,
) -> np.ndarray:
    """How doubtful each 8 x 8 px of a virtual stain is.

    Parameters
    ----------
    image
        uint8 (H, W, 3) of ``stain``, sides from 70 px on.
    painted, back
        What the model made of it, and of that again, where that is there already.

    Returns
    -------
    float32 (H // 8, W // 8). For cycle: the mean distance in Lab units between the image and what
    comes back through both generators. For judge: 1 less the discriminator's score (1: real).
    """
    target = model.target_of(stain)
    made = model.paint(image, stain) if painted is None else painted
    rows, cols = image.shape[0] // CELL_PX, image.shape[1] // CELL_PX
    if which is TrustMap.judge:
        # score [i, j] lies around (8 i + 12, 8 j + 12), the middle of cell [i + 1, j + 1]
        scores = 1 - model.inspect(made, target)
        grid = np.meshgrid(np.arange(rows) - 1.0, np.arange(cols) - 1.0, indexing="ij")
        near: np.ndarray = ndimage.map_coordinates(scores, np.stack(grid), order=1, mode="nearest")
        return near
    again = model.paint(made, target) if back is None else back
    apart = np.linalg.norm(to_lab(image) - to_lab(again), axis=-1)
    soft = ndimage.gaussian_filter(apart.astype(np.float32), _SOFT_PX, mode="reflect")
    cells = soft[: rows * CELL_PX, : cols * CELL_PX].reshape(rows, CELL_PX, cols, CELL_PX)
    return np.asarray(cells.mean((1, 3)), np.float32)


# what is planted


def pen(
    image: np.ndarray, where: np.ndarray, other: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Ink of a felt pen over the tissue."""
    del other
    ink = np.array([(0.15, 0.35, 0.85), (0.1, 0.55, 0.3), (0.12, 0.12, 0.14)][rng.integers(3)])
    return np.where(where[..., None], 0.25 * image + 0.75 * 255 * ink, image)


def foreign(
    image: np.ndarray, where: np.ndarray, other: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A piece of another picture: of another stain or tissue."""
    del rng
    return np.where(where[..., None], other, image)


def blur(
    image: np.ndarray, where: np.ndarray, other: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Out of focus."""
    del other
    soft = ndimage.gaussian_filter(image, (rng.uniform(4, 6),) * 2 + (0,))
    return np.where(where[..., None], soft, image)


def fold(
    image: np.ndarray, where: np.ndarray, other: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Tissue that lies over itself: optical densities add up."""
    del other
    over = np.roll(image[::-1], rng.integers(image.shape[0]), axis=1)
    return np.where(where[..., None], image * over / 255, image)


DEFECTS: dict[str, Callable[..., Any]] = {
    "pen": pen,
    "foreign": foreign,
    "blur": blur,
    "fold": fold,
}
_WORDS = {"pen": "pen ink", "foreign": "foreign texture", "blur": "blur", "fold": "folds"}


def planted(
    image: np.ndarray, other: np.ndarray, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """An image with a defect in it, uint8 (H, W, 3), and where that is, bool (H, W).

    Its outline is a soft blob, so that no straight edge gives it away.
    """
    height, width = image.shape[:2]
    y, x = (rng.uniform(0.25, 0.75) * side for side in (height, width))
    rough = ndimage.gaussian_filter(rng.standard_normal((height, width)), 12)
    away = np.hypot(*np.meshgrid(np.arange(height) - y, np.arange(width) - x, indexing="ij"))
    where = away + rough / rough.std() * _DEFECT_PX / 8 < _DEFECT_PX / 2
    rows, cols = np.arange(height) % other.shape[0], np.arange(width) % other.shape[1]
    spoilt = DEFECTS[kind](image.astype(float), where, other[np.ix_(rows, cols)], rng)
    return np.asarray(np.clip(np.rint(spoilt), 0, 255), np.uint8), where


def measure(
    model: VirtualStainModel,
    images: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    stain: str = "",
    *,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """How well each map finds each kind of defect.

    Parameters
    ----------
    images
        Of ``stain`` (the source by default), not learnt from: uint8 (H, W, 3), from 96 px on.
    others
        Pictures that pieces of foreign texture are cut from.

    Returns
    -------
    Map -> defect -> area under the ROC curve over the cells of an image, its mean over images.
    """
    stain = stain or model.source_stain
    rng = np.random.default_rng(seed)
    areas: dict[str, dict[str, float]] = {which.value: {} for which in TrustMap}
    for kind in DEFECTS:
        found: dict[TrustMap, list[float]] = {which: [] for which in TrustMap}
        for number, image in enumerate(images):
            spoilt, where = planted(image, others[number % len(others)], kind, rng)
            made = model.paint(spoilt, stain)
            for which, values in found.items():
                doubt = doubts(model, spoilt, stain, which, painted=made)
                values.append(area_under_curve(doubt, _cells(where, doubt.shape)))
        for which, values in found.items():
            areas[which.value][kind] = round(float(np.mean(values)), 3)
    return areas


def usual(
    model: VirtualStainModel, images: Sequence[np.ndarray], stain: str, which: TrustMap
) -> tuple[float, float]:
    """Median and 95th percentile of doubt in images that have no defect."""
    found = np.concatenate([doubts(model, image, stain, which).ravel() for image in images])
    low, high = np.percentile(found, (50, 95))
    return round(float(low), 3), round(float(high), 3)


def area_under_curve(values: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive has a larger value than a negative; a tie counts half."""
    ranks, there = rankdata(values.ravel()), positive.ravel()
    n, m = int(there.sum()), int((~there).sum())
    return float((ranks[there].sum() - n * (n + 1) / 2) / (n * m))


def _cells(where: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    rows, cols = shape
    parts = where[: rows * CELL_PX, : cols * CELL_PX].reshape(rows, CELL_PX, cols, CELL_PX)
    return np.asarray(parts.mean((1, 3)) >= 0.5)


# what a card says of it


def for_card(
    model: VirtualStainModel,
    pools: Mapping[str, Sequence[np.ndarray]],
    held: Mapping[str, Sequence[np.ndarray]],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """What a card's settings say of trust: ``pools``, ``trust`` and ``doubt``, plain JSON.

    Parameters
    ----------
    pools
        Stain -> the images that were learnt from, of both ends.
    held
        Stain -> images that were not; empty where there are none, and then no map is shown.
    """
    ends = model.source_stain, model.target_stain
    maps, levels, pooled = {}, {}, {}
    for end, other in (ends, ends[::-1]):
        images = _middles(held.get(end, ()))
        if images:
            maps[end] = measure(model, images, pools[other], end, seed=seed)
            levels[end] = {which.value: usual(model, images, end, which) for which in TrustMap}
        with suppress(NoTissueError):  # a small pool says nothing of its spread
            pooled[end] = StainPool.of(pools[end]).written()
    return {"pools": pooled, "trust": maps, "doubt": levels}


def _middles(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The middles of some images that are large enough to plant something in."""
    large = [image for image in images if min(image.shape[:2]) >= _LEAST_PX]
    chosen = [large[i] for i in range(0, len(large), max(1, len(large) // _MOST))][:_MOST]
    corners = [[max(0, n - _MIDDLE_PX) // 2 for n in image.shape[:2]] for image in chosen]
    return [
        image[y : y + _MIDDLE_PX, x : x + _MIDDLE_PX]
        for image, (y, x) in zip(chosen, corners, strict=True)
    ]


def shown(card: ModelCard, stain: str) -> list[TrustMap]:
    """The maps that find something in images of a stain, the one that finds most first."""
    said = card.settings.get("trust", {}).get(stain, {})
    found = {w: [a for a in said.get(w.value, {}).values() if a >= FINDS] for w in TrustMap}
    return sorted((w for w in found if found[w]), key=lambda w: -sum(found[w]))


def usual_doubt(card: ModelCard, stain: str, which: TrustMap) -> tuple[float, float]:
    """Median and 95th percentile of a map of held-out images without defects."""
    low, high = card.settings["doubt"][stain][which.value]
    return float(low), float(high)


def finds(card: ModelCard, stain: str, which: TrustMap) -> str:
    """What a map was measured to find and what not, in a sentence."""
    said = card.settings.get("trust", {}).get(stain, {}).get(which.value, {})
    words = {kind: f"{_WORDS.get(kind, kind)} (AUC {area:.2f})" for kind, area in said.items()}
    good = [words[kind] for kind, area in said.items() if area >= FINDS]
    poor = [words[kind] for kind, area in said.items() if area < FINDS]
    parts = [f"finds {', '.join(good)}"] if good else []
    parts += [f"misses {', '.join(poor)}"] if poor else []
    return f"Planted defects: the {which.words} {'; '.join(parts)}." if parts else ""


@dataclass(frozen=True)
class Fit:
    """How far a slide's stain is from what a pair of stains learnt from.

    Attributes
    ----------
    stain
        That the slide is said to have, or, where nobody says, the nearer one.
    said
        Whether somebody said it.
    distances
        Stain -> spreads, for each whose pool the cards describe; the nearest first.
    reaches
        Stain -> spreads within which 95 % of the pool's own images lie.
    """

    stain: str
    said: bool
    distances: dict[str, float]
    reaches: dict[str, float]

    @property
    def far(self) -> bool:
        """Whether the slide is farther away than 95 % of the pool's own images."""
        own = self.distances.get(self.stain)
        return own is not None and own > self.reaches[self.stain]

    def warning(self, name: str) -> str:
        """With figures, where it is far; else empty."""
        if not self.far:
            return ""
        own, near = self.distances[self.stain], next(iter(self.distances))
        text = (
            f"{name} is {own:.1f} spreads from the {stain_title(self.stain)} images that the generator "
            f"learnt from (19 of 20 of those lie within {self.reaches[self.stain]:.1f}): what it paints "
            "may be wrong"
        )
        if near != self.stain:
            text += f"; it looks more like {stain_title(near)} ({self.distances[near]:.1f} spreads)"
        return text


def told(distances: Mapping[str, float], reaches: Mapping[str, float]) -> str:
    """The stain that distances from pools tell beyond doubt; empty if they tell none."""
    near = [end for end, d in distances.items() if d <= CLEAR * reaches[end]]
    return near[0] if len(near) == 1 and distances[near[0]] <= reaches[near[0]] else ""


def fit_of(
    tiles: Sequence[np.ndarray],
    cards: Sequence[ModelCard],
    stain: str = "",
    *,
    name: str = "the slide",
) -> Fit:
    """Measure how far tiles of a slide are from the pools that cards describe.

    Parameters
    ----------
    stain
        That the slide is said to have; where nobody says, it is measured: the one within its own
        images' reach, if every other is at least :data:`CLEAR` times its reach away.

    Raises
    ------
    SourceStainError
        If nobody says the stain, and it can't be told by its colours.
    """
    pools = {
        end: StainPool.read(said)
        for card in cards
        for end, said in card.settings.get("pools", {}).items()
    }
    apart = {end: pool.distance(tiles) for end, pool in pools.items()}
    near = sorted((d, end) for end, d in apart.items() if d is not None)
    distances, reaches = {end: d for d, end in near}, {e: p.reach for e, p in pools.items()}
    if stain:
        return Fit(stain, True, distances, reaches)
    within = [end for d, end in near if d <= reaches[end]]
    if told(distances, reaches):
        return Fit(within[0], False, distances, reaches)
    words = ", ".join(f"{stain_title(end)} {d:.1f}" for d, end in near[:3])
    why = "more than one stain may fit" if within else "no stain fits"
    measured = f" by its colours {why} (spreads: {words});" if near else ""
    msg = f"nobody says which stain {name} has, and{measured or ' nothing is known of its colours;'} say its stain"
    raise SourceStainError(msg)
