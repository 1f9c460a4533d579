"""``pathogan masses froc``: arms beside one another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def froc(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Runs with folds, or files that `evaluate --keep` wrote; NAME=RUN names one.",
            metavar="RUN...",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Plot of the curves, PNG.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="Resamples of the patients for intervals; 0: none.", min=0)
    ] = 1000,
) -> None:
    """Compare arms: their FROC curves, and tables as Markdown beside the published figures."""
    from napari_pathogan.cli.outputs import check_outputs
    from napari_pathogan.tasks.masses.compare import Arm, differences, table
    from napari_pathogan.tasks.masses.plots import FROC, froc_plot

    named = [run.rpartition("=") for run in runs]
    check_outputs([(output, FROC)], [Path(path) for *_, path in named])
    arms = [Arm.read(Path(path), name) for name, _, path in named]
    typer.echo(table(arms, rounds))
    if len(arms) > 1 and rounds:
        typer.echo(f"\n{differences(arms, rounds)}")
    if output is not None:
        froc_plot(output, arms, rounds=rounds)
        typer.echo(f"\nplot: {output}")
