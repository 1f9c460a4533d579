"""Where an annotation would say most about the rest of a slide: uncertain patches that are unlike each other.

The same order for every model, whether it follows annotations or has just made a map. A head that keeps
what it was trained on knows in which directions it is still free; of any other network the patches of the
slide say along which they differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from napari_pathogan.engine.refit import WEIGHT, Prior
from napari_pathogan.tasks.idc.frozen import FrozenHead

if TYPE_CHECKING:
    from napari_pathogan.tasks.idc.model import IdcModel

MOST = 1000  # patches that are compared, evenly spread over what was looked at


def most_telling(
    model: IdcModel, figures: np.ndarray, logits: np.ndarray, known: np.ndarray, n: int
) -> np.ndarray:
    """Patches of a slide that would say most about all of them if they were annotated next, the best first.

    Each makes the head surer of those that look alike; what is known already, or chosen before, has
    done so, so that they are uncertain and unlike each other. (Transductive experimental design, Yu et al. 2006,
    with the curvature of a logistic loss.)

    Parameters
    ----------
    figures, logits
        (N, F) and (N,): what the network sees of patches, NaN where nothing can be read, and what it says.
    known
        (M,): rows that are annotated.

    Returns
    -------
    Rows; fewer than ``n`` where there are no more.
    """
    rows = np.flatnonzero(np.isfinite(figures[:, 0]))
    rows = np.union1d(evenly(rows, MOST), known)
    if not n or not len(rows):
        return rows[:0]
    seen, scale = _free(model, figures[rows]), model.calibration
    seen = np.append(seen, np.full((len(seen), 1), scale.patient_sd / scale.slope), 1)
    covariance = seen @ seen.T
    p = expit(np.asarray(logits[rows], np.float64))
    noise = 1 / (WEIGHT * np.maximum(p * (1 - p), 1e-3))
    slope = p * (1 - p)  # what a change of logits does to a probability

    def learn(i: int) -> None:
        nonlocal covariance
        column = covariance[:, i].copy()
        covariance -= np.outer(column, column) / (column[i] + noise[i])

    free = np.ones(len(rows), bool)
    for i in np.searchsorted(rows, known):
        learn(int(i))
        free[i] = False
    chosen: list[int] = []
    while len(chosen) < n and free.any():
        gain = ((covariance * slope[:, None]) ** 2).sum(0) / (np.diagonal(covariance) + noise)
        best = int(np.where(free, gain, -np.inf).argmax())
        chosen.append(best)
        free[best] = False
        learn(best)
    told: np.ndarray = rows[chosen]
    return told


def evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """So many of some rows at most, evenly spread."""
    some: np.ndarray = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]
    return some


def _free(model: IdcModel, figures: np.ndarray) -> np.ndarray:
    """Figures (N, F) on axes along which a head may still change: float64 (N, F)."""
    network, figures = model.network, np.asarray(figures, np.float64)
    if isinstance(network, FrozenHead):
        figures = figures[:, : sum(network.parts)]  # without what its student says
        if network.past is not None:
            prior = network.past.prior
            return prior.seen(figures) - prior.seen(prior.mean[None])[0]
    spread = figures.std(0)
    scale = np.where(spread > 0, spread, 1) * np.sqrt(
        figures.shape[1]
    )  # log odds that differ by about 1
    nothing = np.zeros((figures.shape[1], 0)), np.zeros(0)
    return Prior(figures.mean(0), scale, *nothing).seen(figures)
