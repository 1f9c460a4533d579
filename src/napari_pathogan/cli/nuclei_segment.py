"""``pathogan nuclei segment``: the nuclei of slides, and what they are saved as."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from napari_pathogan.cli.options import Tissue, Views  # noqa: TC001  (typer reads the annotations)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation
    from napari_pathogan.tasks.nuclei.segmenter import Segmenter
    from napari_pathogan.tasks.nuclei_classes.model import ClassModel


class Request(NamedTuple):
    """What is asked for of each slide."""

    segmenter: Segmenter
    classifier: ClassModel | None
    tissue: str
    mpp: float | None
    region: Region | None


def segment(  # noqa: PLR0917
    slides: Annotated[list[Path], typer.Argument(help="One slide, or several.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="OME-Zarr to write; a folder for several slides."),
    ] = None,
    model: Annotated[str, typer.Option(help="Name of a model, or its folder.")] = "nuclei-unet",
    classes: Annotated[
        str, typer.Option(help="Name of a class model, or its folder; or none.")
    ] = "none",
    tissue: Tissue = "",
    instanseg: Annotated[
        Path | None,
        typer.Option(help="InstanSeg's TorchScript file, instead of --model. It is code: it runs."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    mpp: Annotated[
        float | None, typer.Option(help="um per pixel, where the slide does not say.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Nucleus from this probability on; the model's own.", min=0, max=1),
    ] = None,
    views: Views = None,
    region: Annotated[
        str, typer.Option(help="Only this part: y,x,height,width in pixels.", metavar="Y,X,H,W")
    ] = "",
    geojson: Annotated[Path | None, typer.Option(help="Outlines for QuPath.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Table, a row a nucleus.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="The same table as Parquet.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a slide.")] = False,
    events: Annotated[bool, typer.Option("--events", help="Print events as JSON lines.")] = False,
) -> None:
    """Find the nuclei in a slide's tissue, measure them, and tell their classes."""
    from napari_pathogan.cli.outputs import names_differ, over_slides, region_of, slide_outputs
    from napari_pathogan.tasks.nuclei import export

    names_differ(slides)
    outputs = {
        "output": (output, export.ZARR),
        "geojson": (geojson, export.GEOJSON),
        "csv": (csv, export.CSV),
        "parquet": (parquet, export.PARQUET),
    }
    files = slide_outputs(slides, outputs)
    asked = region_of(region)
    segmenter = _segmenter(model, instanseg, device, threshold, views)
    ask = Request(segmenter, _classifier(classes, device), tissue, mpp, asked)

    def work(path: Path, files: dict[str, Path]) -> Iterator[Event]:
        return _segmented(path, files, ask)

    over_slides(files, work, as_json=as_json, events=events)


def _segmenter(
    model: str, instanseg: Path | None, device: str, threshold: float | None, views: int | None
) -> Segmenter:
    if instanseg is not None:
        from napari_pathogan.tasks.nuclei.instanseg import InstanSegSegmenter

        found: Segmenter = InstanSegSegmenter.load(instanseg, device)
        return found
    from napari_pathogan.tasks.nuclei.model import NucleiModel
    from napari_pathogan.tasks.nuclei.segmenter import UNetSegmenter

    return UNetSegmenter(NucleiModel.load(model, device, views), threshold)


def _classifier(name: str, device: str) -> ClassModel | None:
    from napari_pathogan.tasks.nuclei_classes.model import ClassModel

    return None if name == "none" else ClassModel.load(name, device)


def _segmented(path: Path, files: dict[str, Path], ask: Request) -> Iterator[Event]:
    """Open, segment and save; the last event comes when all files are there."""
    from napari_pathogan.engine.events import Finished, Progress
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei import predict as task
    from napari_pathogan.tasks.nuclei.segmentation import SCOPE

    with Slide.open(path, mpp=ask.mpp) as slide:
        last: Event | None = None
        looking = task.segment(
            slide, ask.segmenter, ask.region, classifier=ask.classifier, tissue=ask.tissue
        )
        for last in looking:
            if not isinstance(last, Finished):
                yield last
    assert isinstance(last, Finished)
    found: Segmentation = last.result
    for kind, target in files.items():
        yield Progress(len(found), len(found), f"writing {target.name}")
        _save(kind, target, found)
    extra = {
        "seconds": last.summary["seconds"],
        "device": str(ask.segmenter.device),
        "files": [str(target) for target in files.values()],
        "text": " ".join(filter(None, (f"{found}.", found.class_note, SCOPE))),
    }
    yield Finished(found, found.summary() | extra)


def _save(kind: str, target: Path, found: Segmentation) -> None:
    from napari_pathogan.tasks.nuclei import export

    match kind:
        case "output":
            export.write_zarr(target, found)
        case "geojson":
            export.write_geojson(target, found)
        case "csv":
            export.write_csv(target, found)
        case _:
            export.write_parquet(target, found)
