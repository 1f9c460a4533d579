"""What the Mammogram masses dock runs in the background: generators of events, without a window."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.events import Event, Progress
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.tasks.masses.model import MassModel


def masses_events(mammograms: Sequence[Mammogram], model: Path) -> Iterator[Event]:
    """Load the model and look at each view; finishes with a list of Detections, one a view."""
    yield Progress(0, 0, "loading the model")
    detector = _ready(model)
    from napari_pathogan.tasks.masses.predict import detect  # noqa: PLC0415

    yield from detect(mammograms, detector)


def warm_up() -> None:
    """Load the embedded model and let it look at nothing: what is slow for the first time alone."""
    from napari_pathogan.engine.models import locate  # noqa: PLC0415
    from napari_pathogan.tasks.masses import TASK, predict  # noqa: F401, PLC0415

    detector = _ready(locate(TASK.default, TASK.name))
    disc = np.hypot(*np.mgrid[-64:64, 0:96]) < 60
    detector.detect(disc.astype(np.float32) / 2)


def _ready(model: Path) -> MassModel:
    """The model as it is in its folder, on the chosen device; the last one stays in memory."""
    ready_for_torch()
    from napari_pathogan.engine.models import WEIGHTS  # noqa: PLC0415

    chosen = settings()
    changed = (model / WEIGHTS).stat().st_mtime_ns if (model / WEIGHTS).exists() else 0
    return _loaded(model, changed, chosen.device, chosen.precision)


@lru_cache(maxsize=1)
def _loaded(model: Path, changed: int, device: str, precision: str) -> MassModel:
    del changed  # another training has written the folder
    from napari_pathogan.engine.devices import choose_device  # noqa: PLC0415
    from napari_pathogan.tasks.masses.model import MassModel  # noqa: PLC0415

    detector = MassModel.load(model, device)
    detector.device = choose_device(device, precision)
    return detector
