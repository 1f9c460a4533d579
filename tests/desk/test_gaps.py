"""While something runs, the window answers: its thread is never away for more than 0.2 s."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from qtpy.QtCore import QTimer
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QPushButton

from desk import choose, plain
from napari_pathogan.plugin.shell.running import running

sys.path += [str(Path(__file__).parents[1] / room) for room in ("plugin", "nuclei")]
import leaving

pytestmark = [pytest.mark.gui, pytest.mark.timed, pytest.mark.timeout(480)]

LONGEST_S = 0.2
JOBS = [
    ("IDC heat map", "H&E phantom slide"),
    ("Nuclei", "H&E phantom at 40x"),
    ("Stain transfer", "H&E phantom at 40x"),
    ("Virtual stains", "H&E phantom at 40x"),
    ("Mammogram masses", "Mammogram phantom study"),
    ("Blending", "Mammogram phantom study"),
]
TRAININGS = {
    "idc": "IDC heat map",
    "stain": "Stain transfer",
    "pair": "Virtual stains",
    "nuclei": "Nuclei",
    "masses": "Mammogram masses",
}


def ready(desk, title, sample):
    """A dock with an image, all that it needs imported."""
    dock = desk.dock(title)
    desk.sample(sample)
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.wait(lambda: not running(), "the models to be ready")
    desk.rest(1)
    if title == "Virtual stains":
        desk.wait(lambda: "Measuring" not in dock.fits.text(), "its stain")
        dock.stain.setCurrentIndex(dock.stain.findText("H&E"))
        dock.stain.activated.emit(dock.stain.currentIndex())
    if title == "Blending":
        rows, columns = dock.layer.data.shape
        desk.click(desk.at(dock.layer, rows / 2, columns / 2))
        desk.wait(lambda: dock.run is None and dock.grown is not None, "the first mass")
    return dock


def pan(desk, seconds):
    """Drag the image to and fro."""
    middle = desk.canvas().rect().center()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for step in (40, -40):
            desk.drag(middle, middle + type(middle)(step, step // 2))


def quick(desk, what, work):
    """Do something; the window answers meanwhile."""
    gaps = desk.least_gaps(work, LONGEST_S)
    assert gaps.beyond_rest_s < LONGEST_S, f"{what}: {gaps}"


def save(desk, dock, folder):
    """Write every export."""
    (button,) = (x for x in dock.findChildren(QPushButton) if plain(x.text()) == "Export")
    button.menu().aboutToShow.emit()
    for number, entry in enumerate(filter(QAction.isEnabled, button.menu().actions())):

        def work(gaps, number=number, entry=entry):
            with desk.answering(choose(folder / f"{number}-{time.monotonic_ns()}")):
                entry.trigger()
            gaps.seen.clear()  # what the dialog takes to open is no work of ours
            desk.wait(lambda: dock.run is None, entry.text())

        quick(desk, entry.text(), work)


def recolour_and_look(desk, dock):
    """Show and hide a class of nuclei, look at the gallery."""
    thumbs = [button for buttons in dock.gallery.buttons.values() for button in buttons]

    def work(_gaps):
        for _ in range(2):
            dock.numbers.table.rows[0].shown.click()
            desk.rest(0.3)
        dock.pages.setCurrentWidget(dock.gallery)
        desk.wait(lambda: any(x.isVisible() for x in thumbs), "the gallery")
        dock.pages.setCurrentWidget(dock.numbers)

    quick(desk, "classes", work)


def move(desk, dock):
    """Move the view while its tiles come."""

    def work(_gaps):
        desk.viewer.scene.camera.zoom *= 2
        pan(desk, 4)

    quick(desk, "moving the view", work)


def doubt(desk, dock):
    """Make a map of doubt."""
    desk.wait(dock.doubt.isEnabled, "what doubts")

    def work(_gaps):
        desk.press(dock.doubt)
        desk.wait(lambda: dock.run is None, "the map")

    quick(desk, "a map of doubt", work)


THEN = {
    "Nuclei": [recolour_and_look],
    "Stain transfer": [move],
    "Virtual stains": [doubt, move],
}


@pytest.mark.parametrize(("title", "sample"), JOBS)
def test_a_run_what_is_saved_and_what_is_looked_at(desk, tmp_path, title, sample):
    dock = ready(desk, title, sample)

    def run(_gaps):
        desk.press(dock.form.run)
        desk.wait(lambda: dock.run is None, "the run")

    quick(desk, "the run", run)
    if title not in ("Stain transfer", "Blending"):
        save(desk, dock, tmp_path)
    for step in THEN.get(title, ()):
        step(desk, dock)


def test_classes_of_patches(desk):
    dock = ready(desk, "Virtual stains", "H&E phantom slide")
    desk.viewer.scene.camera.zoom *= 5

    def classify(_gaps):
        desk.press(dock.classes.classify)
        desk.wait(lambda: dock.run is None and dock.classes.found, "the classes")

    classify(None)
    quick(desk, "the classes", classify)


def test_drawing_while_the_map_follows(desk):
    dock = ready(desk, "IDC heat map", "H&E phantom slide")
    desk.press(dock.form.run)
    desk.wait(lambda: dock.run is None, "the run")
    desk.press(dock.live.switch)
    rows, columns = dock.layer.data[0].shape[:2]
    places = ((y * rows, x * columns) for y in (0.4, 0.5, 0.6) for x in (0.3, 0.4, 0.5, 0.6))
    side = 2 * 50 * 4 / float(dock.layer.scale[0])  # of two patches

    def draw(name, there):
        y, x = next(places)
        desk.press(dock.live.draw[name])
        ring = [(0, 0), (0, 0.5), (0, 1), (0.5, 1), (1, 1), (1, 0.5), (1, 0), (0.5, 0), (0, 0)]
        desk.drag(*(desk.at(dock.layer, y + side * v, x + side * u) for v, u in ring))
        desk.wait(lambda: dock.live.run is None and there(), name)

    def mapped(number):
        return lambda: dock.live.versions.count() > number

    desk.wait(lambda: dock.live.run is None and mapped(0)(), "a look")
    draw("IDC", lambda: next(iter(dock.live.slides.values())).outlines)
    draw("healthy", mapped(1))
    quick(desk, "the map", lambda _: draw("IDC", mapped(dock.live.versions.count())))


@pytest.mark.parametrize("job", TRAININGS)
def test_training_while_the_image_is_panned(desk, tmp_path, job):
    getattr(leaving, job)(desk, tmp_path)
    training = desk.docked(TRAININGS[job]).training
    desk.wait(lambda: training.run is not None and training.run.latest is not None, "it learns")

    def learn(_gaps):
        assert training.run is not None, "it is learning"
        end = time.monotonic() + 8
        while training.run is not None and time.monotonic() < end:  # some machines learn it sooner
            pan(desk, 0.5)

    gaps = desk.least_gaps(learn, LONGEST_S)
    if training.run is not None:
        desk.press(training.cancel)
    desk.wait(lambda: training.run is None, "the end")
    assert gaps.beyond_rest_s < LONGEST_S, str(gaps)


def test_what_keeps_the_window_waiting_is_seen(desk):
    """The measure itself: a slot that sleeps is found, with the place where it does."""

    def sleeping():
        time.sleep(0.5)

    def work(_gaps):
        QTimer.singleShot(0, sleeping)
        desk.rest(1)

    gaps = desk.least_gaps(work, LONGEST_S, tries=1)
    assert gaps.beyond_rest_s > LONGEST_S
    assert "in sleeping" in str(gaps)
