"""``pathogan nuclei train`` and ``pathogan nuclei evaluate``."""

from __future__ import annotations

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
    Views,
)
from napari_pathogan.cli.show import show

_Folder = Annotated[
    Path, typer.Argument(help="images/ and masks/ of the same names, or annotated slides.")
]
_Folds = Annotated[
    str,
    typer.Option(
        help="Patient folds to cross-validate, 'patients' for one a patient; 0: none.",
        metavar="N|patients",
    ),
]
_Start = Annotated[
    str,
    typer.Option(
        help="Begin with an earlier run of the same folds, or (without folds) with a model; "
        "the width is theirs.",
        metavar="RUN|MODEL",
    ),
]
_MPP = typer.Option(help="um per pixel of the images.", min=0.05, max=4)
_PATIENT = typer.Option(
    help="Regular expression; its group is the patient in a file's name.", metavar="REGEX"
)


def train(  # noqa: PLR0917
    folder: _Folder,
    output: Output,
    recipe: Recipe = RecipeName.paper,
    width: Annotated[
        int | None,
        typer.Option(help="Channels of the first stage; the recipe's by default.", min=1),
    ] = None,
    folds: _Folds = "0",
    epochs: Epochs = None,
    batch: Annotated[int | None, typer.Option(help="Crops a step.", min=1)] = None,
    seed: Seed = None,
    mpp: Annotated[float, _MPP] = 0.25,
    patient: Annotated[str, _PATIENT] = r"(.+)_\d+",
    settings: Settings = None,
    start: _Start = "",
    name: Name = "",
    source: Source = "",
    terms: Terms = "",
    device: Device = "auto",
    resume: Resume = False,
    events: Events = False,
) -> None:
    """Train a U-Net on images with nucleus masks, split by patient."""
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.nuclei.config import RECIPES
    from napari_pathogan.tasks.nuclei.crossval import check, learn
    from napari_pathogan.tasks.nuclei.data import read_training_folder
    from napari_pathogan.tasks.nuclei.starts import shaped

    run = RunFolder(output)
    run.check(resume=resume)
    config = RECIPES[recipe.value].adjusted(
        settings or (), width=width, seed=seed, epochs=epochs, batch=batch
    )
    config = shaped(config, start) if start else config
    read = read_training_folder(folder, mpp=mpp, patient=patient)
    number = _folds(folds, len(read.names))
    check(read, config, number)
    asked = {"folds": number, "mpp": mpp, "patient": patient, "data": str(folder), "start": start}
    run.start({**config.to_json(), **asked}, resume=resume)
    data = TrainingData.told(folder, source, terms)
    learning = learn(
        read, config, run, folds=number, start=start, device=device, name=name, data=data
    )
    finished = follow(learning, as_json=events)
    if not events:
        if finished.result is not None:
            show(finished.result)
        typer.echo(f"model: {run.model}")


def _folds(text: str, patients: int) -> int:
    if text == "patients":
        return patients
    if not text.isdecimal():
        msg = f"{text!r} is neither a number of folds nor 'patients'"
        raise typer.BadParameter(msg, param_hint="--folds")
    return int(text)


def evaluate(  # noqa: PLR0917
    folder: _Folder,
    model: Annotated[str, typer.Option(help="Name of a model, or its folder.")] = "nuclei-unet",
    mpp: Annotated[float, _MPP] = 0.25,
    patient: Annotated[str, _PATIENT] = r"(.+)_\d+",
    threshold: Annotated[
        float | None,
        typer.Option(help="Nucleus from this probability on; the model's own.", min=0, max=1),
    ] = None,
    views: Views = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Evaluate a nucleus model on images with masks: the paper's figures and more, with intervals."""
    from napari_pathogan.tasks.nuclei.data import read_training_folder
    from napari_pathogan.tasks.nuclei.evaluate import evaluate as measure
    from napari_pathogan.tasks.nuclei.model import NucleiModel

    loaded = NucleiModel.load(model, device=device, views=views)
    if threshold is not None:
        loaded.threshold = threshold
    report = measure(read_training_folder(folder, mpp=mpp, patient=patient), loaded)
    show(report, as_json=json)
