"""Known nuclei instead of a network: ellipses of three classes, as if they had been found."""

from __future__ import annotations

import time
from itertools import cycle

import numpy as np
import pandas as pd

from napari_pathogan.engine.events import Finished, Progress, Tile
from napari_pathogan.engine.models import ModelCard, Validation
from napari_pathogan.plugin.nuclei.events import NucleiLaid
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.tasks.nuclei.editing import renamed
from napari_pathogan.tasks.nuclei.features import BOX, MEASURES, measure
from napari_pathogan.tasks.nuclei.segmentation import COLUMNS, Segmentation
from napari_pathogan.tasks.nuclei_classes.naming import naming

NAMES = ("epithelial", "inflammatory", "fibroblast")
COLOURS = ("#ff3b30", "#00d5ff", "#7dff3a")
MPP = 0.25
ELLIPSES = [  # y, x, two axes in px, angle, class
    (60.0, 60.0, 44.0, 32.0, 0.3, "epithelial"),
    (60.0, 160.0, 40.0, 34.0, 1.2, "epithelial"),
    (150.0, 80.0, 26.0, 24.0, 0.0, "inflammatory"),
    (150.0, 150.0, 25.0, 24.0, 0.0, "inflammatory"),
    (210.0, 200.0, 60.0, 14.0, 0.5, "fibroblast"),
    (220.0, 90.0, 62.0, 13.0, 0.1, "fibroblast"),
    (120.0, 230.0, 42.0, 33.0, 2.0, "epithelial"),
]
CARD = ModelCard(
    name="stand-in",
    title="Stand-in U-Net",
    task="nuclei",
    architecture="unet",
    mpp=MPP,
    patch_px=144,
    settings={"views": 4},
)
CLASS_CARDS = {
    name: ModelCard(
        name=name,
        title=f"Stand-in classes at {mpp} um/px",
        task="nuclei-classes",
        architecture="infogan",
        mpp=mpp,
        classes=NAMES,
        settings={"colours": list(COLOURS)},
        validated_on=(Validation(organ="breast", mpp=(0.2, 0.3)),),
    )
    for name, mpp in (("classes-coarse", 0.55), ("classes-fine", 0.25))
}
Ellipse = tuple[float, float, float, float, float, str]  # y, x, long, short (px), angle, class


def drawn(shape, ellipses):
    """Labels of ellipses, 1 to n."""
    labels = np.zeros(shape, np.int32)
    for number, (y, x, long, short, angle, _) in enumerate(ellipses, 1):
        half = int(long) + 2
        box = np.s_[max(int(y) - half, 0) : int(y) + half, max(int(x) - half, 0) : int(x) + half]
        dy = np.arange(box[0].start, box[0].start + labels[box].shape[0])[:, None] - y
        dx = np.arange(box[1].start, box[1].start + labels[box].shape[1])[None] - x
        u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        inside = (u / (long / 2)) ** 2 + (v / (short / 2)) ** 2 <= 1
        labels[box][inside & (labels[box] == 0)] = number
    return labels


def segmentation(slide, ellipses, *, names=NAMES, colours=COLOURS, class_model="classes-fine"):
    """A segmentation of a slide at 0.25 um/px; the surer of its class, the lower its number."""
    labels = drawn(slide.shape, ellipses)
    image = slide.resampled((0, 0), (1, 1), slide.shape)
    found = measure(labels, image, MPP**2)
    kinds = [ellipses[i - 1][5] for i in found["id"]]
    table = pd.DataFrame({"id": found["id"].astype(np.int32)})
    for axis in "xy":
        table[f"{axis}_px"] = found[axis]
        table[f"{axis}_um"] = (found[axis] + 0.5) * MPP
    table[list(MEASURES)] = found[list(MEASURES)]
    table["class"] = pd.Categorical(kinds, categories=names)
    table["class_probability"] = np.linspace(0.95, 0.4, len(table)).astype(np.float32)
    table["corrected"] = False
    table = table[list(COLUMNS)]
    for name in names:
        rest = (1 - table["class_probability"]) / (len(names) - 1)
        table[f"p_{name}"] = np.where(table["class"] == name, table["class_probability"], rest)
    return Segmentation(
        slide=slide.name,
        overlay=Overlay(labels, (0.0, 0.0), (1.0, 1.0)),
        table=table,
        boxes=found[list(BOX)].to_numpy(),
        mpp=slide.mpp,
        area_mm2=slide.shape[0] * slide.shape[1] * MPP**2 * 1e-6,
        class_names=tuple(names),
        class_colours=tuple(colours),
        class_model=class_model,
        model="stand-in",
        imprint=slide.imprint,
    )


