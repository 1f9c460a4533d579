"""Known masses instead of a network, on drawn views: discs brighter than the breast around them."""

from __future__ import annotations

import threading
import time

import numpy as np
from PIL import Image as Picture

from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.engine.models import ModelCard
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.tasks.masses.annotated import write
from napari_pathogan.tasks.masses.detections import Detections, ViewSearched
from napari_pathogan.tasks.masses.review import Decision, Review

SHAPE = (240, 160)
MM = 0.2
FROC = {"fppi": [0.1, 0.5, 2.0], "tpr": [0.4, 0.7, 0.9], "thresholds": [0.8, 0.5, 0.1]}
CARD = ModelCard(
    name="stand-in",
    title="Stand-in detector",
    task="masses",
    architecture="none",
    operating_point=0.5,
    settings={"froc": FROC},
)
Disc = tuple[float, float, float, float]  # y, x, radius (px from the corner of the image), score
DISCS: dict[str, list[Disc]] = {
    "RCC": [(100, 60, 20, 0.9), (160, 50, 8, 0.3)],
    "RMLO": [(120, 70, 18, 0.8)],
    "LCC": [],
}


def disc(y, x, radius, corners=48):
    """Outline (K, 2) y, x."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([y + radius * np.sin(angle), x + radius * np.cos(angle)], 1).astype(np.float32)


def view(name):
    """uint8 (H, W): half an ellipse at the chest wall, and the discs of a view."""
    y, x = (n + 0.5 for n in np.mgrid[: SHAPE[0], : SHAPE[1]])
    from_wall = SHAPE[1] - x if name.startswith("R") else x
    pixels = np.where(((y - 120) / 110) ** 2 + (from_wall / 140) ** 2 <= 1, 90.0, 0.0)
    for cy, cx, radius, _ in DISCS.get(name, []):
        pixels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 200
    return pixels.astype(np.uint8)


def detections(mammogram):
    """What the stand-in finds in a view: its discs."""
    discs = DISCS.get(mammogram.name, [])
    boxes = [(x - r, y - r, x + r, y + r) for y, x, r, _ in discs]
    return Detections.on(
        mammogram,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([score for *_, score in discs], np.float32),
        [disc(y, x, r) for y, x, r, _ in discs],
        threshold=0.5,
        model="stand-in",
    )


def reviewed(path, decision=Decision.ACCEPTED):
    """Draw a view and keep a review of it, with a mass or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(view("RCC")).save(path)
    one = Review.of(detections(open_mammogram(path).with_spacing(MM)))
    for number in one.ids:
        one = one.decided(number, decision if number == 0 else Decision.REJECTED)
    write(path, one)
    return path


class MassesStandin:
    """A run whose speed and end a test decides; remembers what it was asked."""

    def __init__(self):
        self.pause_s, self.error = 0.0, None
        self.hold_s, self.between = 0.0, threading.Event()  # after each view
        self.asked, self.closed = [], 0

    def events(self, mammograms, model):
        self.asked.append(([one.name for one in mammograms], model))
        try:
            yield Progress(0, 0, "loading the model")
            if self.error is not None:
                raise self.error
            for done, one in enumerate(mammograms):
                yield Progress(done, len(mammograms), f"looking at {one.name}")
                time.sleep(self.pause_s)
                yield ViewSearched(done, detections(one))
                self.between.wait(self.hold_s)
            yield Finished([detections(one) for one in mammograms])
        finally:
            self.closed += 1
