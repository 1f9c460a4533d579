"""``pathogan idc predict``: heat maps of slides, and what they are saved as."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.heatmap import HeatMap
    from napari_pathogan.tasks.idc.model import IdcModel


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
    from napari_pathogan.cli.outputs import names_differ, over_slides, region_of, slide_outputs
    from napari_pathogan.tasks.idc import export
    from napari_pathogan.tasks.idc.model import IdcModel
    from napari_pathogan.tasks.idc.page import REPORT

    names_differ(slides)
    outputs = {
        "output": (output, export.ZARR),
        "geojson": (geojson, export.GEOJSON),
        "csv": (csv, export.CSV),
        "report": (report, REPORT),
    }
    files = slide_outputs(slides, outputs)
    ask = Request(mpp, threshold, region_of(region), step, cells)
    loaded = IdcModel.load(model, device, views)

    def work(path: Path, files: dict[str, Path]) -> Iterator[Event]:
        return _predicted(path, loaded, files, ask)

    over_slides(files, work, as_json=as_json, events=events)


def _predicted(
    path: Path, model: IdcModel, files: dict[str, Path], ask: Request
) -> Iterator[Event]:
    """Open, predict and save; the last event comes when all files are there."""
    from napari_pathogan.engine.events import Finished, Progress
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc import predict as task
    from napari_pathogan.tasks.idc.heatmap import SCOPE

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
        "text": f"{found.area()}. {SCOPE}",
    }
    yield Finished(found, found.summary() | extra)


def _save(kind: str, target: Path, heat_map: HeatMap, slide: Slide, *, cells: bool) -> None:
    from napari_pathogan.tasks.idc import export

    match kind:
        case "output":
            export.write_zarr(target, heat_map)
        case "geojson":
            export.write_geojson(target, heat_map, cells=cells)
        case "csv":
            export.write_csv(target, heat_map)
        case _:
            from napari_pathogan.tasks.idc.page import write_report

            write_report(target, heat_map, slide)
