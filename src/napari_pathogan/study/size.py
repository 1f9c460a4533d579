"""How many readers and cases a study needs (Hillis, Obuchowski and Berbaum 2011).

*Power estimation for multireader ROC methods: an updated and unified approach*, Academic Radiology
18, 129-142: what a pilot study found (:mod:`.mrmc`) says how readers and cases vary; errors shrink
with the number of cases, readers' own differences don't.
"""

from __future__ import annotations

import math

from scipy import stats

from napari_pathogan.study.mrmc import Components, Holds

MOST_CASES = 100_000

VAN_DYKE = Components(
    readers=5,
    conditions=2,
    cases=114,
    ms_t=0.00479617,
    ms_r=0.00383620,
    ms_tr=0.00055103,
    var=0.00080229,
    cov1=0.00034661,
    cov2=0.00034407,
    cov3=0.00023903,
)
"""What is assumed without a pilot: five radiologists, 114 patients, two kinds of MRI (Van Dyke et al. 1993)."""


def power(  # noqa: PLR0917 - what a study is planned by
    pilot: Components,
    readers: int,
    cases: float,
    difference: float,
    holds: Holds = Holds.BOTH,
    alpha: float = 0.05,
) -> float:
    """The chance that a difference is found.

    Parameters
    ----------
    pilot
        Of two conditions that are to be compared; of one, it is compared with guessing.
    cases
        In each condition, real and generated as in the pilot.
    difference
        The true one of the mean figures; of one condition, that from guessing.
    """
    scale = pilot.cases / cases
    if pilot.conditions == 1:
        own, shared, each = max(pilot.var_r, 0.0), max(pilot.cov2, 0.0), pilot.var
        effect = readers * difference**2
    else:
        own, shared, each = max(pilot.var_tr, 0.0), pilot.between, pilot.var - pilot.cov1
        effect = readers * difference**2 / 2
    alone = own + scale * max(each - shared, 0.0)  # expected mean square of readers
    spread = {
        Holds.BOTH: alone + scale * readers * shared,
        Holds.CASES: scale * (each + (readers - 1) * shared),
        Holds.READERS: alone,
    }[holds]
    if not difference or spread <= 0:
        return 1.0 if difference else alpha
    if holds == Holds.CASES:
        limit = stats.chi2.isf(alpha, 1)
        return float(stats.ncx2.sf(limit, 1, effect / spread))
    df = (readers - 1) * (spread / alone) ** 2 if alone > 0 else 1e9
    return float(stats.ncf.sf(stats.f.isf(alpha, 1, df), 1, df, effect / spread))


def cases_needed(  # noqa: PLR0917 - as above
    pilot: Components,
    readers: int,
    difference: float,
    wanted: float = 0.8,
    holds: Holds = Holds.BOTH,
    alpha: float = 0.05,
) -> int | None:
    """Fewest cases in each condition that find a difference so often; None if no number does."""

    def enough(cases: int) -> bool:
        return power(pilot, readers, cases, difference, holds, alpha) >= wanted

    if not enough(MOST_CASES):
        return None
    low, high = 1, MOST_CASES
    while high - low > 1:
        middle = math.floor((low + high) / 2)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
