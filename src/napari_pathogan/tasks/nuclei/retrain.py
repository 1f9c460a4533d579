"""A model gone on with from corrected nuclei on slides, without a window: what is kept, and learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.annotations import geojson
from napari_pathogan.annotations.store import AnnotationStore, file_of
from napari_pathogan.engine.config import SettingError
from napari_pathogan.slides.polygons import corner, inside
from napari_pathogan.tasks.nuclei import EPOCHS_ON, annotated, crossval, drawn
from napari_pathogan.tasks.nuclei.annotated import SUFFIX
from napari_pathogan.tasks.nuclei.config import RECIPES
from napari_pathogan.tasks.nuclei.data import of_slides
from napari_pathogan.tasks.nuclei.starts import begun

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.engine.events import Event
    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.slides.slide import Slide

RECIPE = "quick"


def read(slide: Slide, path: Path | None = None) -> tuple[list[Annotation], list[str]]:
    """Nuclei and regions that are kept with a slide, or of another file; and notes, of which there are none.

    Raises
    ------
    DataFolderError
        If the file can't be read, or is not GeoJSON with polygons.
    """
    if path is None:
        path = _kept(slide)
        if path is None:
            return [], []
    return annotated.content(path, corner(slide))[0], []


def write(slide: Slide, annotations: Sequence[Annotation]) -> Path:
    """Keep nuclei and regions with their slide, and what was said there before; returns where.

    Raises
    ------
    OutputError
        If no place can be written, or the slide is no file; what was there stays as it was.
    """
    file, kept = file_of(slide), _kept(slide)
    about = {} if kept is None else geojson.read(kept)[1]
    if kept is None:
        about = {"imprint": str(slide.imprint or "")}
        if slide.mpp is not None:
            about |= {"mpp": list(slide.mpp), "mpp_source": slide.mpp_source}
    return annotated.store(file).write(lambda: annotations, {**about, "origin": corner(slide)})


def counted(
    slide: Slide,
    annotations: Sequence[Annotation],
    classes: Mapping[str, str] | None = None,
) -> tuple[dict[str, int], list[str]]:
    """How many regions and nuclei there are to learn from, and what the user should know.

    Raises
    ------
    DataFolderError, UnknownScaleError
        If what is kept can't be read, or nobody says how large a pixel is.
    """
    del classes
    kept = _kept(slide)
    if kept is None or not annotations:
        return {"regions": 0, "nuclei": 0}, []
    found = annotated.read(kept, slide)
    regions = annotated.known_regions(found)
    points = found.table[["y_px", "x_px"]].to_numpy()
    within = np.zeros(len(points), bool)
    if regions:
        within = inside(points, None, regions)
    notes = list(drawn.left_out(found.notes))
    if not regions:
        notes.append(annotated.nothing_known(kept))
    return {"regions": len(regions), "nuclei": int(within.sum())}, notes


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
    """Go on with a model from what is known on slides; the old one stays as it is.

    Yields
    ------
    As :func:`.crossval.learn`; Finished with the report of before and after.

    Raises
    ------
    DataFolderError
        If nothing is known on them.
    SettingError
        If classes are given, or the model is an ensemble without a U-Net that could learn on.
    ModelNotFoundError, ModelError
        If there is no such model, or its files don't fit together.
    """
    if classes:
        raise SettingError(
            f"classes={', '.join(classes)} would count for nothing: nuclei are kept with theirs"
        )
    folder = of_slides([AnnotationStore(path, SUFFIX) for path in slides], mpp=mpp)
    config = begun(RECIPES[RECIPE], start=base).adjusted((f"epochs={EPOCHS_ON}",))
    crossval.check(folder, config, folds=0, start=base, compare=True)
    run.start(config, {"slides": [str(path) for path in slides], "start": base, "compare": True})
    yield from crossval.learn(
        folder, config, run, start=base, compare=True, device=device, name=name, data=data
    )


def _kept(slide: Slide) -> Path | None:
    """The file of a slide's nuclei if there is one."""
    if slide.path is None:
        return None
    path = annotated.store(slide.path).path
    return path if path.is_file() else None
