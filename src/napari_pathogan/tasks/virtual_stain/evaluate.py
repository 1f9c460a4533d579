"""How good virtual stains are, on images that need not show the same tissue in both stains.

Distances of virtual images from real ones stand beside their floor: the same between two halves of
the real ones. Halves are of slides, drawn several times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from sklearn.metrics import roc_auc_score
from torch import nn

from napari_pathogan.colour.histograms import hellinger, histogram, structure
from napari_pathogan.engine.backbones import load_backbone
from napari_pathogan.engine.report import Report, Value
from napari_pathogan.tasks.virtual_stain.data import Pair, Pool
from napari_pathogan.tasks.virtual_stain.network import signed, unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel

_HALVES = 10  # how often halves are drawn
_PART_PX = 64  # of what the trunk and the small network look at
_STEPS, _BATCH = 100, 16  # of the small network, in each of its two halves


def evaluated(source: Path, target: Path, model: VirtualStainModel) -> Report:
    """Measure a pair of stains on two folders, as :func:`measure`.

    Raises
    ------
    DataFolderError
        If one of them won't do, or both hold the same image.
    """
    return measure(model, Pair.read(source, target=target))


def measure(model: VirtualStainModel, pair: Pair) -> Report:
    """Measure a pair of stains, both ways.

    Returns
    -------
    Report
        For each way, ``pas_to_he_...``: ``cycle_l1`` (mean distance of an image from what comes back,
        of 0 to 1), ``ssim`` (structure of the source that is left: SSIM of the lightness),
        ``histogram`` (Hellinger distance of the colours of tissue from real images), ``frechet`` (of
        what the embedded trunk sees of 64 px squares) and ``auc`` (of a small network that tells real
        from virtual on slides it has not learnt from; .5 is best); ``histogram_floor``,
        ``frechet_floor`` and ``auc_floor`` between halves of the real ones.
    """
    figures: dict[str, Value] = {}
    ends = (pair.source, pair.target)
    for (pool, other), stain in zip(
        (ends, ends[::-1]), (model.source_stain, model.target_stain), strict=True
    ):
        goal = model.target_of(stain)
        made = [model.paint(image, stain) for image in pool.images]
        again = [model.paint(image, goal) for image in made]
        name = f"{stain}_to_{goal}"
        errors = [
            np.abs(x.astype(float) - y).mean() / 255
            for x, y in zip(again, pool.images, strict=True)
        ]
        kept = [structure(x, y) for x, y in zip(pool.images, made, strict=True)]
        virtual = Pool("virtual", tuple(made), pool.slides)
        figures[f"{name}_cycle_l1"] = Value(float(np.mean(errors)))
        figures[f"{name}_ssim"] = Value(float(np.mean(kept)))
        for what, value in _compared(virtual, other):
            figures[f"{name}_{what}"] = Value(value)
    notes = []
    slides = {*pair.source.slides, *pair.target.slides}
    if seen := model.card.knows(slides):
        notes.append(
            f"{model.card.name} has learnt from {len(seen)} of these {len(slides)} slides: its figures "
            "may be too good"
        )
    counts = {"n_source": len(pair.source), "n_target": len(pair.target)}
    return Report(f"{model.card.name}, virtual stains", figures, counts, (*pair.notes(), *notes))


def _compared(virtual: Pool, real: Pool) -> Iterator[tuple[str, float | None]]:
    """Distances of virtual images from real ones, and between halves of the real ones."""
    features = [_features(pool) for pool in (virtual, real)]
    colours = [[histogram([image]) for image in pool.images] for pool in (virtual, real)]
    rows: list[tuple[float, ...]] = []
    for seed in range(_HALVES if len(set(real.slides)) > 1 else 0):
        one, other = _halves(real, seed)
        own = _halves(virtual, seed)[0]
        rows.append(
            (
                hellinger(_mean(colours[0], own), _mean(colours[1], one)),
                hellinger(_mean(colours[1], other), _mean(colours[1], one)),
                frechet(_rows(features[0], own), _rows(features[1], one)),
                frechet(_rows(features[1], other), _rows(features[1], one)),
            )
        )
    names = ("histogram", "histogram_floor", "frechet", "frechet_floor")
    means = np.mean(rows, 0) if rows else [None] * len(names)
    for name, value in zip(names, means, strict=True):
        yield name, None if value is None else float(value)
    yield "auc", _told_apart(virtual, real)


def _halves(pool: Pool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the images of two halves of a pool's slides; of one slide, halves of its images."""
    names = np.array(pool.slides)
    several = len(set(pool.slides)) > 1
    groups = names if several else np.arange(len(names)).astype(str)
    drawn = np.random.default_rng(seed).permutation(sorted(set(groups)))
    first = np.isin(groups, drawn[: max(1, len(drawn) // 2)])
    return np.flatnonzero(first), np.flatnonzero(~first)


def _mean(each: list[np.ndarray], places: np.ndarray) -> np.ndarray:
    return np.asarray(np.mean([each[i] for i in places], 0))


def _rows(each: list[np.ndarray], places: np.ndarray) -> np.ndarray:
    return np.concatenate([each[i] for i in places])


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Frechet distance of two sets of figures (N, F) and (M, F), as if they were Gaussian.

    The root of the product of covariances has the roots of its eigenvalues, so that it need not be
    computed (Heusel et al. 2017).
    """
    apart = one.mean(0) - other.mean(0)
    first, second = (np.cov(x, rowvar=False) for x in (one, other))
    roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0))
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * roots.sum())


def _parts(image: np.ndarray) -> np.ndarray:
    """Squares of an image side by side, uint8 (N, S, S, 3)."""
    side = min(_PART_PX, *image.shape[:2])
    rows, cols = (np.arange(0, n - side + 1, side) for n in image.shape[:2])
    return np.stack([image[y : y + side, x : x + side] for y in rows for x in cols])


@torch.inference_mode()
def _features(pool: Pool) -> list[np.ndarray]:
    """What the embedded trunk sees of each image's squares, its finest map: float (N, C) each."""
    trunk = load_backbone()
    found = []
    for image in pool.images:
        _, maps = trunk.seen(unit(signed(_parts(image))))
        found.append(maps[0].mean((2, 3)).double().numpy())
    return found


def _told_apart(one: Pool, other: Pool) -> float | None:
    """AUC of a small network that is to tell squares of two pools apart, on slides it has not learnt from.

    None where a pool is of one image.
    """
    if min(len(one), len(other)) < 2:
        return None
    halves = [_halves(pool, 0) for pool in (one, other)]
    every = [[unit(signed(_parts(image))) for image in pool.images] for pool in (one, other)]
    scores: list[float] = []
    truth: list[int] = []
    for k in range(2):
        learnt = [
            torch.cat([own[i] for i in half[k]]) for own, half in zip(every, halves, strict=True)
        ]
        network = _classifier(learnt)
        for label, (own, half) in enumerate(zip(every, halves, strict=True)):
            for i in half[1 - k]:
                with torch.inference_mode():
                    scores += network(own[i])[:, 0].tolist()
                truth += [label] * len(own[i])
    return float(roc_auc_score(truth, scores))


def _classifier(learnt: list[torch.Tensor]) -> nn.Module:
    """Three convolutions and a mean, taught which of two sets of squares (N, 3, S, S) one is of."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(32, 1),
        )  # fmt: skip
        optimiser = torch.optim.Adam(network.parameters(), 2e-3)
        for _ in range(_STEPS):
            parts = [x[torch.randint(len(x), (_BATCH // 2,))] for x in learnt]
            labels = torch.tensor([0.0, 1.0]).repeat_interleave(_BATCH // 2)
            images = torch.cat(parts)
            images = images.flip(3) if torch.rand(()) < 0.5 else images
            logits = network(torch.rot90(images, int(torch.randint(4, ())), (2, 3)))[:, 0]
            optimiser.zero_grad()
            loss = F.binary_cross_entropy_with_logits(logits, labels)
            loss.backward()
            optimiser.step()
    return network.eval()
