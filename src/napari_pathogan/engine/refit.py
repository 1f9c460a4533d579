"""A linear head refitted to a few annotated images of one slide, in well under a second.

What the head learnt before is kept as a prior: how firmly its training images hold it, direction by
direction (Laplace's approximation: the curvature of the training loss, Bishop 2006, section 4.5).
The head gives way where they said little, so that few annotations go far and what it knew stays.
No training image is needed for that, and none is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHT = 30.0  # how many training images an annotated one counts as
AROUND = 3.0  # and another one of the same slide, as its neighbours say
RANK = 128
_STEPS, _ENOUGH = 100, 1e-6


@dataclass(frozen=True, eq=False)
class Prior:
    """How firmly a head was held by what it was trained on.

    Attributes
    ----------
    mean, scale
        (F,): figures are looked at as ``(figures - mean) / scale``, in which all directions that
        the training images say nothing of are as free as each other.
    axes, held
        (F, R) and (R,): directions that the training images hold, orthonormal, and by which share,
        0 (free) to 1 (not to be moved).
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    held: np.ndarray

    @classmethod
    def of(
        cls, figures: np.ndarray, certainty: np.ndarray, penalty: np.ndarray, rank: int = RANK
    ) -> Prior:
        """Measure it on training images.

        Parameters
        ----------
        figures
            (N, F), what the head looks at.
        certainty
            (N,): curvature of the loss of each, ``weight * p * (1 - p)``.
        penalty
            (F,): on the squared weights of the standardised figures, as the head was fitted.
        rank
            Directions that are kept, the best held ones.
        """
        figures = np.asarray(figures, np.float64)
        mean, spread = figures.mean(0), figures.std(0)
        scale = np.where(spread > 0, spread, 1) * np.sqrt(penalty)
        rows = (figures - mean) / scale * np.sqrt(certainty)[:, None]
        if len(rows) < len(mean):  # no more directions than images, which takes seconds less
            _, singular, axes = np.linalg.svd(rows, full_matrices=False)
            curvature, axes = singular[:rank] ** 2, axes[:rank].T
        else:
            curvature, axes = np.linalg.eigh(rows.T @ rows)
            best = slice(None, -rank - 1, -1)
            curvature, axes = np.maximum(curvature[best], 0), axes[:, best]
        return cls(mean, scale, axes, curvature / (1 + curvature))

    def seen(self, figures: np.ndarray) -> np.ndarray:
        """Figures (N, F) on axes along which all changes are as likely: float64 (N, F)."""
        rows: np.ndarray = (np.asarray(figures, np.float64) - self.mean) / self.scale
        return rows - (rows @ self.axes * (1 - np.sqrt(1 - self.held))) @ self.axes.T

    def to_arrays(self) -> dict[str, np.ndarray]:
        """As arrays, half as precise as the figures; :meth:`from_arrays` reads them."""
        return {
            "mean": self.mean.astype(np.float32),
            "scale": self.scale.astype(np.float32),
            "axes": self.axes.astype(np.float16),
            "held": self.held.astype(np.float32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Prior:
        """From :meth:`to_arrays`."""
        return cls(*(np.asarray(arrays[name], np.float64) for name in cls.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Past:
    """What a model keeps of its training so that its head can be refitted.

    Attributes
    ----------
    prior
        How firmly the head was held.
    n_images
        By how many training images.
    figures, labels
        float16 (M, F) and int8 (M,): some of them as figures, on which is measured what a refitted
        head has forgotten. Their pixels can't be made from these.
    """

    prior: Prior
    n_images: int
    figures: np.ndarray
    labels: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """As arrays by name; :meth:`from_arrays` reads them."""
        own = {"n_images": np.array(self.n_images), "figures": self.figures, "labels": self.labels}
        return {**own, **self.prior.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Past:
        """From :meth:`to_arrays`."""
        of = int(arrays["n_images"])
        return cls(Prior.from_arrays(arrays), of, arrays["figures"], arrays["labels"])


@dataclass(frozen=True, eq=False)
class Change:
    """What is added to a head's logits: ``figures @ weights + offset``."""

    weights: np.ndarray
    offset: float

    def of(self, figures: np.ndarray) -> np.ndarray:
        """Of figures (N, F): float64 (N,)."""
        added: np.ndarray = np.asarray(figures, np.float64) @ self.weights + self.offset
        return added


def balanced(labels: np.ndarray, weight: float) -> np.ndarray:
    """Weights (N,) of mean ``weight`` of images labelled 0 or 1, by which both classes count the same.

    Raises
    ------
    ValueError
        If a class is missing.
    """
    counts = np.bincount(labels, minlength=2)
    if not counts.all():
        msg = "both classes are needed"
        raise ValueError(msg)
    weights: np.ndarray = weight * len(labels) / 2 / counts[labels]
    return weights


def refit(
    prior: Prior,
    figures: np.ndarray,
    logits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    *,
    spread: float,
) -> Change:
    """Fit a head anew to some images.

    Parameters
    ----------
    figures, logits, labels
        (N, F), (N,) and (N,): what it looks at, what it says, and what is true, 0 to 1.
    weights
        (N,): how many training images each counts as.
    spread
        Of the offset from slide to slide, one standard deviation in logits.
    """
    rows = _rows(prior, figures, spread)
    dual = _newton(rows @ rows.T, np.asarray(logits, np.float64), labels, weights)
    moved = rows.T @ dual
    free = moved[:-1] - prior.axes @ ((1 - np.sqrt(1 - prior.held)) * (prior.axes.T @ moved[:-1]))
    changed = free / prior.scale
    return Change(changed, float(spread * moved[-1] - changed @ prior.mean))


def _rows(prior: Prior, figures: np.ndarray, spread: float) -> np.ndarray:
    """Figures and a one for the offset, on axes along which all changes are as likely: (N, F + 1)."""
    middle = prior.seen(prior.mean[None])[0]  # the offset is held by its own spread
    seen = prior.seen(figures) - middle
    return np.concatenate([seen, np.full((len(seen), 1), spread)], 1)


def _newton(
    kernel: np.ndarray, logits: np.ndarray, labels: np.ndarray, each: np.ndarray
) -> np.ndarray:
    """Coefficients (N,) of penalised logistic regression on a kernel (N, N), beside given logits.

    Iteratively reweighted least squares (Rasmussen and Williams 2006, algorithm 3.1), damped.
    """
    dual, value = np.zeros(len(labels)), np.inf
    for _ in range(_STEPS):
        said = kernel @ dual
        p = expit(logits + said)
        root = np.sqrt(np.maximum(each * p * (1 - p), 1e-9))
        wanted = root**2 * said + each * (labels - p)
        inner = np.eye(len(labels)) + root[:, None] * kernel * root
        step = wanted - root * np.linalg.solve(inner, root * (kernel @ wanted)) - dual
        size = 1.0
        while True:
            trial = dual + size * step
            said = kernel @ trial
            z = logits + said
            new = float(each @ (np.logaddexp(0, z) - labels * z) + trial @ said / 2)
            if new <= value or size < 1e-4:
                break
            size /= 2
        dual, gain, value = trial, value - new, new
        if gain < _ENOUGH * max(1.0, abs(value)):
            break
    return dual
