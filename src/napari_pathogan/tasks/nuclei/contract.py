"""What the task's contract names: evaluating on a folder, and a slide's nuclei with their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Event, Finished
from napari_pathogan.engine.pictures import drawn, overview
from napari_pathogan.tasks.nuclei.data import read_training_folder
from napari_pathogan.tasks.nuclei.evaluate import evaluate
from napari_pathogan.tasks.nuclei.instanseg import InstanSegSegmenter
from napari_pathogan.tasks.nuclei.model import NucleiModel
from napari_pathogan.tasks.nuclei.predict import segment
from napari_pathogan.tasks.nuclei.segmentation import SCOPE
from napari_pathogan.tasks.nuclei.segmenter import Segmenter, UNetSegmenter
from napari_pathogan.tasks.nuclei_classes.model import ClassModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from napari_pathogan.engine.devices import Device
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.engine.report import Report
    from napari_pathogan.slides.geometry import Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation


class NucleiModels(NamedTuple):
    """What finds nuclei, and what tells their classes."""

    segmenter: Segmenter
    classifier: ClassModel | None

    @property
    def card(self) -> ModelCard | None:
        """Of what finds nuclei; InstanSeg's file has none."""
        return self.segmenter.model.card if isinstance(self.segmenter, UNetSegmenter) else None

    @property
    def device(self) -> Device:
        """Where nuclei are looked for."""
        return self.segmenter.device


def folds(text: str) -> int | str:
    """A number of folds, or ``patients`` for one a patient.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if text == "patients":
        return text
    if not text.isdecimal():
        msg = f"{text!r} is neither a number of folds nor 'patients'"
        raise ValueError(msg)
    return int(text)


def evaluated(
    folder: Path,
    model: NucleiModel,
    *,
    patient: str,
    mpp: float | None = None,
    threshold: float | None = None,
) -> Report:
    """Evaluate a model on a folder of images with masks, as :func:`.evaluate.evaluate`."""
    if threshold is not None:
        model.threshold = threshold
    return evaluate(read_training_folder(folder, mpp=mpp, patient=patient), model)


def load(
    model: str | Path,
    device: str,
    *,
    classes: str = "none",
    instanseg: Path | None = None,
    threshold: float | None = None,
    views: int | None = None,
    tissue: str = "",
) -> NucleiModels:
    """Load a U-Net, or InstanSeg's file in its place; and a class model unless that is ``none``.

    Raises
    ------
    SettingError
        If something is asked for that would count for nothing.
    """
    if tissue and classes == "none":
        raise SettingError(f"tissue={tissue} would count for nothing: no classes are asked for")
    if instanseg is not None:
        if threshold is not None or views is not None:
            raise SettingError(
                "threshold and views would count for nothing: InstanSeg reads neither"
            )
        segmenter: Segmenter = InstanSegSegmenter.load(instanseg, device)
    else:
        segmenter = UNetSegmenter(NucleiModel.load(model, device, views), threshold)
    return NucleiModels(segmenter, None if classes == "none" else ClassModel.load(classes, device))


def predicted(
    slide: Slide, models: NucleiModels, *, region: Region | None = None, tissue: str = ""
) -> Iterator[Event]:
    """Find nuclei, as :func:`.predict.segment`; Finished with a :class:`Segmentation`."""
    segmenter, classifier = models
    for event in segment(slide, segmenter, region, classifier=classifier, tissue=tissue):
        if not isinstance(event, Finished):
            yield event
            continue
        found = event.result
        text = " ".join(filter(None, (f"{found}.", found.class_note, SCOPE)))
        yield Finished(found, {**found.summary(), "text": text})


def picture(slide: Slide, found: Segmentation, px: int) -> np.ndarray:
    """The slide with a dot for each nucleus, in the colour of its class."""
    table = found.table
    codes = table["class"].cat.codes.to_numpy()
    places = table[["y_px", "x_px"]].to_numpy()
    colours = enumerate(found.class_colours)
    dots = ((places[codes == code], colour) for code, colour in colours)
    return drawn(overview(slide, px), slide.shape, dots=dots)
