"""``pathogan models``: which there are, what is known of them, whether they are whole; add and remove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from napari_pathogan.cli.options import Json, Name  # noqa: TC001 - typer reads the annotations

app = typer.Typer(help="Models: embedded, and your own.", no_args_is_help=True)

_Model = Annotated[str, typer.Argument(help="Name of a model, or its folder or its run's.")]
_Task = Annotated[str, typer.Option("--task", help="Those of one task alone.")]


@app.command("list")
def list_models(task: _Task = "", as_json: Json = False) -> None:
    """List models: task, figure, size, where from, terms."""
    from napari_pathogan.library import listed

    models = listed(task)
    if as_json:
        rows = [
            {"name": name, "task": one.card.task, "title": one.card.title, "bytes": one.size}
            | {"embedded": one.embedded, "figure": one.headline, "folder": str(one.place)}
            | {"terms": [data.terms for data in one.card.training_data]}
            for name, one in models.items()
        ]
        typer.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("model", "task", "figure", "MB", "from"):
        table.add_column(column, justify="right" if column == "MB" else "left")
    for name, one in models.items():
        whose = "embedded" if one.embedded else "yours"
        table.add_row(name, one.card.task, one.headline, f"{one.size / 1e6:.1f}", whose)
    Console(markup=False).print(table)


@app.command()
def show(model: _Model, as_json: Json = False) -> None:
    """Show a model's card: what it is for and not for, its figures, what it learnt from, its terms."""
    from napari_pathogan.library import find

    found = find(model)
    card = found.card
    if as_json:
        typer.echo(card.model_dump_json())
        return
    lines = [card.title, card.intended_use]
    lines += [f"Not for: {one}" for one in card.not_for]
    lines += [f"Misses: {one}" for one in card.blind_to]
    for name, metric in card.metrics.items():
        if metric.value is not None:
            limits = "" if metric.low is None else f" ({metric.low:.3f} to {metric.high:.3f})"
            lines.append(f"{name}: {metric.value:.3f}{limits}")
    lines += [f"Measured by: {card.measured_by}"] if card.measured_by else []
    lines += [found.gain] if found.gain else []
    lines += [f"Looked at: {card.looks}"] if card.looks else []
    for data in card.training_data:
        lines.append(
            f"Learnt from: {data.name}, {len(data.patients)} patients, {data.n_images} images"
        )
        lines.append(f"Terms: {data.terms}")
    if parent := card.recipe.get("parent"):
        lines.append(f"Went on from: {parent}")
    lines += [f"Licence: {card.licence or 'not stated'}", f"Weights: {card.sha256}"]
    lines.append(f"Folder: {found.place}")
    typer.echo("\n".join(lines))


@app.command()
def verify(
    models: Annotated[list[str] | None, typer.Argument(help="Models; all by default.")] = None,
) -> None:
    """Check that models are whole: weights as their cards say, and networks that can be built."""
    from napari_pathogan import library
    from napari_pathogan.cli.outputs import fail
    from napari_pathogan.errors import PathoganError

    found = [library.find(one) for one in models] if models else list(library.listed().values())
    broken = 0
    for one in found:
        try:
            library.verify(one)
        except PathoganError as error:
            broken += 1
            typer.echo(f"{one.card.name}: {error}", err=True)
        else:
            typer.echo(f"{one.card.name}: whole")
    if broken:
        fail(f"{broken} of {len(found)} models are not whole")


@app.command()
def add(
    folder: Annotated[
        str,
        typer.Argument(
            help="Folder of a model, or of a run; or hf-hub:ORGANISATION/NAME@COMMIT.",
            metavar="FOLDER",
        ),
    ],
    name: Name = "",
    sha256: Annotated[str, typer.Option("--hash", help="sha256 that the weights must have.")] = "",
) -> None:
    """Copy a model into your own, after checking it; it is then found by its name."""
    from napari_pathogan import library

    one = library.add(folder, name, sha256)
    typer.echo(f"{one.card.name}: {one.place}")


@app.command()
def export(
    model: _Model,
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write.")],
) -> None:
    """Write a model's network as ONNX, after comparing what both give."""
    from napari_pathogan import library
    from napari_pathogan.cli.outputs import check_outputs
    from napari_pathogan.engine.onnx import ONNX

    check_outputs([(output, ONNX)], [Path(model)])
    one = library.find(model)
    off = library.export(one, output)
    typer.echo(
        f"{output}: {output.stat().st_size / 1e6:.1f} MB, at most {off:.1e} off {one.card.name}"
    )


@app.command()
def rename(model: _Model, name: Annotated[str, typer.Argument(help="Its new name.")]) -> None:
    """Give a model of your own another name."""
    from napari_pathogan import library

    one = library.rename(library.find(model), name)
    typer.echo(f"{one.card.name}: {one.place}")


@app.command()
def remove(
    model: _Model,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete a model of your own."""
    from napari_pathogan import library

    one = library.find(model)
    if not one.embedded and not yes:
        typer.confirm(f"Delete {one.card.name} ({one.place})?", abort=True)
    library.remove(one)
    typer.echo(f"{one.card.name} is gone")
