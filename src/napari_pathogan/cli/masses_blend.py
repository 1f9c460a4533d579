"""``pathogan masses blend``: lesions grown in healthy mammograms."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import Annotated

import typer

from napari_pathogan.cli.options import Device, Events  # noqa: TC001  (typer reads the annotations)

_FOLDER = typer.Argument(help="images/, images.csv and boxes.csv.")


class BlendMethod(StrEnum):
    """How a lesion is put into a healthy breast."""

    blending = "blending"
    poisson = "poisson"
    adversarial = "adversarial"


def blend(  # noqa: PLR0917
    folder: Annotated[Path, _FOLDER],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    count: Annotated[int, typer.Option("-n", "--count", help="How many images.", min=1)] = 200,
    method: Annotated[
        BlendMethod,
        typer.Option(
            help="The blending network, Poisson editing, or a network that sees no lesion."
        ),
    ] = BlendMethod.blending,
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
    if method is BlendMethod.adversarial and not model:
        msg = "adversarial needs a network of its own: give --model, from blend-train --method"
        raise typer.BadParameter(msg, param_hint="--model")
    read = read_mass_folder(folder)
    loaded = None if method is BlendMethod.poisson else BlendModel.load(model or TASK, device)
    made = write_synthetic(read, output, count, method=method.value, seed=seed, model=loaded)
    follow(made, as_json=events)
    if not events:
        typer.echo(f"{count} synthetic mammograms in {output}")
