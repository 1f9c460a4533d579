"""Figures of a report as rows of a table: what they are called, their values and intervals as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.engine.report import Report, Value

_TITLES = {
    "accuracy": "Right answers",
    "accuracy_wilson": "as independent answers (Wilson)",
    "accuracy_exact": "exact (Clopper-Pearson)",
    "binomial_p": "p against guessing (exact binomial)",
    "accuracy_90": "90 % interval, for equivalence",
    "equivalence_p": "p of equivalence (two one-sided exact tests)",
    "accuracy_90_readers": "90 % interval over readers and images",
    "fisher_p": "p of answer against truth (Fisher)",
    "sensitivity": "Generated ones recognised",
    "specificity": "Real ones recognised",
    "right_if_left": "Right where the real one was left",
    "right_if_right": "Right where the real one was right",
    "d_prime": "Sensitivity d\N{PRIME}",
    "criterion": "Criterion c",
    "auc": "AUC from confidence",
    "auc_anova": "AUC, other readers and images (Obuchowski-Rockette)",
    "accuracy_anova": "Right answers, other readers and images (Obuchowski-Rockette)",
    "fleiss_kappa": "Agreement of readers (Fleiss \N{GREEK SMALL LETTER KAPPA})",
    "fleiss_p": "p of no agreement",
    "repeat_agreement": "Same answer the second time",
    "repeat_kappa": "Agreement with oneself (Cohen \N{GREEK SMALL LETTER KAPPA})",
    "time_median_s": "Median time, s",
}
_SHARES = {
    *(
        "accuracy",
        "accuracy_anova",
        "accuracy_wilson",
        "accuracy_exact",
        "accuracy_90",
        "accuracy_90_readers",
    ),
    *("sensitivity", "specificity", "right_if_left", "right_if_right", "repeat_agreement"),
}


def rows(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """One row a metric that any of the reports has.

    Returns
    -------
    ``title`` in words, and ``cells``: for each report the figure and its interval, as text.
    """
    names = list(dict.fromkeys(name for report in reports for name in report.metrics))
    return [
        {
            "title": _TITLES.get(name, name),
            "cells": [_shown(name, report.metrics.get(name)) for report in reports],
        }
        for name in sorted(names, key=list(_TITLES).index)
    ]


def _shown(name: str, value: Value | None) -> tuple[str, str]:
    """A figure and its interval, in words."""
    if value is None or value.value is None:
        return "\N{EN DASH}", ""
    if name.endswith("_p"):
        return ("< 0.001" if value.value < 0.001 else f"{value.value:.3f}"), ""
    form, scale = ("{:.1f} %", 100) if name in _SHARES else ("{:.2f}", 1)
    shown = form.format(scale * value.value)
    if value.low is None or value.high is None:
        return shown, ""
    return shown, f"{form.format(scale * value.low)} to {form.format(scale * value.high)}"
