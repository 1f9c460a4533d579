"""What the views of a breast say together, and both breasts of a case: chances of a mass.

A view says the score of its best finding. A breast's views are averaged as logits, a case is as
suspicious as its worse breast; both are calibrated on breasts and cases that the model had not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_pathogan.tasks.masses.detections import Detections

SIDES = {"R": "right", "L": "left"}
_NOTHING = 1e-3  # what a view says in which nothing is found


@dataclass(frozen=True)
class Together:
    """Chances of a mass: of each breast ("R", "L") with its number of views, and of the case."""

    breasts: Mapping[str, tuple[float, int]]
    case: float

    def __str__(self) -> str:
        """``chance of a mass: right breast 12 % (2 views), left breast 87 % (2 views), either 86 %``."""
        each = [
            f"{SIDES[side]} breast {100 * chance:.0f} % ({views} view{'s' * (views != 1)})"
            for side, (chance, views) in self.breasts.items()
        ]
        either = [f"either {100 * self.case:.0f} %"] if len(each) > 1 else []
        return f"chance of a mass: {', '.join([*each, *either])}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        breasts = {
            side: {"chance": round(chance, 6), "views": views}
            for side, (chance, views) in self.breasts.items()
        }
        return {"kind": "masses of a case", "breasts": breasts, "case": round(self.case, 6)}


def view_logits(scores: Sequence[np.ndarray]) -> np.ndarray:
    """What each view says: the logit of its best score, float (N,)."""
    best = [float(np.max(own, initial=0.0)) for own in scores]
    logits: np.ndarray = logit(np.clip(best, _NOTHING, 1 - _NOTHING))
    return logits


def of_breasts(
    views: np.ndarray, patients: Sequence[str], sides: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of each breast's views.

    Returns
    -------
    values, patients, index
        Of each breast float (B,) and str (B,); of each view its breast, int (N,). A view whose
        side nobody said is a breast of its own.
    """
    names = [
        f"{patient}\n{side or number}"
        for number, (patient, side) in enumerate(zip(patients, sides, strict=True))
    ]
    _, first, index = np.unique(names, return_index=True, return_inverse=True)
    values = np.bincount(index, views) / np.bincount(index)
    return values, np.asarray(patients)[first], index


def of_cases(breasts: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The worse breast of each patient, float (P,); of each breast its patient, int (B,)."""
    names, index = np.unique(patients, return_inverse=True)
    values = np.full(len(names), -np.inf)
    np.maximum.at(values, index, breasts)
    return values, index


def together(views: Iterable[Detections], settings: Mapping[str, Any]) -> Together | None:
    """What the views of one case say together.

    Parameters
    ----------
    settings
        Of the model's card.

    Returns
    -------
    None if the model was not calibrated for this, or no view says of which side it is.
    """
    known = [view for view in views if view.laterality in SIDES and view.standard]
    if not known or "breast" not in settings:
        return None
    logits = view_logits([np.array([view.best]) for view in known])
    by_side = {
        side: logits[[view.laterality == side for view in known]]
        for side in SIDES
        if any(view.laterality == side for view in known)
    }
    means = {side: float(own.mean()) for side, own in by_side.items()}
    slope, offset = settings["breast"]
    breasts = {
        side: (float(expit(slope * mean + offset)), len(by_side[side]))
        for side, mean in means.items()
    }
    slope, offset = settings["case"]
    case = float(expit(slope * max(means.values()) + offset))
    # calibrated by themselves, breasts may come out above the case that they are part of
    return Together(breasts, max(case, *(chance for chance, _ in breasts.values())))
