"""Showing what was measured: a table for people, or one JSON object for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from napari_pathogan.engine.report import Report
    from napari_pathogan.engine.task import Task


def show(report: Report, *, as_json: bool = False) -> None:
    """Print a report on stdout."""
    if as_json:
        typer.echo(report.to_json())
        return
    from rich.console import Console

    Console(markup=False).print(report.table())


def show_gain(report: Report, task: Task) -> None:
    """Print what a model has gained in words, a figure a row; and the report's notes."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from napari_pathogan.engine.before_after import WORDS, gains

    rows = gains(report, task.gains)
    if rows:
        table = Table(title=report.title, box=SIMPLE_HEAD)
        table.add_column(min_width=26)
        for column in ("before", "after", "gain (95 % interval)", ""):
            table.add_column(column)
        for row in rows:
            what = row.words[:1].upper() + row.words[1:]
            before, after = (f"{one.value:.3f}" for one in (row.before, row.after))
            table.add_row(what, before, after, row.said, WORDS[row.verdict].lower())
        Console(markup=False).print(table)
    for note in report.notes:
        typer.echo(note[:1].upper() + note[1:])
