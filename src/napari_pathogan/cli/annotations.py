"""``pathogan annotations`` and ``pathogan retrain``: the reader's own model, without a window."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_pathogan.cli.options import (  # noqa: TC001 - typer reads the annotations
    Device,
    Events,
    Json,
    Name,
    Output,
    Resume,
    Source,
    Terms,
)
from napari_pathogan.tasks import registered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.annotations.review import AnnotationReview
    from napari_pathogan.engine.task import Retraining, Task
    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.slides.slide import Slide

    Opened = Slide | Mammogram

app = typer.Typer(help="What is annotated on slides, to learn from.", no_args_is_help=True)
RETRAINED = {one.name: one for one in registered().values() if one.retraining is not None}
_NAMES = ", ".join(RETRAINED)

_Slides = Annotated[
    list[Path], typer.Argument(help="Slides or mammograms, or folders of annotated ones.")
]
_Slide = Annotated[Path, typer.Argument(help="The slide or mammogram.")]
_TaskName = Annotated[str, typer.Option("--task", help=f"Whose annotations: {_NAMES}.")]
_Mpp = Annotated[
    float | None, typer.Option(help="um per pixel, where slides do not say.", min=0.01)
]
_Classes = Annotated[
    str,
    typer.Option(
        help="What classes of outlines count as, where the table does not know: NAME=KIND, ...",
        metavar="NAME=KIND",
    ),
]


def _retraining(name: str) -> tuple[Task, Retraining]:
    if name not in RETRAINED:
        msg = f"nothing is retrained for {name!r}; choose among {_NAMES}"
        raise typer.BadParameter(msg)
    task = RETRAINED[name]
    assert task.retraining is not None
    return task, task.retraining


def _kinds(task: Task, retraining: Retraining, text: str) -> Any:  # noqa: ANN401 - the task's own
    if text and not retraining.kinds:
        msg = f"classes of {task.name} are kept with them: leave --classes out"
        raise typer.BadParameter(msg)
    try:
        return task.get(retraining.kinds)(text) if text else {}
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _expanded(paths: list[Path], retraining: Retraining) -> list[Path]:
    """Images among and in paths; of folders those that have annotations.

    Raises
    ------
    DataFolderError
        If a folder has none, or a slide is given twice.
    """
    from napari_pathogan.annotations.store import AnnotationStore
    from napari_pathogan.errors import DataFolderError
    from napari_pathogan.kinds import is_zarr

    found: list[Path] = []
    suffix, what = retraining.suffix, retraining.images.removesuffix("s")
    for path in paths:
        if path.is_dir() and not is_zarr(path):
            stores = AnnotationStore.in_folder(path, suffix, below=retraining.by_patient)
            if not stores:
                msg = f"no {what} in {path} has annotations ({suffix}); draw some, or import them"
                raise DataFolderError("; ".join([msg, *_to_be_imported(path)]))
            found += [store.image for store in stores]
        else:
            found.append(path)
    twice = [path for path, n in Counter(path.resolve() for path in found).items() if n > 1]
    if twice:
        msg = f"{twice[0]} is given twice; name each {what} once"
        raise DataFolderError(msg)
    return found


def _to_be_imported(folder: Path) -> Iterator[str]:
    """A sentence where outlines of QuPath's lie beside images of a folder."""
    from napari_pathogan.annotations.store import AnnotationStore

    for store in AnnotationStore.in_folder(folder, ".geojson"):
        file = store.by_stem or store.beside
        if store.image.is_file() and file.is_file():
            yield (
                f"{file.name} lies beside {store.image.name}, and is not used before "
                f"pathogan annotations import {file} {store.image}"
            )
            return


def _rows(
    path: Path,
    mpp: float | None,
    task: Task,
    retraining: Retraining,
    kinds: Any,  # noqa: ANN401
) -> tuple[dict[str, Any], list[str]]:
    """What is annotated on a slide, and what is to be said of it."""
    with task.get(retraining.open)(path, mpp=mpp) as slide:
        outlines, notes = task.get(retraining.read)(slide)
        counts, more = task.get(retraining.count)(slide, outlines, kinds)
        drawn = Counter(one.class_name or "unclassified" for one in outlines)
        row = {"slide": path.name, "outlines": dict(drawn), "learnt": counts}
        return row, [
            *notes,
            *more,
            *_not_imported(path, slide, task.get(retraining.read), outlines),
        ]


