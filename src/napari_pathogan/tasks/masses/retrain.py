"""A detector gone on with from reviewed masses, without a window: what is kept, and learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from shapely import box

from napari_pathogan.annotations import geojson
from napari_pathogan.annotations.classes import plain
from napari_pathogan.annotations.store import file_of
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.contents import noted
from napari_pathogan.errors import DataFolderError, ResultFormatError
from napari_pathogan.tasks.masses import EPOCHS_ON, annotated, contract, crossval
from napari_pathogan.tasks.masses.annotated import REJECTED
from napari_pathogan.tasks.masses.config import RECIPES
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.froc import IOU, overlaps
from napari_pathogan.tasks.masses.review import Decision, Review, too_small

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.engine.events import Event
    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.mammograms.mammogram import Mammogram

RECIPE = "quick"
_MASSES = {"", "mass", "masses", "lesion", "tumor", "tumour", "cancer", "carcinoma", "malignant"}


def opened(path: Path, *, mpp: float | None = None) -> AbstractContextManager[Mammogram]:
    """A mammogram; ``mpp`` is the size of a pixel in um where it does not say."""
    return contract.opened(path, mm=None if mpp is None else mpp / 1000)


def read(mammogram: Mammogram, path: Path | None = None) -> tuple[list[Annotation], list[str]]:
    """Findings that are kept with a mammogram, or of another file; and what was left out of that.

    In files that were not kept by the dock each outline is a mass that a reader has drawn; one of class
    ``Ignore*`` is none.

    Raises
    ------
    DataFolderError
        If the file can't be read, or is of another image.
    """
    if path is not None:
        return _drawn(mammogram, path)
    kept = _kept(mammogram)
    if kept is None:
        return [], []
    annotated.read(kept, mammogram)
    return annotated.content(kept)[1], []


def write(mammogram: Mammogram, annotations: Sequence[Annotation]) -> Path:
    """Keep findings with their mammogram, and what was said there before; returns where.

    Raises
    ------
    OutputError
        If no place can be written, or the mammogram is no file; what was there stays as it was.
    """
    file, kept = file_of(mammogram), _kept(mammogram)
    if kept is not None:
        about = annotated.content(kept)[0]
    else:
        nothing = Detections.on(mammogram, np.zeros((0, 4)), np.zeros(0))
        about, _ = annotated.said(
            Review.of(nothing), mammogram.laterality or "", mammogram.view or ""
        )
    return annotated.store(file).write(lambda: annotations, about)


def counted(
    mammogram: Mammogram,
    annotations: Sequence[Annotation],
    classes: Mapping[str, str] | None = None,
) -> tuple[dict[str, int], list[str]]:
    """Whether a mammogram is reviewed and how many masses it has, and what the user should know.

    Raises
    ------
    DataFolderError
        If what is kept can't be read, or is of another image.
    """
    del classes
    kept = _kept(mammogram)
    if kept is None or not annotations:
        return {"mammograms": 0, "masses": 0}, []
    review = annotated.read(kept, mammogram)
    undecided = review.decisions.count(Decision.OPEN)
    if undecided:
        note = f"{mammogram.name}: findings that are neither accepted nor rejected: {undecided}"
        return {"mammograms": 0, "masses": 0}, [f"{note}; it is left out until all are"]
    return {"mammograms": 1, "masses": len(review.masses())}, list(
        _disagreements(mammogram, annotations)
    )


def retrain(
    slides: Sequence[Path],
    base: str,
    run: RunFolder,
    *,
    device: str = "auto",
    name: str = "",
    data: TrainingData | None = None,
    classes: Mapping[str, str] | None = None,
    mpp: float | None = None,
) -> Iterator[Event]:
    """Go on with a detector from reviewed mammograms; the old one stays as it is.

    Parameters
    ----------
    slides
        Mammograms, each of the patient of its folder; or folders, as :func:`.annotated.read_annotated` reads them.

    Yields
    ------
    As :func:`.crossval.learn`; Finished with the report of before and after.

    Raises
    ------
    DataFolderError
        If no mammogram is reviewed, or none has a mass.
    SettingError
        If classes are given.
    ModelNotFoundError, ModelError
        If there is no such model, or its files don't fit together.
    """
    del mpp  # a detector sees a breast at its own size, whatever its scale
    if classes:
        raise SettingError(
            f"classes={', '.join(classes)} would count for nothing: findings are kept with theirs"
        )
    folder = annotated.read_annotated(slides)
    config = contract.begun(RECIPES[RECIPE], start=base).adjusted((f"epochs={EPOCHS_ON}",))
    crossval.check(folder, config, folds=0, start=base, compare=True)
    run.start(config, {"slides": [str(path) for path in slides], "start": base, "compare": True})
    if data is not None:
        data = yield from noted(data, folder.files)
    yield from crossval.learn(
        folder, config, run, start=base, compare=True, device=device, name=name, data=data
    )


def _disagreements(mammogram: Mammogram, annotations: Sequence[Annotation]) -> Iterator[str]:
    """Findings that are called a mass and none at the same place: somebody is wrong."""
    masses, others = (
        [one for one in annotations if (one.decision == Decision.REJECTED) is rejected]
        for rejected in (False, True)
    )
    if not masses or not others:
        return
    a, b = (np.array([one.more["box"] for one in group]) for group in (masses, others))
    pairs = np.argwhere(overlaps(a, b) > IOU)
    if len(pairs):
        i, j = pairs[0]
        x0, y0, x1, y1 = a[i]
        makers = sorted({masses[i].by, others[j].by} - {""})
        by = f" (by {' and '.join(makers)})" if makers else ""
        yield (
            f"{mammogram.name}: {len(pairs)} pairs of outlines say both mass and none of the same place, the "
            f"first at y {(y0 + y1) / 2:.0f}, x {(x0 + x1) / 2:.0f} px{by}: it counts as a mass; correct one of them"
        )


def _kept(mammogram: Mammogram) -> Path | None:
    """The file of a mammogram's findings if there is one."""
    if mammogram.path is None:
        return None
    path = annotated.store(mammogram.path).path
    return path if path.is_file() else None