def many_nuclei(side, pitch=16):
    """A segmentation of side x side discs, laid out in a square; no slide is read."""
    y, x = np.mgrid[:pitch, :pitch] - (pitch - 1) / 2
    stamp = y**2 + x**2 < (0.4 * pitch) ** 2
    ids = np.arange(1, side**2 + 1, dtype=np.int32)
    labels = np.kron(ids.reshape(side, side), stamp).astype(np.int32)
    row, column = np.divmod(np.arange(side**2), side)
    table = pd.DataFrame({"id": ids})
    for axis, place in (("x", column), ("y", row)):
        table[f"{axis}_px"] = place * pitch + (pitch - 1) / 2
        table[f"{axis}_um"] = (table[f"{axis}_px"] + 0.5) * MPP
    table["area_um2"] = stamp.sum() * MPP**2
    table["eccentricity"], table["solidity"], table["haematoxylin_mean"] = 0.1, 0.95, 0.5
    table["class"] = pd.Categorical.from_codes(np.arange(side**2) % len(NAMES), NAMES)
    table["class_probability"] = np.float32(0.8)
    table["corrected"] = False
    table = table[list(COLUMNS)]
    for name in NAMES:
        table[f"p_{name}"] = np.where(table["class"] == name, 0.8, 0.2 / (len(NAMES) - 1))
    return Segmentation(
        slide="many",
        overlay=Overlay(labels, (0.0, 0.0), (1.0, 1.0)),
        table=table,
        boxes=np.stack([row, column, row + 1, column + 1], 1) * pitch,
        mpp=(MPP, MPP),
        area_mm2=labels.size * MPP**2 * 1e-6,
        class_names=NAMES,
        class_colours=COLOURS,
        class_model="classes-fine",
        model="stand-in",
    )


class NucleiStandin:
    """A run whose speed, end and nuclei a test decides; remembers what it was asked."""

    def __init__(self, ellipses):
        self.ellipses = ellipses
        self.pause_s = 0.0
        self.endless = False  # it goes on until it is cancelled
        self.error = None
        self.asked = []
        self.views = None  # of the latest run
        self.closed = 0

    def events(self, slide, model, class_model, *, views, tissue, region, polygons, near):
        self.views = views
        self.asked.append((class_model, region, polygons, near))
        try:
            yield Progress(0, 0, "loading the models")
            found = segmentation(slide, self.ellipses)
            if class_model is not None:
                found = renamed(
                    found, naming(CLASS_CARDS[class_model.name], tissue, slide.mpp), tissue
                )
            yield NucleiLaid(found.overlay, found.class_colours)
            if isinstance(self.error, Exception):
                raise self.error
            codes = found.class_image()
            places = [
                (r, c) for r in range(0, codes.shape[0], 128) for c in range(0, codes.shape[1], 128)
            ]
            for done, (r, c) in enumerate(cycle(places) if self.endless else places, 1):
                part = np.s_[r : r + 128, c : c + 128]
                yield Tile("nuclei", r, c, found.labels[part])
                yield Tile("classes", r, c, codes[part])
                yield Progress(done, len(places), "finding nuclei", 1.0)
                time.sleep(self.pause_s)
            yield Finished(found, found.summary())
        finally:
            self.closed += 1
