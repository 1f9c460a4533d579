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


def verdict_html(verdict: Verdict, whom: str = "") -> str:
    """What was found in large, of whom, and why."""
    of_whom = f"{whom}: " if whom else ""
    text = f"<p><b>{of_whom}{verdict.outcome}.</b><br>{escape(verdict.reason)}</p>"
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def list_html(title: str, lines: Sequence[object]) -> str:
    """A title and its lines; nothing where there are none."""
    items = "".join(f"<br>• {escape(str(line))}" for line in lines)
    return f"<b>{title}</b>{items}" if lines else ""


def _row(name: str, value: str) -> str:
    return f"<tr><td>{name}</td><td align='right'>{value}</td></tr>"
