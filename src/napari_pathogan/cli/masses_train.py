"""``pathogan masses train``."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_pathogan.cli.options import (
    Device,
    Epochs,
    Events,
    Name,
    Output,
    RecipeName,
    Resume,
    Seed,
    Settings,
    Source,
    Terms,
)


class Arm(StrEnum):
    """What is learnt from beside real mammograms."""

    real = "real"
    poisson = "poisson"
    adversarial = "adversarial"
    blending = "blending"


_Folder = Annotated[
    Path,
    typer.Argument(
        help="images/, images.csv and boxes.csv, or images with reviewed masses beside them."
    ),
]
_Start = Annotated[
    str,
    typer.Option(
        help="Begin with an earlier run of the same folds, or with a model that knows no patient "
        "of the folds; the detector is the model's.",
        metavar="RUN|MODEL",
    ),
]


def train(  # noqa: PLR0917
    folder: _Folder,
    output: Output,
    arm: Annotated[
        Arm | None,
        typer.Option(help="Real mammograms alone, or lesions blended into healthy ones (default)."),
    ] = None,
    recipe: Annotated[
        RecipeName,
        typer.Option(help="The paper's ResNet-50, or a slim one that learns on a CPU."),
    ] = RecipeName.paper,
    weights: Annotated[
        str, typer.Option(help="COCO weights as safetensors to begin with.", metavar="FILE")
    ] = "",
    folds: Annotated[
        int, typer.Option(help="Patient folds to cross-validate; 0: none.", min=0)
    ] = 0,
    start: _Start = "",
    epochs: Epochs = None,
    seed: Seed = None,
    settings: Settings = None,
    name: Name = "",
    source: Source = "",
    terms: Terms = "",
    device: Device = "auto",
    resume: Resume = False,
    events: Events = False,
) -> None:
    """Train a Mask R-CNN on mammograms with boxes of masses, split by patient."""
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.cli.show import show
    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.masses.annotated import read_training_folder
    from napari_pathogan.tasks.masses.config import RECIPES
    from napari_pathogan.tasks.masses.crossval import check, learn
    from napari_pathogan.tasks.masses.starts import going_on

    run = RunFolder(output)
    run.check(resume=resume)
    config = replace(RECIPES[recipe.value], arm="blending")
    config = (going_on(config, start) if start else config).adjusted(
        settings or (),
        arm=arm.value if arm else None,
        weights=weights or None,
        seed=seed,
        epochs=epochs,
    )
    read = read_training_folder(folder)
    check(read, config, folds, start)
    asked = {**config.to_json(), "folds": folds, "data": str(folder), "start": start}
    run.start(asked, resume=resume)
    data = TrainingData.told(folder, source, terms)
    learning = learn(
        read, config, run, folds=folds, start=start, device=device, name=name, data=data
    )
    finished = follow(learning, as_json=events)
    if not events:
        if finished.result is not None:
            show(finished.result)
        typer.echo(f"model: {run.model}")