def _not_imported(
    path: Path, slide: Opened, read: Callable[..., Any], kept: list[Annotation]
) -> Iterator[str]:
    """A sentence on outlines of QuPath's that lie beside a slide, where only what is kept counts."""
    from napari_pathogan.annotations.store import AnnotationStore
    from napari_pathogan.errors import PathoganError

    for store in AnnotationStore.in_folder(path.parent, ".geojson"):
        file = store.by_stem or store.beside
        if path not in {store.image, *store.alike} or not file.is_file():
            continue
        try:
            drawn, _ = read(slide, file)
        except PathoganError as error:
            yield f"beside {path.name}: {error}"
            continue
        if new := sum(not any(_same(one, other) for other in kept) for one in drawn):
            yield (
                f"{new} outlines of {file.name}, which lies beside {path.name}, are not used: "
                f"pathogan annotations import {file.name} {path.name} adds them"
            )


def _table(rows: list[dict[str, Any]], unit: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table, counted = Table(), list(rows[0]["learnt"])
    for column in ("slide", "outlines", *(f"{what} {unit}".strip() for what in counted)):
        table.add_column(column)
    for row in rows:
        drawn = ", ".join(f"{n} {name}" for name, n in row["outlines"].items()) or "none"
        table.add_row(row["slide"], drawn, *(str(row["learnt"][name]) for name in counted))
    total = [str(sum(row["learnt"][name] for row in rows)) for name in counted]
    table.add_row("all", "", *total)
    Console(markup=False).print(table)


def _survey(
    paths: list[Path],
    mpp: float | None,
    task: Task,
    retraining: Retraining,
    kinds: Any,  # noqa: ANN401
) -> tuple[list[dict[str, Any]], list[str]]:
    rows, notes = [], []
    for path in paths:
        row, more = _rows(path, mpp, task, retraining, kinds)
        rows.append(row)
        notes += more
    return rows, notes


def _missing(rows: list[dict[str, Any]], unit: str) -> str:
    """What there is nothing of, in words; empty where there is some of all."""
    none = [name for name in rows[0]["learnt"] if not any(row["learnt"][name] for row in rows)]
    return " and ".join(f"no {name} {unit}".strip() for name in none)


@app.command("list")
def list_(
    slides: _Slides,
    task: _TaskName = "idc",
    classes: _Classes = "",
    mpp: _Mpp = None,
    as_json: Json = False,
) -> None:
    """Show what is annotated, and how much of it is learnt from, by slide."""
    of, retraining = _retraining(task)
    kinds = _kinds(of, retraining, classes)
    rows, notes = _survey(_expanded(slides, retraining), mpp, of, retraining, kinds)
    if as_json:
        typer.echo(json.dumps({"slides": rows, "notes": notes}))
        return
    _table(rows, retraining.counted)
    for note in notes:
        typer.echo(f"note: {note}", err=True)


@app.command()
def check(
    slides: _Slides, task: _TaskName = "idc", classes: _Classes = "", mpp: _Mpp = None
) -> None:
    """Say what is wrong with annotations, a line each; exit code 1 if anything is."""
    from napari_pathogan.errors import PathoganError

    of, retraining = _retraining(task)
    kinds = _kinds(of, retraining, classes)
    rows, faults = [], []
    for path in _expanded(slides, retraining):
        try:
            row, notes = _rows(path, mpp, of, retraining, kinds)
        except PathoganError as error:
            faults.append(f"{path.name}: {error}")
            continue
        rows.append(row)
        faults += notes
    if rows and (missing := _missing(rows, retraining.counted)):
        faults.append(f"{missing}, which learning needs")
    for fault in faults:
        typer.echo(" ".join(fault.split()))
    if faults:
        raise typer.Exit(1)
    typer.echo("nothing is wrong")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="GeoJSON, as QuPath exports it.")],
    slide: _Slide,
    task: _TaskName = "idc",
) -> None:
    """Add outlines of a file to what is kept with a slide; those that are there stay."""
    from napari_pathogan.annotations.outlines import beyond

    of, retraining = _retraining(task)
    with of.get(retraining.open)(slide) as opened:
        kept, _ = of.get(retraining.read)(opened)
        drawn, notes = of.get(retraining.read)(opened, file)
        _refuse_foreign(drawn, notes, opened, file)
        new = [one for one in drawn if not any(_same(one, other) for other in kept)]
        place = of.get(retraining.write)(opened, [*kept, *new])
        notes = list(dict.fromkeys([*notes, *beyond(opened, file.name, drawn)]))
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{place}: {len(new)} outlines added to {len(kept)}")


