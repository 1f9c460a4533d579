"""Tables of a study's results as rich text, in the words of the report page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.study.rows import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.engine.report import Report
    from napari_pathogan.study.judgements import Reader
    from napari_pathogan.study.report import StudyReport, TooFew
    from napari_pathogan.study.verdicts import Verdict

_COUNTS = {
    "n_readers": "Readers",
    "n_answers": "Answers",
    "n_images": "Images",
    "n_right": "Right",
    "n_missing": "Not answered yet",
    "n_controls_failed": "Attention checks failed",
    "n_zoomed": "Images zoomed into",
}


def metrics_html(report: Report) -> str:
    """A row for each figure: its name, its value, its interval; then counts and notes."""
    lines = []
    for row in rows([report]):
        value, interval = row["cells"][0]
        small = f"<br><small>{escape(interval)}</small>" if interval else ""
        lines.append(_row(escape(row["title"]), f"<b>{escape(value)}</b>{small}"))
    lines += [
        _row(title, f"<b>{report.counts[name]}</b>")
        for name, title in _COUNTS.items()
        if name in report.counts
    ]
    notes = "".join(f"<p>• {escape(note)}</p>" for note in report.notes)
    return f"<table width='100%' cellpadding='3'>{''.join(lines)}</table>{notes}"


def confusion_html(readers: Sequence[Reader], *, pairs: bool) -> str:
    """What was taken for what, over some readers."""
    (hits, misses), (false, passed) = np.sum([reader.confusion for reader in readers], axis=0)
    truths = ("real one left", "real one right") if pairs else ("generated", "real")
    said = ("said left", "said right") if pairs else ("said generated", "said real")
    head = "".join(f"<td align='center'>{word}</td>" for word in ("", *said))
    body = "".join(
        f"<tr><td>{truth}</td>" + "".join(f"<td align='center'><b>{n}</b></td>" for n in counts)
        for truth, counts in zip(truths, ((hits, misses), (false, passed)), strict=True)
    )
    table = f"<table width='100%' cellpadding='3'><tr>{head}</tr>{body}</table>"
    return f"<b>What was taken for what</b>{table}"


def verdict_html(*verdicts: Verdict) -> str:
    """What was found in large, and why; each verdict a paragraph."""
    return "".join(f"<p><b>{said.outcome}.</b><br>{escape(said.reason)}</p>" for said in verdicts)


def not_counted_html(short: Sequence[TooFew]) -> str:
    """Who has answered too little to count; nothing where there is nobody."""
    lines = "".join(f"<br>• {escape(str(one))}" for one in short)
    return f"<b>Not counted</b>{lines}" if short else ""


def problems_html(report: StudyReport) -> str:
    """What was tampered with."""
    lines = "".join(f"<br>• {escape(problem)}" for problem in report.problems)
    return f"<b>Not as it was written</b>{lines}"


def _row(name: str, value: str) -> str:
    return f"<tr><td>{name}</td><td align='right'>{value}</td></tr>"
