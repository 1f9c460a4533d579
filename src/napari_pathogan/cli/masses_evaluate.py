"""``pathogan masses evaluate`` and ``pathogan masses froc``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_pathogan.cli.options import (  # noqa: TC001  (typer reads the annotations)
    Device,
    Events,
    Json,
)
from napari_pathogan.cli.show import show


def evaluate(  # noqa: PLR0917
    folder: Annotated[
        Path,
        typer.Argument(
            help="images/, images.csv and boxes.csv, or images with reviewed masses beside them."
        ),
    ],
    model: Annotated[str, typer.Option(help="Name of a model, or its folder.")] = "masses-inbreast",
    keep: Annotated[
        Path | None, typer.Option(help="JSON to write with all that was found, for `froc`.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
    events: Events = False,
) -> None:
    """Evaluate a mass detector: the share found at given false positives an image, with intervals."""
    from napari_pathogan.cli.outputs import check_outputs
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.tasks.masses.annotated import read_training_folder
    from napari_pathogan.tasks.masses.evaluate import evaluate as measure
    from napari_pathogan.tasks.masses.model import MassModel
    from napari_pathogan.tasks.masses.scored import JSON

    check_outputs([(keep, JSON)], [folder])
    read = read_training_folder(folder)
    loaded = MassModel.load(model, device)
    finished = follow(measure(read, loaded, keep=keep), as_json=events)
    if not events:
        show(finished.result, as_json=json)


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