def _same(one: Annotation, other: Annotation) -> bool:
    equal: bool = one.class_name == other.class_name and one.geometry.equals(other.geometry)
    return equal


def _refuse_foreign(drawn: list[Annotation], notes: list[str], slide: Opened, file: Path) -> None:
    """Make sure that there is something, and that some of it lies on the slide.

    Raises
    ------
    DataFolderError
        If not.
    """
    from shapely import box

    from napari_pathogan.errors import DataFolderError

    if notes and not drawn:
        msg = f"{file} holds nothing that can be learnt from: {'; '.join(notes)}"
        raise DataFolderError(msg)
    height, width = slide.shape
    if not any(one.geometry.intersects(box(0, 0, width, height)) for one in drawn):
        why = "lies on" if drawn else "of an area is in it, for"
        msg = f"{file}: no outline {why} {slide.name}, which has {width} x {height} px; is it another's?"
        raise DataFolderError(msg)


@app.command()
def export(
    slide: _Slide,
    output: Annotated[Path, typer.Option("-o", "--output", help="GeoJSON to write.")],
    task: _TaskName = "idc",
) -> None:
    """Write what is annotated on a slide as GeoJSON for QuPath."""
    from napari_pathogan.annotations import geojson
    from napari_pathogan.cli.outputs import check_outputs
    from napari_pathogan.errors import DataFolderError
    from napari_pathogan.kinds import geojson as kind_of
    from napari_pathogan.slides.polygons import corner
    from napari_pathogan.slides.slide import Slide

    kind = kind_of(f"{task} annotations")
    check_outputs([(output, kind)], [slide])
    of, retraining = _retraining(task)
    with of.get(retraining.open)(slide) as opened:
        kept, _ = of.get(retraining.read)(opened)
        if not kept:
            msg = f"nothing is annotated on {slide.name}"
            raise DataFolderError(msg)
        origin = corner(opened) if isinstance(opened, Slide) else (0.0, 0.0)
        about = {"kind": kind.name.partition(",")[0], "origin": origin}
        geojson.write(output, kept, about, kind)
    typer.echo(f"{output}: {len(kept)} outlines")


