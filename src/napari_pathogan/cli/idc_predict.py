"""``pathogan idc predict``: heat maps of slides, and what they are saved as."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.idc.heatmap import HeatMap
    from napari_pathogan.idc.model import IdcModel
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide

_SUFFIXES = {"output": ".ome.zarr", "geojson": ".geojson", "csv": ".csv", "report": ".png"}


class Request(NamedTuple):
    """What is asked for of each slide."""

    mpp: float | None
    threshold: float | None
    region: Region | None
    step: float | None
    cells: bool


def predict(  # noqa: PLR0917
    slides: Annotated[list[Path], typer.Argument(help="One slide, or several.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="OME-Zarr to write; a folder for several slides."),
    ] = None,
    model: Annotated[str, typer.Option(help="Name of a model, or its folder.")] = "idc-cgan",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    mpp: Annotated[
        float | None, typer.Option(help="um per pixel, where the slide does not say.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="IDC from this probability on.", min=0, max=1)
    ] = None,
    region: Annotated[
        str, typer.Option(help="Only this part: y,x,height,width in pixels.", metavar="Y,X,H,W")
    ] = "",
    step: Annotated[
        float | None, typer.Option(help="um from cell to cell: 200, 100 or 40.", min=1)
    ] = None,
    views: Annotated[
        int, typer.Option(help="Flips and turns each patch is seen in.", min=1, max=8)
    ] = 1,
    geojson: Annotated[Path | None, typer.Option(help="Outlines for QuPath.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Table, a row a cell.")] = None,
    report: Annotated[Path | None, typer.Option(help="Report page, PNG.")] = None,
    cells: Annotated[
        bool, typer.Option("--cells", help="GeoJSON with every cell as a tile.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a slide.")] = False,
    events: Annotated[bool, typer.Option("--events", help="Print events as JSON lines.")] = False,
) -> None:
    """Compute an IDC heat map of a slide's tissue, with areas and outlines."""
    from napari_pathogan.cli.app import fail
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.errors import PathoganError
    from napari_pathogan.idc.model import IdcModel

    if len({path.stem for path in slides}) < len(slides):
        msg = "two of the slides have the same name, and so would their results"
        raise typer.BadParameter(msg)
    wanted = {"output": output, "geojson": geojson, "csv": csv, "report": report}
    given = {kind: path for kind, path in wanted.items() if path is not None}
    ask = Request(mpp, threshold, _region(region), step, cells)
    loaded = IdcModel.load(model, device, views)
    failed: list[PathoganError] = []
    for path in slides:
        try:
            files = _files(path, given, several=len(slides) > 1)
            summary = follow(_predicted(path, loaded, files, ask), as_json=events).summary
        except PathoganError as error:
            if len(slides) == 1:
                raise
            failed.append(error)
            typer.echo(f"pathogan: {' '.join(str(error).split())}", err=True)
            continue
        if as_json:
            typer.echo(json.dumps(summary))
        elif not events:
            typer.echo(f"{path.name}: {summary['text']}")
    if failed:
        fail(f"{len(failed)} of {len(slides)} slides failed, the others are done")


def _predicted(
    path: Path, model: IdcModel, files: dict[str, Path], ask: Request
) -> Iterator[Event]:
    """Open, predict and save; the last event comes when all files are there."""
    from napari_pathogan.engine.events import Finished, Progress
    from napari_pathogan.idc import predict as task
    from napari_pathogan.slides.slide import Slide

    with Slide.open(path, mpp=ask.mpp) as slide:
        last: Event | None = None
        for last in task.predict(slide, model, ask.region, step_um=ask.step):
            if not isinstance(last, Finished):
                yield last
        assert isinstance(last, Finished)
        found: HeatMap = last.result
        if ask.threshold is not None:
            found = found.with_threshold(ask.threshold)
        done = found.area().n_cells
        for kind, target in files.items():
            yield Progress(done, done, f"writing {target.name}")
            _save(kind, target, found, slide, cells=ask.cells)
    extra = {
        "seconds": last.summary["seconds"],
        "device": str(model.device),
        "files": [str(target) for target in files.values()],
        "text": str(found.area()),
    }
    yield Finished(found, found.summary() | extra)


def _save(kind: str, target: Path, heat_map: HeatMap, slide: Slide, *, cells: bool) -> None:
    from napari_pathogan.idc import export

    match kind:
        case "output":
            export.write_zarr(target, heat_map)
        case "geojson":
            export.write_geojson(target, heat_map, cells=cells)
        case "csv":
            export.write_csv(target, heat_map)
        case _:
            from napari_pathogan.idc.page import write_report

            write_report(target, heat_map, slide)


def _files(slide: Path, given: dict[str, Path], *, several: bool) -> dict[str, Path]:
    """Where to write what; fails now rather than after the work if that can't be done."""
    from napari_pathogan.files import output_error

    files = {
        kind: path / (slide.stem + _SUFFIXES[kind]) if several else path
        for kind, path in given.items()
    }
    for target in files.values():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=target.parent):
                pass
        except OSError as error:
            raise output_error(target, error) from error
    return files


def _region(text: str) -> Region | None:
    from napari_pathogan.slides.geometry import Region

    if not text:
        return None
    try:
        region = Region(*(int(number) for number in text.split(",")))
    except (TypeError, ValueError):
        region = Region(0, 0, 0, 0)
    if region.empty:
        msg = f"{text!r} is not y,x,height,width in whole pixels, such as 0,0,5000,4000"
        raise typer.BadParameter(msg, param_hint="--region")
    return region
