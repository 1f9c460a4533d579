"""``pathogan masses detect``: the masses of mammograms, and what they are saved as."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from napari_pathogan.cli.options import (  # noqa: TC001  (typer reads the annotations)
    Device,
    Events,
    Json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.masses.detections import Detections
    from napari_pathogan.tasks.masses.model import MassModel


_MOST_OPEN = 1 << 30


class Request(NamedTuple):
    """What is asked for of each mammogram."""

    model: MassModel
    threshold: float
    mm: float | None
    identifiers: bool


def detect(  # noqa: PLR0917
    images: Annotated[
        list[Path], typer.Argument(help="DICOM files, grey images, or folders of a study.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="JSON to write; a folder for several images."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Table, a row a mass; a folder for several images.")
    ] = None,
    sr: Annotated[
        Path | None,
        typer.Option(help="DICOM structured report of a DICOM image; a folder for several."),
    ] = None,
    gsps: Annotated[
        Path | None,
        typer.Option(
            help="DICOM presentation state: outlines and scores over a DICOM image; a folder for "
            "several."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Name of a model, or its folder.")] = "masses-inbreast",
    threshold: Annotated[
        float | None,
        typer.Option(help="A mass from this score on; the model's own. 0: all.", min=0, max=1),
    ] = None,
    mm: Annotated[
        float | None, typer.Option(help="mm per pixel, where the image does not say.", min=1e-4)
    ] = None,
    identifiers: Annotated[
        bool,
        typer.Option("--identifiers", help="Copy who the patient is into what is DICOM."),
    ] = False,
    device: Device = "auto",
    as_json: Json = False,
    events: Events = False,
) -> None:
    """Find masses in mammograms: boxes, outlines, scores and sizes in mm."""
    from napari_pathogan.cli.outputs import names_differ, over_slides, slide_outputs
    from napari_pathogan.mammograms.mammogram import open_mammogram
    from napari_pathogan.tasks.masses import export
    from napari_pathogan.tasks.masses.detections import JSON
    from napari_pathogan.tasks.masses.model import MassModel

    views = _views(images)
    paths = [path for path, _ in views]
    names_differ(paths, "mammograms")
    outputs = {
        "output": (output, JSON),
        "csv": (csv, export.CSV),
        "sr": (sr, export.SR),
        "gsps": (gsps, export.GSPS),
    }
    files = slide_outputs(paths, outputs)
    opened = dict(views)
    del views  # they go one by one
    loaded = MassModel.load(model, device)
    limit = loaded.threshold if threshold is None else threshold
    ask = Request(loaded, limit, mm, identifiers)

    def work(path: Path, targets: dict[str, Path]) -> Iterator[Event]:
        return _detected(opened.pop(path, None) or open_mammogram(path), targets, ask)

    over_slides(files, work, as_json=as_json, events=events, kind="mammograms")


def _views(images: list[Path]) -> list[tuple[Path, Mammogram | None]]:
    """The images, with folders opened as studies, one after the other in the order of a hanging.

    Those of folders are open already, as many as ``_MOST_OPEN`` bytes hold.
    """
    from napari_pathogan.mammograms.mammogram import examinations

    files: list[tuple[Path, Mammogram | None]] = []
    held = 0
    for path in images:
        if not path.is_dir():
            files.append((path, None))
            continue
        found = examinations(path)
        if len(found) > 1:
            said = f"{len(found)} examinations in {path.name}, as `pathogan info` lists them"
            typer.echo(f"pathogan: {said}; each image is reported on by itself", err=True)
        for study in (one.open() for one in found):
            for line in study.skipped:
                typer.echo(f"pathogan: left out {line}", err=True)
            for view in study.views:
                assert view.path is not None, "it was opened from a file"
                held += view.pixels.nbytes
                files.append((view.path, view if held <= _MOST_OPEN else None))
    return files


def _detected(mammogram: Mammogram, files: dict[str, Path], ask: Request) -> Iterator[Event]:
    """Detect and save; the last event comes when all files are there."""
    import time

    from napari_pathogan.engine.events import Finished, Progress
    from napari_pathogan.tasks.masses import predict as task

    if ask.mm is not None and mammogram.mm_per_px is None:
        mammogram = mammogram.with_spacing(ask.mm)
    start = time.perf_counter()
    last: Event | None = None
    for last in task.detect([mammogram], ask.model):
        if not isinstance(last, Finished):
            yield last
    seconds = time.perf_counter() - start
    assert isinstance(last, Finished)
    found: Detections = last.result[0].at(ask.threshold)
    for kind, target in files.items():
        yield Progress(1, 1, f"writing {target.name}")
        _save(kind, target, found, mammogram, ask)
    extra = {
        "seconds": seconds,
        "device": str(ask.model.device),
        "files": [str(target) for target in files.values()],
        "text": f"{found}. {found.scope}",
    }
    yield Finished(found, found.to_dict() | extra)


def _save(kind: str, target: Path, found: Detections, mammogram: Mammogram, ask: Request) -> None:
    from napari_pathogan.tasks.masses import export
    from napari_pathogan.tasks.masses.detections import write_json

    assert mammogram.path is not None
    match kind:
        case "output":
            write_json(target, found)
        case "csv":
            export.write_csv(target, found)
        case "sr":
            export.write_sr(target, found, mammogram.path, identifiers=ask.identifiers)
        case _:
            export.write_gsps(target, found, mammogram, identifiers=ask.identifiers)
