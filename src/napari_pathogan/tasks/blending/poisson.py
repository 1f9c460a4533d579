"""Poisson image editing with mixed gradients (Perez et al. 2003): the paper's baseline.

The image that minimises the seamless loss and equals X outside the region, by one sparse solve.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu

from napari_pathogan.tasks.blending.losses import guidance


def poisson(x: np.ndarray, e: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Blend E into X over a region.

    Parameters
    ----------
    x, e
        float32 (H, W): the healthy image, and the lesion's patch in its place.
    w
        bool (H, W): the region.

    Returns
    -------
    float32 (H, W); X outside the region. Where the region covers all of the image nothing is
    fixed, and its mean is that of X.
    """
    number = np.full(w.shape, -1)
    number[w] = np.arange(w.sum())
    v = guidance(*(torch.from_numpy(np.ascontiguousarray(a))[None, None].double() for a in (x, e)))
    rows, columns, values, wanted = [], [], [], []
    fixed, count = x.astype(float), 0
    for axis, along in enumerate(v[0].numpy()):
        start, end = _ends(axis)
        here, there = number[start], number[end]
        used = (here >= 0) | (there >= 0)
        here, there, wish = here[used], there[used], along[start][used]
        index = count + np.arange(len(here))
        for side, sign, known in ((here, -1.0, fixed[start]), (there, 1.0, fixed[end])):
            free = side >= 0
            rows.append(index[free])
            columns.append(side[free])
            values.append(np.full(free.sum(), sign))
            wish = wish - np.where(free, 0, sign * known[used])
        wanted.append(wish)
        count += len(here)
    if w.all():  # one pixel more is needed to fix the level
        rows, columns = [*rows, np.array([count])], [*columns, np.array([0])]
        values, wanted, count = [*values, np.ones(1)], [*wanted, np.zeros(1)], count + 1
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    differences = sparse.csc_array(entries, shape=(count, int(w.sum())))
    made = x.astype(np.float32)
    if w.any():
        normal = (differences.T @ differences).tocsc()
        made[w] = splu(normal).solve(differences.T @ np.concatenate(wanted))
    return made + (x.mean() - made.mean()) if w.all() else made


def _ends(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where edges along an axis start and end."""
    start, end = [slice(None)] * 2, [slice(None)] * 2
    start[axis], end[axis] = slice(None, -1), slice(1, None)
    return tuple(start), tuple(end)
