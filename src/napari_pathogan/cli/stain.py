"""``pathogan stain``: learn styles, carry slides to them, and measure how well that goes."""

from __future__ import annotations

import json as js
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.stain.predict import Transfer

app = typer.Typer(help="Slides in the colours of another laboratory.", no_args_is_help=True)


class Method(StrEnum):
    """How a slide is carried over."""

    cnn = "cnn"
    lut = "lut"
    macenko = "macenko"
    reinhard = "reinhard"


@app.command()
def train(  # noqa: PLR0917
    folder: Annotated[
        Path,
        typer.Argument(
            help="Images of one style; sub-folders are tissue classes, or patients with classes."
        ),
    ],
    output: Output,
    mpp: Annotated[float | None, typer.Option(help="um per pixel of the images.", min=0.01)] = None,
    recipe: Recipe = RecipeName.paper,
    width: Annotated[float | None, typer.Option(help="Width multiplier.", min=0.05)] = None,
    class_loss: Annotated[
        float | None, typer.Option(help="Weight of the class loss: 1/30 to 1/300; 0: without.")
    ] = None,
    holdout: Annotated[
        float, typer.Option(help="Share of the patients to measure on first.", min=0, max=0.5)
    ] = 0.25,
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
    """Learn a stain style from a pool of images."""
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.stain.config import RECIPES
    from napari_pathogan.tasks.stain.data import StylePool
    from napari_pathogan.tasks.stain.learn import learn

    run = RunFolder(output)
    run.check(resume=resume)
    config = RECIPES[recipe.value].adjusted(
        settings or (), seed=seed, width=width, epochs=epochs, class_loss=class_loss
    )
    pool = StylePool.read(folder)
    if holdout:
        pool.split(holdout, config.seed)  # fails now if there is no second patient
    asked = {**config.to_json(), "holdout": holdout, "mpp": mpp, "data": str(folder)}
    run.start(asked, resume=resume)
    data = TrainingData.told(folder, source, terms)
    learning = learn(
        pool, config, run, holdout=holdout, mpp=mpp, name=name, data=data, device=device
    )
    finished = follow(learning, as_json=events)
    if not events:
        for key, value in finished.summary.items():
            typer.echo(f"{key}: {value}")


@app.command()
def apply(  # noqa: PLR0917
    slide: Annotated[Path, typer.Argument(help="The slide.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="OME-Zarr to write.")],
    style: Annotated[str, typer.Option(help="Name of a style, or its folder.")] = "",
    reference: Annotated[
        Path | None, typer.Option(help="An image in the wanted colours, in place of a style.")
    ] = None,
    method: Annotated[
        Method | None, typer.Option(help="How; by default what measures closest on this slide.")
    ] = None,
    keep_lightness: Annotated[
        bool,
        typer.Option("--keep-lightness", help="Network: lightness and colours as in the paper."),
    ] = False,
    mpp: Annotated[
        float | None, typer.Option(help="um per pixel, where the slide does not say.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    events: Events = False,
) -> None:
    """Carry a slide to a style, or to the colours of a reference image."""
    from napari_pathogan.cli.outputs import check_outputs
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.stain.export import ZARR

    check_outputs([(output, ZARR)], [slide] if reference is None else [slide, reference])
    if bool(style) == (reference is not None):
        msg = "give either a style or a reference image"
        raise typer.BadParameter(msg, param_hint="--style, --reference")
    with Slide.open(slide, mpp=mpp) as opened:
        transfer = _transfer(
            opened, style, reference, method, device=device, keep_lightness=keep_lightness
        )
        summary = follow(_written(opened, transfer, output), as_json=events).summary
    for note in transfer.notes:
        typer.echo(f"pathogan: {note}", err=True)
    if as_json:
        typer.echo(js.dumps(summary))
    elif not events:
        typer.echo(f"{slide.name} in the colours of {transfer.colours_of}: {output}")
        if transfer.why:
            typer.echo(transfer.why)


@app.command()
def evaluate(
    source: Annotated[Path, typer.Argument(help="Images to carry over.")],
    target: Annotated[Path, typer.Argument(help="Images of the style, best of other patients.")],
    style: Annotated[str, typer.Option(help="Name of a style, or its folder.")] = "stain-tnbc",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Compare all methods as the paper's table does, on images of SOURCE carried to a style."""
    from napari_pathogan.tasks.stain.data import StylePool
    from napari_pathogan.tasks.stain.evaluate import evaluate as measure
    from napari_pathogan.tasks.stain.model import StyleModel

    loaded = StyleModel.load(style, device)
    report = measure(StylePool.read(source), StylePool.read(target), loaded)
    show(report, as_json=json)


def _transfer(
    slide: Slide,
    style: str,
    reference: Path | None,
    method: Method | None,
    *,
    device: str,
    keep_lightness: bool,
) -> Transfer:
    from napari_pathogan.slides.slide import Slide as Opened
    from napari_pathogan.tasks.stain import predict as task
    from napari_pathogan.tasks.stain.model import StyleModel

    how = task.Method(method.value) if method is not None else None
    if style:
        model = StyleModel.load(style, device)
        return task.fit(slide, model, how, keep_lightness=keep_lightness)
    assert reference is not None
    if how in {task.Method.cnn, task.Method.lut}:
        msg = "a reference image serves Macenko and Reinhard; the network needs a style"
        raise typer.BadParameter(msg, param_hint="--method")
    import numpy as np

    with Opened.open(reference) as target:
        pixels = np.concatenate(task.tissue_tiles(target, None))
        return task.fit_reference(slide, pixels, how, target.name)


def _written(slide: Slide, transfer: Transfer, output: Path) -> Iterator[Event]:
    from napari_pathogan.engine.events import Finished
    from napari_pathogan.tasks.stain.export import write_slide
    from napari_pathogan.tasks.stain.predict import transferred

    with transferred(slide, transfer) as made:
        yield from write_slide(output, made)
    yield Finished(
        None,
        {
            "slide": slide.name,
            "style": transfer.style,
            "method": str(transfer.method),
            "colours_of": transfer.colours_of,
            "measured": {
                str(m): asdict(c) | {"distance": c.distance} for m, c in transfer.measured.items()
            },
            "student_error_lab": transfer.student_error,
            "notes": list(transfer.notes),
            "file": str(output),
        },
    )
