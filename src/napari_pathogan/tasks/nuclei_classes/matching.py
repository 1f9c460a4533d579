"""Which cluster is which class: matched on labelled nuclei that are not scored."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def contingency(found: np.ndarray, classes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How many nuclei of each cluster (rows) are of each class (columns)."""
    table = np.zeros(shape, int)
    np.add.at(table, (found, classes), 1)
    return table


def hungarian(table: np.ndarray) -> np.ndarray:
    """Give each cluster a class so that as many nuclei as possible are right.

    The assignment is one to one (Hungarian method). Where there are more clusters than classes,
    those left over take the class most of their nuclei have.

    Parameters
    ----------
    table
        (clusters, classes) counts.

    Returns
    -------
    int64 (clusters,): class of each cluster; -1 for one left over that holds no nucleus.
    """
    rows, columns = linear_sum_assignment(-table)
    classes = np.full(len(table), -1)
    classes[rows] = columns
    for cluster in np.flatnonzero(classes < 0):
        if table[cluster].any():
            classes[cluster] = table[cluster].argmax()
    return classes
