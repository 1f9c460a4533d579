"""What the Mammogram masses dock runs in the background: generators of events, without a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Progress
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.mammograms.mammogram import Mammogram


def masses_events(mammograms: Sequence[Mammogram], model: Path) -> Iterator[Event]:
    """Load the model and look at each view; finishes with a list of Detections, one a view."""
    yield Progress(0, 0, "loading the model")
    ready_for_torch()
    from napari_pathogan.engine.devices import choose_device  # noqa: PLC0415
    from napari_pathogan.tasks.masses.model import MassModel  # noqa: PLC0415
    from napari_pathogan.tasks.masses.predict import detect  # noqa: PLC0415

    chosen = settings()
    detector = MassModel.load(model, chosen.device)
    detector.device = choose_device(chosen.device, chosen.precision)
    yield from detect(mammograms, detector)