def _drawn(mammogram: Mammogram, path: Path) -> tuple[list[Annotation], list[str]]:
    """What somebody has drawn elsewhere, as findings; and what was left out, in words."""
    try:
        drawn, about = geojson.read(path)
    except ResultFormatError as error:
        raise DataFolderError(str(error)) from error
    if about.get("kind") == annotated.KIND:
        annotated.read(path, mammogram)
        return drawn, []
    height, width = mammogram.shape
    whole = box(0, 0, width, height)
    areas = [one for one in drawn if one.polygons]
    if areas and not any(one.geometry.intersects(whole) for one in areas):
        msg = f"{path}: no outline lies on {mammogram.name}, which has {width} x {height} px; is it another's?"
        raise DataFolderError(msg)
    found, left, others = [], [], set()
    for one in areas:
        name = plain(one.class_name)
        if name not in _MASSES and name != plain(REJECTED):
            others.add(one.class_name)
            continue
        inside = one.geometry.intersection(whole)
        corners = np.array(inside.exterior.coords if inside.geom_type == "Polygon" else [])
        if not len(corners):
            left.append("an outline that lies beyond the image, or in several parts")
        elif why := too_small(corners, mammogram.mm_per_px):
            left.append(f"an outline that is {why}")
        else:
            found.append(annotated.drawn(corners[:-1, ::-1], mass=name in _MASSES))
    if len(areas) < len(drawn):
        left.append(f"{len(drawn) - len(areas)} that are no areas")
    if others:
        left.append(f"outlines of other classes: {', '.join(sorted(others))}")
    return found, [f"left out of {path.name}: {line}" for line in left]
