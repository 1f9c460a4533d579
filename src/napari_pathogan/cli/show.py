"""Showing what was measured: a table for people, or one JSON object for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from napari_pathogan.engine.report import Report


def show(report: Report, *, as_json: bool = False) -> None:
    """Print a report on stdout."""
    if as_json:
        typer.echo(report.to_json())
        return
    from rich.console import Console

    Console().print(report.table())
