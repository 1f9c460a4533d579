"""How long until 100,000 nuclei are on the screen? ``python benchmarks/nuclei_screen.py [NUCLEI]``.

A part of benchmarks/nuclei.py in a process of its own, since it opens napari; needs a display (or
``xvfb-run -a``). Prints JSON: for each step the seconds of the clock and of the processor until the
canvas has been drawn, from afar (points) and close up (the classes of the pixels in view).
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import napari
import numpy as np
import pandas as pd

from napari_pathogan.plugin.nuclei.layers import NucleiLayers
from napari_pathogan.plugin.viewer.layers import slide_layer
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei.editing import renamed
from napari_pathogan.tasks.nuclei.segmentation import COLUMNS, Segmentation
from napari_pathogan.tasks.nuclei_classes.naming import Naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SIDE = 16  # pixels from one nucleus to the next
MPP = 0.25
NAMES, COLOURS = ("epithelial", "inflammatory", "fibroblast"), ("#ff3b30", "#00d5ff", "#7dff3a")
OTHERS = ("#ffd400", "#ff8ad8", "#ff9500")
ROUNDS = 5


def rows_of_nuclei(count: int) -> Segmentation:
    """Discs of three classes, row by row; nothing is measured that is not shown."""
    across = int(np.ceil(np.sqrt(count)))
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    disc = np.hypot(axis[:, None], axis) < SIDE / 2 - 2
    ids = np.arange(1, across**2 + 1, dtype=np.int32).reshape(across, across)
    ids[ids > count] = 0
    labels = ids.repeat(SIDE, 0).repeat(SIDE, 1) * np.tile(disc, (across, across))
    number = np.arange(count)
    corner = np.stack([number // across, number % across], 1) * SIDE
    table = pd.DataFrame(0.0, index=number, columns=list(COLUMNS))
    table["id"] = number + 1
    table[["y_px", "x_px"]] = corner + (SIDE - 1) / 2
    table["area_um2"] = disc.sum() * MPP**2
    kinds = np.array(NAMES)[number % len(NAMES)]
    table["class"] = pd.Categorical(kinds, categories=NAMES)
    return Segmentation(
        slide="rows",
        overlay=Overlay(labels, (0.0, 0.0), (1.0, 1.0)),
        table=table,
        boxes=np.concatenate([corner, corner + SIDE], 1),
        mpp=(MPP, MPP),
        area_mm2=labels.size * MPP**2 * 1e-6,
        class_names=NAMES,
        class_colours=COLOURS,
    )


def drawn(viewer: napari.Viewer, work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of clock and processor until some work has been done and the canvas shows it."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    viewer.screenshot(flash=False)
    return time.perf_counter() - start, time.process_time() - cpu


def best(rounds: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """The least of each."""
    clocks, cpus = zip(*rounds, strict=True)
    return min(clocks), min(cpus)


def main() -> None:
    """Open napari, show the nuclei, recolour them from afar and close up, print the times."""
    found = rows_of_nuclei(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    both = found, renamed(found, Naming(NAMES, OTHERS, ""), "")
    viewer = napari.Viewer()
    viewer.window.resize(1900, 1200)
    pixels = np.full((*found.labels.shape, 3), 225, np.uint8)
    data, kwargs, _ = slide_layer(Slide.from_arrays([pixels], name=found.slide, mpp=MPP))
    layers = NucleiLayers(viewer, viewer.add_image(data, **kwargs))
    viewer.reset_view()
    times = {"nothing": best(drawn(viewer, _nothing) for _ in range(ROUNDS))}
    times["shown"] = drawn(viewer, lambda: layers.show(found))
    for name in ("afar", "close"):
        if name == "close":
            viewer.scene.camera.zoom *= 4
            layers.recolour(found)
        assert layers.points is not None
        assert layers.points.visible == (name == "afar")
        rounds = (drawn(viewer, partial(layers.recolour, both[i % 2])) for i in range(ROUNDS))
        times[f"recoloured {name}"] = best(rounds)
        times[f"drawn {name}"] = best(drawn(viewer, _nothing) for _ in range(ROUNDS))
    print(json.dumps(times))
    viewer.close()


def _nothing() -> None:
    """What drawing alone takes."""


if __name__ == "__main__":
    main()