@app.command()
def review(  # noqa: PLR0917
    slides: _Slides,
    task: _TaskName = "idc",
    base: Annotated[str, typer.Option(help="The model; the task's own by default.")] = "",
    classes: _Classes = "",
    mpp: _Mpp = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Show which outlines are probably mislabelled: those that a model speaks most against, first."""
    from napari_pathogan.cli.progress import follow

    of, retraining = _retraining(task)
    if not retraining.review:
        msg = f"annotations of {of.name} are not reviewed"
        raise typer.BadParameter(msg)
    kinds = _kinds(of, retraining, classes)
    reviewing = of.get(retraining.review)(
        _expanded(slides, retraining), base or of.default, device=device, classes=kinds, mpp=mpp
    )
    found: dict[Path, AnnotationReview] = follow(reviewing).result
    if as_json:
        typer.echo(json.dumps([_plain(path, one) for path, one in found.items()]))
        return
    for path, one in found.items():
        _show_review(path.name, one)


def _plain(path: Path, review: AnnotationReview) -> dict[str, Any]:
    doubts = [
        {
            "outline": doubt.number + 1,
            "class": doubt.class_name,
            "counts_as": doubt.counts_as,
            "suggested": doubt.suggested,
            "against": round(doubt.against, 4),
            "patches": doubt.patches,
            "place": [doubt.place.y, doubt.place.x, doubt.place.height, doubt.place.width],
        }
        for doubt in review.doubts
    ]
    confusion = [
        {"drawn": drawn, "model": model, "patches": n}
        for (drawn, model), n in review.confusion.items()
    ]
    return {
        "slide": path.name,
        "outlines": doubts,
        "confusion": confusion,
        "held_back": review.held_back,
    }


def _show_review(name: str, review: AnnotationReview) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{name}: outlines, those that the model speaks most against first")
    for column in (
        "outline",
        "at y, x (px)",
        "drawn as",
        "patches",
        "against it",
        "the model says",
    ):
        table.add_column(column)
    for one in review.doubts:
        where = f"{one.place.y + one.place.height // 2}, {one.place.x + one.place.width // 2}"
        drawn = one.class_name or "unclassified"
        says = f"{one.suggested}: probably mislabelled" if one.disagrees else one.suggested
        cells = str(one.number + 1), where, drawn, str(one.patches), f"{one.against:.2f}", says
        table.add_row(*cells)
    Console(markup=False).print(table)
    matrix = Table(title="patches")
    names = list(dict.fromkeys(drawn for drawn, _ in review.confusion))
    for column in ("drawn as", *(f"model: {model}" for model in names)):
        matrix.add_column(column)
    for drawn in names:
        matrix.add_row(drawn, *(str(review.confusion[drawn, model]) for model in names))
    Console(markup=False).print(matrix)
    how = (
        "each outline by a model that knows the others alone"
        if review.held_back
        else "by the model as it is: to hold outlines back takes two of each class"
    )
    typer.echo(how[:1].upper() + how[1:])


def retrain(  # noqa: PLR0917
    task: Annotated[str, typer.Argument(help=f"What is retrained: {_NAMES}.")],
    slides: Annotated[
        list[Path],
        typer.Option(
            "--slides", help="Annotated slide or mammogram, or a folder of them; may be repeated."
        ),
    ],
    output: Output,
    base: Annotated[str, typer.Option(help="Model to begin with; the task's own by default.")] = "",
    classes: _Classes = "",
    mpp: _Mpp = None,
    name: Name = "",
    source: Source = "",
    terms: Terms = "",
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Let all layers of the network learn, where a head is refitted else."
        ),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=value: a setting of a deep round; may be repeated."),
    ] = None,
    resume: Resume = False,
    device: Device = "auto",
    as_json: Json = False,
    events: Events = False,
) -> None:
    """Make a model the reader's own: fit it to what is annotated on slides.

    The old model stays as it is; figures of before and after are shown and kept with the new one.
    """
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.cli.show import show_gain
    from napari_pathogan.engine import verbs
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.errors import DataFolderError

    RunFolder(output).check(resume=resume)
    of, retraining = _retraining(task)
    kinds = _kinds(of, retraining, classes)
    paths = _expanded(slides, retraining)
    rows, notes = _survey(paths, mpp, of, retraining, kinds)
    if not (events or as_json):
        _table(rows, retraining.counted)
    if missing := _missing(rows, retraining.counted):
        why = f"; {notes[0]}" if notes else ""
        msg = f"{missing} are annotated: draw around some{why}"
        raise DataFolderError(msg)
    learning = verbs.retrain(
        of, slides if retraining.by_patient else paths, output, base=base, name=name, source=source, terms=terms, device=device,
        classes=kinds, mpp=mpp, deep=deep, settings=settings or (), resume=resume,
    )  # fmt: skip
    finished = follow(learning, as_json=events)
    if as_json and not events:
        typer.echo(json.dumps({"annotated": rows, "notes": notes, **finished.summary}))
    elif not events:
        show_gain(finished.result, of)
        typer.echo(f"model: {finished.summary['model']}")
