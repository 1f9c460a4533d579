"""``pathogan masses blend`` and ``pathogan masses blend-train``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import Annotated

import typer

from napari_pathogan.cli.options import (  # noqa: TC001  (typer reads the annotations)
    Device,
    Epochs,
    Events,
    Name,
    Output,
    Resume,
    Seed,
    Settings,
    Source,
    Terms,
)

_FOLDER = typer.Argument(help="images/, images.csv and boxes.csv.")


class Method(StrEnum):
    """How a lesion is put into a healthy breast."""

    blending = "blending"
    poisson = "poisson"
    adversarial = "adversarial"


class Arm(StrEnum):
    """Which network is trained."""

    blending = "blending"
    adversarial = "adversarial"


def blend(  # noqa: PLR0917
    folder: Annotated[Path, _FOLDER],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    count: Annotated[int, typer.Option("-n", "--count", help="How many images.", min=1)] = 200,
    method: Annotated[
        Method,
        typer.Option(
            help="The blending network, Poisson editing, or a network that sees no lesion."
        ),
    ] = Method.blending,
    model: Annotated[
        str,
        typer.Option(
            help="Name of a blending network, or its run; adversarial needs one.",
            metavar="NAME|RUN",
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="The same seed makes the same images.", min=0)] = 0,
    device: Device = "auto",
    events: Events = False,
) -> None:
    """Grow masses of a folder in its healthy mammograms; everything says that it is synthetic."""
    from napari_pathogan.cli.outputs import check_outputs
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.kinds import NEW
    from napari_pathogan.tasks.blending.export import write_synthetic
    from napari_pathogan.tasks.blending.model import TASK, BlendModel
    from napari_pathogan.tasks.masses.data import read_mass_folder

    check_outputs([(output, NEW)], [folder])
    if method is Method.adversarial and not model:
        msg = "adversarial needs a network of its own: give --model, from blend-train --method"
        raise typer.BadParameter(msg, param_hint="--model")
    read = read_mass_folder(folder)
    loaded = None if method is Method.poisson else BlendModel.load(model or TASK, device)
    made = write_synthetic(read, output, count, method=method.value, seed=seed, model=loaded)
    follow(made, as_json=events)
    if not events:
        typer.echo(f"{count} synthetic mammograms in {output}")


def blend_train(  # noqa: PLR0917
    folder: Annotated[Path, _FOLDER],
    output: Output,
    method: Annotated[
        Arm | None,
        typer.Option(help="With prior knowledge of the mass (default), or without (adversarial)."),
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Channels of the generator at full size.", min=1)
    ] = None,
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
    """Train a network that blends masses into healthy mammograms."""
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.blending.config import TrainConfig
    from napari_pathogan.tasks.blending.model import learn
    from napari_pathogan.tasks.masses.data import read_mass_folder

    run = RunFolder(output)
    run.check(resume=resume)
    config = TrainConfig().adjusted(
        settings or (),
        method=method.value if method else None,
        seed=seed,
        width=width,
        epochs=epochs,
    )
    read = read_mass_folder(folder)
    run.start({**config.to_json(), "data": str(folder)}, resume=resume)
    data = TrainingData.told(folder, source, terms)
    follow(learn(read, config, run, name=name, data=data, device=device), as_json=events)
    if not events:
        typer.echo(f"model: {run.model}")
