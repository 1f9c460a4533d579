"""A whole napari in which something is done for the first time in its process; run by test_first.

    python first.py JOB FOLDER

It prints a line of JSON: the longest time in seconds that the window did not answer, but for what the
machine had no core for, and where it was meanwhile. For ``napari`` (and ``napari by hand``) it prints how long napari itself
does not answer as a kind of layer is drawn for the first time, kind by kind: nothing of ours is open then.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from desk import choose, napari_of_its_own, press_in
from napari_pathogan.plugin.shell.running import running
from napari_pathogan.plugin.viewer import shaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from desk import Desk, Gaps

SAMPLES = {
    "IDC heat map": "H&E phantom slide",
    "Live": "H&E phantom slide",
    "Nuclei": "H&E phantom at 40x",
    "Stain transfer": "H&E phantom at 40x",
    "Virtual stains": "H&E phantom at 40x",
    "Classify in view": "H&E phantom slide",
    "Mammogram masses": "Mammogram phantom study",
    "Blending": "Mammogram phantom study",
}
DOCKS = {"Live": "IDC heat map", "Classify in view": "Virtual stains"}


def ready(desk: Desk, job: str) -> QWidget:
    """The dock and its image, as a user has them who then does the first thing."""
    dock = desk.dock(DOCKS.get(job, job))
    desk.sample(SAMPLES[job])
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.wait(lambda: not running(), "the models to be ready")
    desk.wait(lambda: not shaders.compiling(), "shaders to be compiled")
    if hasattr(dock, "fits"):  # which stain the slide has
        dock.stain.setCurrentIndex(dock.stain.findText("H&E"))
        dock.stain.activated.emit(dock.stain.currentIndex())
    if job == "Classify in view":
        desk.viewer.scene.camera.zoom *= 5
    desk.rest(1)
    return dock


def run(desk: Desk, dock: QWidget, gaps: Gaps) -> None:
    """Press Run."""
    desk.press(dock.form.run)
    desk.wait(lambda: dock.run is None, "the run")


def blend(desk: Desk, dock: QWidget, gaps: Gaps) -> None:
    """Click where a mass is to grow."""
    rows, columns = dock.layer.data.shape
    desk.click(desk.at(dock.layer, rows / 2, columns / 2))
    desk.wait(lambda: dock.run is None and dock.grown is not None, "the mass")


def classify(desk: Desk, dock: QWidget, gaps: Gaps) -> None:
    """Classify the patches in view by all stains."""
    desk.press(dock.classes.classify)
    desk.wait(lambda: dock.run is None and dock.classes.found, "the classes")


def live(desk: Desk, dock: QWidget, gaps: Gaps) -> None:
    """Switch Live on, and draw until the map follows."""
    panel = dock.live
    desk.press(panel.switch)
    rows, columns = dock.layer.data[0].shape[:2]
    corners = [(0, 0), (0, 0.1), (0.1, 0.1), (0.1, 0), (0, 0)]
    for name, at in (("IDC", 0.35), ("healthy", 0.55)):
        desk.wait(lambda: panel.run is None, "the map before")
        desk.press(panel.draw[name])
        desk.drag(*(desk.at(dock.layer, (0.4 + y) * rows, (at + x) * columns) for y, x in corners))
    desk.wait(lambda: panel.run is None and panel.versions.count() > 1, "a map that followed")


WORK: dict[str, Callable[[Desk, QWidget, Gaps], None]] = {
    "Live": live,
    "Classify in view": classify,
    "Blending": blend,
}


def results(desk: Desk, folder: Path) -> Gaps:
    """Show the results of the study in the folder."""
    study = folder / "example"
    dock = desk.dock("Reader study")
    with desk.answering(choose(study)):
        desk.press(dock.reading.start.open)
    desk.wait(lambda: dock.reading.start.study.currentData() == study, "the study")
    desk.wait(lambda: not shaders.compiling(), "shaders to be compiled")
    dock.tabs.setCurrentIndex(1)
    desk.rest(1)
    with desk.gaps() as gaps:
        with desk.answering(press_in("Yes"), choose(study.with_name("example.key.json"))):
            desk.press(dock.results.show_button)
        gaps.seen.clear()  # what dialogs take to open is no work of ours
        desk.wait(lambda: dock.results.run is None, "the results")
        galleries = dock.results.galleries
        desk.wait(lambda: all(one.pictures[0].isVisible() for one in galleries), "the end")
        assert dock.results.verdict.isVisible()
        desk.rest(0.5)
    return gaps


def of_napari(desk: Desk) -> dict[str, float]:
    """Seconds that napari does not answer at the first of each kind of layer, beside an image that is there."""
    viewer, grey = desk.viewer, np.zeros((600, 400), np.uint8)
    square = np.array([[50, 50], [50, 150], [150, 150], [150, 50]])
    text = {"string": "{label}", "size": 10, "color": "#ffffff"}
    viewer.add_image(grey, colormap="gray", contrast_limits=(0, 255))
    viewer.canvas.overlays.scale_bar.visible = True
    desk.rest(2)
    found = {}

    def kind(name: str, *steps: Callable[[], object]) -> None:
        with desk.gaps() as gaps:
            for step in steps:
                step()
                desk.rest(0.5)
        found[name] = gaps.beyond_rest_s

    def grid() -> None:
        viewer.canvas.grid.stride, viewer.canvas.grid.shape = -1, (2, 2)
        viewer.canvas.grid.enabled = True

    def named() -> None:
        viewer.layers[-1].name_overlay.visible = True

    labels = np.zeros((600, 400), np.uint8)
    labels[100:200, 100:200] = 1
    said = {"label": ["90 %, 8 x 8 mm"]}
    kind("image", lambda: viewer.add_image(grey / 255.0, colormap="magma", contrast_limits=(0, 1)))
    kind("colours", lambda: viewer.add_image(np.zeros((600, 400, 3), np.uint8), rgb=True))
    kind("labels", lambda: viewer.add_labels(labels))
    kind("points", lambda: viewer.add_points(square, features={"label": list("abcd")}, text=text))
    kind("shapes", lambda: viewer.add_shapes([square], features=said, text=text))
    kind("vectors", lambda: viewer.add_vectors(np.zeros((3, 2, 2)) + 20, vector_style="line"))
    viewer.layers.clear()
    viewer.add_image(grey, colormap="gray", contrast_limits=(0, 255))
    desk.rest(1)
    kind("grid", grid, named)
    return found


def by_hand(desk: Desk) -> dict[str, float]:
    """Seconds that napari does not answer as the first shape is drawn by hand, on an image."""
    desk.viewer.add_image(np.zeros((600, 400), np.uint8), contrast_limits=(0, 255))
    desk.rest(2)
    with desk.gaps() as gaps:
        shapes = desk.viewer.add_shapes(ndim=2)
        shapes.mode = "add_polygon_lasso"
        desk.rest(0.5)
        corners = [(300, 100), (300, 200), (400, 200), (400, 100), (300, 100)]
        desk.drag(*(desk.at(shapes, *corner) for corner in corners))
        desk.rest(0.5)
    return {"drawing": gaps.beyond_rest_s}


NAPARIS = {"napari": of_napari, "napari by hand": by_hand}


def main(job: str, folder: Path) -> None:
    """Do it, print what was measured, leave."""
    with napari_of_its_own() as desk:
        desk.rest(1)
        if job in NAPARIS:
            said: dict[str, object] = {"napari": NAPARIS[job](desk)}
        else:
            if job == "Study results":
                gaps = results(desk, folder)
            else:
                dock = ready(desk, job)
                with desk.gaps() as gaps:
                    WORK.get(job, run)(desk, dock, gaps)
                    desk.rest(0.5)
            desk.picture(f"first-{job}")
            said = {"gap": gaps.beyond_rest_s, "where": str(gaps)}
        print(json.dumps(said), flush=True)  # noqa: T201  (to the test that runs this)
    time.sleep(0.1)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
