"""What the task's contract names: evaluating on a folder, and the masses of a mammogram."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_pathogan.engine.events import Event, Finished
from napari_pathogan.engine.pictures import drawn
from napari_pathogan.mammograms.study import examinations, is_index, open_mammogram
from napari_pathogan.mammograms.views import is_dicom
from napari_pathogan.tasks.masses import export
from napari_pathogan.tasks.masses.detections import ViewSearched
from napari_pathogan.tasks.masses.predict import detect
from napari_pathogan.tasks.masses.starts import going_on
from napari_pathogan.tasks.masses.together import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.masses.config import TrainConfig
    from napari_pathogan.tasks.masses.detections import Detections
    from napari_pathogan.tasks.masses.model import MassModel

_MOST_OPEN = 1 << 30  # bytes of mammograms that are held open
_BOX = "#ffd400"


def begun(config: TrainConfig, *, start: str = "") -> TrainConfig:
    """The recipe for what a training begins with, as :func:`.starts.going_on`."""
    return going_on(config, start) if start else config


def evaluated(
    folder: Path, model: MassModel, *, keep: Path | None = None, films: bool = False
) -> Iterator[Event]:
    """Evaluate a model on a folder of mammograms, as :func:`.evaluate.evaluate`."""
    # what detecting does not need: sklearn, pandas and scipy.stats take 120 MB
    from napari_pathogan.tasks.masses.annotated import read_training_folder  # noqa: PLC0415
    from napari_pathogan.tasks.masses.evaluate import evaluate  # noqa: PLC0415

    yield from evaluate(read_training_folder(folder), model, keep=keep, films=films)


def views(paths: list[Path], warn: Callable[[str], None]) -> dict[Path, Mammogram | None]:
    """Files, and those of folders as studies, one after the other in the order of a hanging.

    Those of folders are open already, as many as ``_MOST_OPEN`` bytes hold.
    """
    files: dict[Path, Mammogram | None] = {}
    held = 0
    for path in paths:
        if not path.is_dir() and not is_index(path):
            files[path] = None
            continue
        found = examinations(path)
        if len(found) > 1:
            said = f"{len(found)} examinations in {path.name}, as `pathogan info` lists them"
            warn(f"{said}; each image is reported on by itself")
        for study in (one.open() for one in found):
            for line in study.skipped:
                warn(f"left out: {line}")
            for view in study.views:
                assert view.path is not None, "it was opened from a file"
                held += view.pixels.nbytes
                files[view.path] = view if held <= _MOST_OPEN else None
    return files


def opened(
    path: Path, *, mm: float | None = None, opened: Mammogram | None = None
) -> AbstractContextManager[Mammogram]:
    """A mammogram; ``mm`` is the size of a pixel where it does not say."""
    mammogram = opened or open_mammogram(path)
    if mm is not None and mammogram.mm_per_px is None:
        mammogram = mammogram.with_spacing(mm)
    return nullcontext(mammogram)


def predicted(
    mammogram: Mammogram, model: MassModel, *, threshold: float | None = None
) -> Iterator[Event]:
    """Find masses from a score on, as :func:`.predict.detect`; Finished with :class:`Detections`."""
    for event in detect([mammogram], model):
        if isinstance(event, ViewSearched):
            continue
        if not isinstance(event, Finished):
            yield event
            continue
        found = event.result[0].at(model.threshold if threshold is None else threshold)
        said = [f"{found}.", found.scope, found.missed if not len(found) else ""]
        yield Finished(found, {**found.to_dict(), "text": " ".join(filter(None, said))})


def of_cases(found: Sequence[Detections], model: MassModel) -> list[tuple[str, dict[str, Any]]]:
    """What several views say together, a case after the other: in words, and as plain JSON.

    Cases of a single view say no more than the view does, and are left out.
    """
    cases: dict[object, list[Detections]] = {}
    for one in found:
        cases.setdefault(one.examination, []).append(one)
    said = []
    for views in cases.values():
        all_views = together(views, model.card.settings) if len(views) > 1 else None
        if all_views is not None:
            names = [view.name for view in views]
            said.append(
                (f"{', '.join(names)}: {all_views}", all_views.to_dict() | {"images": names})
            )
    return said


def picture(mammogram: Mammogram, found: Detections, px: int) -> np.ndarray:
    """The mammogram with a box around each mass."""
    image = Image.fromarray((mammogram.shown() * 255).astype(np.uint8))
    image.thumbnail((px, px))
    boxes = [np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)]) for x0, y0, x1, y1 in found.boxes]
    pixels = np.asarray(image.convert("RGB"))
    return drawn(pixels, mammogram.shape, outlines=((box, _BOX) for box in boxes))


def no_dicom(source: Mammogram) -> str:
    """Why a DICOM object can't refer to a mammogram, in a few words; empty if it can."""
    return "" if source.path is not None and is_dicom(source.path) else f"{source.name} is no DICOM"


def write_sr(
    path: Path, found: Detections, *, source: Mammogram, identifiers: bool = False
) -> None:
    """As :func:`.export.write_sr`.

    Raises
    ------
    OutputError
        If the mammogram is no file.
    """
    export.write_sr(path, found, export.file_of(source), identifiers=identifiers)


def write_gsps(
    path: Path, found: Detections, *, source: Mammogram, identifiers: bool = False
) -> None:
    """As :func:`.export.write_gsps`."""
    export.write_gsps(path, found, source, identifiers=identifiers)
