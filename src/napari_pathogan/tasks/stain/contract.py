"""What the task's contract names: measuring methods on folders, and a slide in other colours."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.colour.stained import tissue_tiles
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Event, Finished, Warn
from napari_pathogan.engine.pictures import overview
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.evaluate import evaluate
from napari_pathogan.tasks.stain.export import write_slide
from napari_pathogan.tasks.stain.levels import transferred
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.paired import evaluate_paired
from napari_pathogan.tasks.stain.predict import Method, Transfer, fit, fit_reference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.engine.config import TrainConfig
    from napari_pathogan.engine.devices import Device
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.engine.report import Report


@dataclass(frozen=True)
class WantedColours:
    """Wanted colours: a style, or those of the tissue of a reference image, uint8 (N, P, 3)."""

    style: StyleModel | None
    name: str = ""
    pixels: np.ndarray | None = None
    where: Device | None = None

    @property
    def card(self) -> ModelCard | None:
        """Of the style; a reference image has none."""
        return None if self.style is None else self.style.card

    @property
    def device(self) -> Device | None:
        """Where a network computes."""
        return self.where if self.style is None else self.style.device


def check(
    pool: StylePool,
    config: TrainConfig,
    *,
    holdout: float = 0.0,
    from_pool: Path | None = None,
) -> None:
    """Make sure that there is a second patient, if some are to be held out, in either pool.

    Raises
    ------
    DataFolderError
        If there is none, or ``from_pool`` is no pool.
    """
    out = pool.split(holdout, config.seed)[1].patients if holdout else ()
    if from_pool is not None:
        StylePool.read(from_pool).without(out)


def evaluated(source: Path, target: Path, style: StyleModel, *, paired: bool = False) -> Report:
    """Compare all methods on two folders of images.

    As :func:`.paired.evaluate_paired` where they hold pairs, else as :func:`.evaluate.evaluate`.
    """
    measure = evaluate_paired if paired else evaluate
    return measure(StylePool.read(source), StylePool.read(target), style)


def load(
    style: str | Path, device: str, *, reference: Path | None = None, method: str | None = None
) -> WantedColours:
    """Load a style, or the colours of a reference image.

    Raises
    ------
    SettingError
        If both are given or neither, or a network is asked for without a style.
    """
    if bool(style) == (reference is not None):
        msg = "give either a style or a reference image"
        raise SettingError(msg)
    if reference is None:
        return WantedColours(StyleModel.load(style, device))
    if method in {Method.cnn, Method.lut, Method.scanner}:
        msg = "a reference image serves Macenko and Reinhard; the others need a style"
        raise SettingError(msg)
    with Slide.open(reference) as target:
        pixels = np.concatenate(tissue_tiles(target, None))
        return WantedColours(None, target.name, pixels, choose_device(device))


def predicted(
    slide: Slide, colours: WantedColours, *, method: str | None = None, keep_lightness: bool = False
) -> Iterator[Event]:
    """Fit a method to a slide, as :func:`.predict.fit`; Finished with a :class:`Transfer`."""
    how = None if method is None else Method(method)
    if colours.style is not None:
        transfer = fit(slide, colours.style, how, keep_lightness=keep_lightness)
    else:
        assert colours.pixels is not None
        transfer = fit_reference(slide, colours.pixels, how, colours.name)
    for note in transfer.notes:
        yield Warn(note)
    text = f"in the colours of {transfer.colours_of}"
    yield Finished(
        transfer,
        {
            "slide": slide.name,
            "style": transfer.style,
            "method": str(transfer.method),
            "colours_of": transfer.colours_of,
            "measured": {str(m): _measured(c) for m, c in transfer.measured.items()},
            "student_error_lab": transfer.student_error,
            "notes": list(transfer.notes),
            "text": f"{text}. {transfer.why}" if transfer.why else text,
        },
    )


def write_transferred(path: Path, transfer: Transfer, *, source: Slide) -> Iterator[Event]:
    """Write a slide in other colours as OME-Zarr, as :func:`.export.write_slide`; warn of what was lost."""
    with transferred(source, transfer) as made:
        yield from write_slide(path, made)
    yield from (Warn(note) for note in source.notes)


def picture(slide: Slide, transfer: Transfer, px: int) -> np.ndarray:
    """The slide in its new colours."""
    with transferred(slide, transfer) as made:
        return overview(made, px)


def _measured(closeness: Any) -> dict[str, Any]:  # noqa: ANN401
    return {**asdict(closeness), "distance": closeness.distance}
