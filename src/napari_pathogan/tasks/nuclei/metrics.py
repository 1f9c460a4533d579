"""The figures of the paper's segmentation table, and those of instances, from counts an image.

All figures are sums over images of counts, or means over images, with a weight an image: a
bootstrap over patients counts each image as often as its patient was drawn. Every figure is None
where it is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PIXEL_FIGURES = ("sensitivity", "specificity", "dice", "jaccard")
_MATCH = 0.5  # two instances that share more than half of their union belong to each other


@dataclass(frozen=True)
class Instances:
    """How the instances found in one image match the true ones.

    Attributes
    ----------
    shared, union
        Of the Aggregated Jaccard Index: pixels shared by each true nucleus and the one found
        that fits it best, and pixels of either, with all pixels of what fits nothing.
    iou
        Sum of the intersections over union of the matched pairs.
    matched, extra, missed
        Pairs with an intersection over union above 0.5; found without one; true without one.
    """

    shared: int
    union: int
    iou: float
    matched: int
    extra: int
    missed: int


def pixel_counts(truth: np.ndarray, found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """True positive, false positive, false negative and true negative pixels.

    Parameters
    ----------
    truth, found, known
        bool (H, W); only known pixels count.

    Returns
    -------
    int64 (4,).
    """
    kinds = np.bincount((2 * truth + found)[known], minlength=4)
    return np.asarray(kinds[[3, 1, 2, 0]])


def match(truth: np.ndarray, found: np.ndarray) -> Instances:
    """Match the instances of two label images.

    Aggregated Jaccard Index as in Kumar et al. 2017, panoptic quality as in Kirillov et al. 2019.

    Parameters
    ----------
    truth, found
        int (H, W), a number an instance, 0 is background; numbers need not be in a row.
    """
    true_ids, t = np.unique(truth, return_inverse=True)
    found_ids, f = np.unique(found, return_inverse=True)
    t, f = t.reshape(-1), f.reshape(-1)
    true_area, found_area = np.bincount(t), np.bincount(f)
    pairs, both = np.unique(t * len(found_ids) + f, return_counts=True)
    i, j = pairs // len(found_ids), pairs % len(found_ids)
    inside = (true_ids[i] != 0) & (found_ids[j] != 0)
    i, j, both = i[inside], j[inside], both[inside]
    union = true_area[i] + found_area[j] - both
    iou = both / union
    best = np.lexsort((-iou, i))  # each true nucleus's best partner comes first
    best = best[np.unique(i[best], return_index=True)[1]]
    alone = ~np.isin(np.arange(len(true_ids)), i[best]) & (true_ids != 0)
    unused = ~np.isin(np.arange(len(found_ids)), j[best]) & (found_ids != 0)
    pair = iou > _MATCH
    matched = int(pair.sum())
    return Instances(
        shared=int(both[best].sum()),
        union=int(union[best].sum() + true_area[alone].sum() + found_area[unused].sum()),
        iou=float(iou[pair].sum()),
        matched=matched,
        extra=int((found_ids != 0).sum()) - matched,
        missed=int((true_ids != 0).sum()) - matched,
    )


def pixel_table(counts: np.ndarray, weights: np.ndarray) -> dict[str, float | None]:
    """The paper's table, over all pixels and, with ``_mean`` behind the name, over images.

    A mean leaves out images in which a figure is undefined: sensitivity where there is no
    nucleus, Dice and Jaccard where there is none and none was found.

    Parameters
    ----------
    counts
        (N, 4) of :func:`pixel_counts`.
    weights
        (N,).
    """
    pooled = _pixel_figures(weights @ counts)
    each = _pixel_figures(counts)
    out: dict[str, float | None] = {}
    for name in PIXEL_FIGURES:
        out[name] = _plain(pooled[name])
    for name in PIXEL_FIGURES:
        out[f"{name}_mean"] = _mean(each[name], weights)
    return out


def _pixel_figures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """(..., 4) -> figures of (...), NaN where undefined."""
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, float), -1, 0)
    return {
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "jaccard": _ratio(tp, tp + fp + fn),
    }


def instance_table(matches: list[Instances], weights: np.ndarray) -> dict[str, float | None]:
    """``aji``, ``pq``, ``dq`` (the F1 of detection, also as ``f1``) and ``sq``, and means.

    Over all instances of all images, and for ``aji_mean`` and ``pq_mean`` over images.

    Parameters
    ----------
    weights
        (N,).
    """
    columns = np.array(
        [(m.shared, m.union, m.iou, m.matched, m.extra, m.missed) for m in matches], float
    )
    pooled, each = _instance_figures(weights @ columns), _instance_figures(columns)
    out = {name: _plain(value) for name, value in pooled.items()}
    return {**out, **{f"{name}_mean": _mean(each[name], weights) for name in ("aji", "pq")}}


def _instance_figures(columns: np.ndarray) -> dict[str, np.ndarray]:
    shared, union, iou, matched, extra, missed = np.moveaxis(columns, -1, 0)
    either = matched + extra / 2 + missed / 2
    return {
        "aji": _ratio(shared, union),
        "pq": _ratio(iou, either),
        "dq": _ratio(matched, either),
        "sq": _ratio(iou, matched),
        "f1": _ratio(matched, either),
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(
        part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0
    )
    return ratio


def _mean(values: np.ndarray, weights: np.ndarray) -> float | None:
    defined = np.isfinite(values) & (weights > 0)
    if not defined.any():
        return None
    return float(np.average(values[defined], weights=weights[defined]))


def _plain(value: np.ndarray) -> float | None:
    return float(value) if np.isfinite(value) else None
