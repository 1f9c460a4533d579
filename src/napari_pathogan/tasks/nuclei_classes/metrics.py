"""The figures of a classification, from tables of how many nuclei of a class were called what.

Everything is computed from counts, for many tables at once: seeds and bootstrap resamples are
leading axes. A figure that is not defined (no nucleus of a class) is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def tally(
    classes: np.ndarray, called: np.ndarray, image: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """Count nuclei by image, class and what they were called.

    Parameters
    ----------
    classes, called, image
        int (N,).
    shape
        Images, classes, names to call them.

    Returns
    -------
    int64 of that shape.
    """
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, (image, classes, called), 1)
    return counts


def figures(tables: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The paper's table, and how well the clusters agree with the classes.

    Parameters
    ----------
    tables
        (..., C, C): counts of [class, called].
    names
        Of the C classes.

    Returns
    -------
    accuracy; balanced_accuracy, the mean of the sensitivities; f1_, precision_ and sensitivity_ of each name; ari and nmi: float64 (...) each.
    """
    tables = tables.astype(float)
    right = np.diagonal(tables, axis1=-2, axis2=-1)
    true, called = tables.sum(-1), tables.sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {"accuracy": right.sum(-1) / true.sum(-1)}
        for kind, values in (
            ("f1", 2 * right / (true + called)),
            ("precision", right / called),
            ("sensitivity", right / true),
        ):
            found |= {f"{kind}_{name}": values[..., i] for i, name in enumerate(names)}
        there = true > 0
        found["balanced_accuracy"] = np.where(there, right / true, 0).sum(-1) / there.sum(-1)
    return {**found, "ari": adjusted_rand(tables), "nmi": mutual_information(tables)}


def adjusted_rand(tables: np.ndarray) -> np.ndarray:
    """Adjusted Rand index of tables (..., C, K): 1 for the same partition, 0 by chance."""
    both = _pairs(tables).sum((-2, -1))
    rows, columns = _pairs(tables.sum(-1)).sum(-1), _pairs(tables.sum(-2)).sum(-1)
    every = _pairs(tables.sum((-2, -1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = rows * columns / every
        return np.asarray((both - chance) / ((rows + columns) / 2 - chance))


def mutual_information(tables: np.ndarray) -> np.ndarray:
    """Mutual information of tables (..., C, K) over the mean of the two entropies: 0 to 1."""
    with np.errstate(invalid="ignore", divide="ignore"):
        joint = tables / tables.sum((-2, -1), keepdims=True)
        rows, columns = _entropy(joint.sum(-1)), _entropy(joint.sum(-2))
        shared = rows + columns - _entropy(joint.reshape(*joint.shape[:-2], -1))
        return np.asarray(2 * shared / (rows + columns))


def _pairs(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts * (counts - 1) / 2)


def _entropy(share: np.ndarray) -> np.ndarray:
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    total: np.ndarray = -(share * logs).sum(-1)
    return total
