"""``pathogan idc train`` and ``pathogan idc evaluate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_pathogan.cli.options import (
    Device,
    Epochs,
    Events,
    Json,
    Name,
    Output,
    Recipe,
    RecipeName,
    Resume,
    Seed,
    Settings,
    Source,
    Terms,
)
from napari_pathogan.cli.show import show

_Folder = Annotated[
    Path,
    typer.Argument(help="Patches (<patient>/<0, 1 or unlabelled>/*.png), or annotated slides."),
]

_Patience = Annotated[
    int | None,
    typer.Option(help="Stop after so many epochs without a better held-out AUC; never by default."),
]


class Method(StrEnum):
    """What to train."""

    cgan = "cgan"
    cnn = "cnn"


def train(  # noqa: PLR0917
    folder: _Folder,
    output: Output,
    method: Annotated[
        Method | None, typer.Option(help="Conditional GAN (the default), or its CNN alone.")
    ] = None,
    recipe: Recipe = RecipeName.paper,
    width: Annotated[
        float | None, typer.Option(help="Width multiplier: 1 (the default), 2 or 4.", min=0.01)
    ] = None,
    labelled: Annotated[
        float | None, typer.Option(help="Share of the labels to use; all by default.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Patient folds to cross-validate; 0: none.")] = 0,
    holdout: Annotated[
        float, typer.Option(help="Without folds: share of the patients held out.", min=0, max=0.5)
    ] = 0.2,
    epochs: Epochs = None,
    batch: Annotated[int | None, typer.Option(help="Patches a step.", min=2)] = None,
    patience: _Patience = None,
    seed: Seed = None,
    settings: Settings = None,
    name: Name = "",
    source: Source = "",
    terms: Terms = "",
    device: Device = "auto",
    resume: Resume = False,
    events: Events = False,
) -> None:
    """Train an IDC model on patches, split by patient."""
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.idc.annotated import read_training_folder
    from napari_pathogan.tasks.idc.config import RECIPES
    from napari_pathogan.tasks.idc.crossval import check, learn

    run = RunFolder(output)
    run.check(resume=resume)
    config = RECIPES[recipe.value].adjusted(
        settings or (),
        method=method.value if method else None,
        width=width,
        labelled=labelled,
        seed=seed,
        epochs=epochs,
        batch=batch,
        patience=patience,
    )
    patches = read_training_folder(folder)
    check(patches, folds)
    asked = {**config.to_json(), "folds": folds, "holdout": holdout, "data": str(folder)}
    run.start(asked, resume=resume)
    data = TrainingData.told(folder, source, terms)
    learning = learn(
        patches, config, run, folds=folds, holdout=holdout, device=device, name=name, data=data
    )
    finished = follow(learning, as_json=events)
    if not events:
        for report in finished.result:
            show(report)
        typer.echo(f"model: {run.model}")


def evaluate(  # noqa: PLR0917
    folder: Annotated[
        Path, typer.Argument(help="Patches (<patient>/<0 or 1>/*.png), or annotated slides.")
    ],
    model: Annotated[str, typer.Option(help="Name of a model, or its folder.")] = "idc-cgan",
    context: Annotated[
        bool,
        typer.Option("--context", help="As the heat map: slide's own colours and neighbours."),
    ] = False,
    prevalence: Annotated[
        float | None, typer.Option(help="Report at this share of IDC, e.g. 0.284.")
    ] = None,
    views: Annotated[
        int, typer.Option(help="Flips and turns each patch is seen in.", min=1, max=8)
    ] = 1,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Evaluate an IDC model on labelled patches: the paper's Table 1 and more, with intervals."""
    from napari_pathogan.tasks.idc.annotated import read_training_folder
    from napari_pathogan.tasks.idc.evaluate import evaluate as measure
    from napari_pathogan.tasks.idc.model import IdcModel

    loaded = IdcModel.load(model, device=device, views=views)
    report = measure(read_training_folder(folder), loaded, context=context, prevalence=prevalence)
    show(report, as_json=json)
