"""Figures of all readers together, with intervals that hold for other readers and other images.

A bootstrap draws readers and, for all readers alike, images again (Beiden, Wagner and Campbell
2000, Academic Radiology 7, 341-349): the answers of one reader hang together, and so do the answers
to one image. Real and generated images are drawn apart, so that their numbers stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.study.judgements import Reader

ROUNDS = 2000


def pooled_figures(
    readers: Sequence[Reader], *, pairs: bool, rounds: int = ROUNDS, seed: int = 0
) -> dict[str, tuple[float, np.ndarray]]:
    """Means over readers, each weighing as the number of their answers.

    Returns
    -------
    accuracy, sensitivity, specificity, d_prime, criterion and auc -> the figure, and what it was
    in each resample (rounds,). Left out where undefined.
    """
    # by where they came from: their ids are random, and would draw other resamples in every copy
    origins = {x.item.id: x.truth.origin for reader in readers for x in reader.judgements}
    items = sorted(origins, key=lambda item: (Path(origins[item]).name, item))
    place = {item: i for i, item in enumerate(items)}
    # in a pair the side, and so the signal, differs between readers: there is one kind of trial
    kind = np.zeros(len(items), int)
    for reader in readers:
        for x in reader.judgements:
            kind[place[x.item.id]] = 0 if pairs else int(x.signal)
    rng = np.random.default_rng(seed)
    images = np.concatenate([np.ones((1, len(items))), _resampled(kind, rounds, rng)])
    drawn = rng.multinomial(len(readers), np.full(len(readers), 1 / len(readers)), rounds)
    weights = np.concatenate([np.ones((1, len(readers))), drawn])
    weights = weights * [len(reader.judgements) for reader in readers]
    each = [_figures(reader, images, place, pairs=pairs) for reader in readers]
    pooled = {}
    for name in each[0]:
        values = np.stack([figures[name] for figures in each], axis=1)  # (1 + rounds, readers)
        known = np.where(np.isfinite(values), weights, 0)
        with np.errstate(invalid="ignore"):
            mean = (known * np.nan_to_num(values)).sum(1) / known.sum(1)
        if np.isfinite(mean[0]):
            pooled[name] = float(mean[0]), mean[1:][np.isfinite(mean[1:])]
    return pooled


def _resampled(kind: np.ndarray, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """How often each image is drawn, (rounds, N); as many of each kind as there are."""
    counts = np.zeros((rounds, len(kind)))
    for value in np.unique(kind):
        own = np.flatnonzero(kind == value)
        counts[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), rounds)
    return counts


def _figures(
    reader: Reader, images: np.ndarray, place: dict[str, int], *, pairs: bool
) -> dict[str, np.ndarray]:
    """One reader's figures in every resample, (rounds,) each; nan where undefined."""
    times = images[:, [place[x.item.id] for x in reader.judgements]]
    signal, said = reader.signal.astype(float), reader.said.astype(float)
    signals, noises = times @ signal, times @ (1 - signal)
    hits, false = times @ (signal * said), times @ ((1 - signal) * said)
    z_hit = stats.norm.ppf((hits + 0.5) / (signals + 1))
    z_false = stats.norm.ppf((false + 0.5) / (noises + 1))
    both = np.where((signals > 0) & (noises > 0), 1.0, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "accuracy": (hits + noises - false) / (signals + noises),
            "sensitivity": hits / signals,
            "specificity": (noises - false) / noises,
            "d_prime": both * (z_hit - z_false) / (np.sqrt(2) if pairs else 1),
            "criterion": both * -(z_hit + z_false) / 2,
            "auc": _areas(reader, times),
        }


def _areas(reader: Reader, times: np.ndarray) -> np.ndarray:
    levels = np.arange(-5, 6)
    at = (reader.ratings[:, None] == levels).astype(float)
    ones, zeros = times @ (at * reader.signal[:, None]), times @ (at * ~reader.signal[:, None])
    below = np.cumsum(zeros, axis=1) - zeros / 2
    return (ones * below).sum(1) / (ones.sum(1) * zeros.sum(1))
