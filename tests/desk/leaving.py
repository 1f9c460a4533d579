"""A whole napari that starts something, is closed by a user, and says when; run by test_closing.

    python leaving.py JOB FOLDER KEYS ANSWER

It prints a line of JSON when the job is in full swing (the processes it started), and one when the
user has answered that it may be stopped; what comes after that is the leaving.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import napari
from masses_standin import reviewed
from nuclei_standin import ELLIPSES, many_nuclei, segmentation
from qtpy.QtCore import QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QDialog, QFileDialog, QPushButton
from shapely import box
from slides_of_nuclei import paint
from small_studies import make_images
from tifffile import imwrite

from desk import Answer, Desk, button_in, choose, napari_of_its_own, press_in
from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.plugin.shell.running import running
from napari_pathogan.plugin.shell.train_dialog import TrainDialog
from napari_pathogan.plugin.study.new import NewStudyDialog
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc import live
from napari_pathogan.tasks.nuclei.annotated import write

if TYPE_CHECKING:
    from napari_pathogan.plugin.virtual_stain.dock import VirtualStainDock


def nothing(desk: Desk, folder: Path) -> None:
    """An open slide, and a dock that waits."""
    desk.sample("H&E phantom slide")
    dock = desk.dock("IDC heat map")
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.wait(lambda: not running(), "the models to be ready")


def nuclei(desk: Desk, folder: Path) -> None:
    """Training on corrections that are kept beside a slide."""
    path = folder / "case.tif"
    imwrite(path, paint((300, 300), 20), resolution=(40_000, 40_000), resolutionunit="CENTIMETER")
    with Slide.open(path) as slide:
        kept = segmentation(slide, ELLIPSES)
        kept.table["corrected"] = True
        write(path, kept)
    with desk.answering(choose(path)):
        desk.menu("File", "IO Utilities", "Open a slide…")
    dock = desk.dock("Nuclei")
    desk.wait(dock.training.button.isEnabled, "the corrections that were kept")
    with desk.answering(press_in("Train", TrainDialog)):
        desk.press(dock.training.button)


def idc(desk: Desk, folder: Path) -> None:
    """A deep round on outlines that are kept beside a slide."""
    path = folder / "section.tif"
    shutil.copy(samples.FOLDER / samples.PHANTOM, path)
    with Slide.open(path) as slide:
        side = 400 / slide.mpp[0]  # two patches
        places = {"IDC": ((0.4, 0.3), (0.5, 0.3)), "healthy": ((0.3, 0.6), (0.7, 0.6))}
        outlines = [
            Annotation(box(x * width, y * height, x * width + side, y * height + side), class_name=name)
            for height, width in [slide.shape[:2]]
            for name, corners in places.items()
            for y, x in corners
        ]  # fmt: skip
        live.write(slide, outlines)
    with desk.answering(choose(path)):
        desk.menu("File", "IO Utilities", "Open a slide…")
    dock = desk.dock("IDC heat map")
    desk.wait(dock.training.button.isEnabled, "the outlines that were kept")
    with desk.answering(press_in("Train", TrainDialog)):
        desk.press(dock.training.button)


def masses(desk: Desk, folder: Path) -> None:
    """Training on reviewed mammograms."""
    images = [reviewed(folder / f"{patient}/RCC.png") for patient in ("one", "two")]
    with desk.answering(choose(images[0])):
        desk.menu("File", "IO Utilities", "Open mammograms…")
    dock = desk.dock("Mammogram masses")
    desk.wait(dock.training.button.isEnabled, "the model")
    desk.wait(lambda: not running(), "the models to be ready")  # imports can't be interrupted
    with desk.answering(press_in("Train", TrainDialog)):
        desk.press(dock.training.button)


def stain(desk: Desk, folder: Path) -> None:
    """Learning a style from the sample."""
    desk.sample("H&E phantom at 40x")
    dock = desk.dock("Stain transfer")
    desk.wait(dock.form.run.isEnabled, "the model")
    with desk.answering(press_in("Train", TrainDialog)):
        desk.press(dock.training.button)


def blending(desk: Desk, folder: Path) -> None:
    """A mass that grows in a mammogram."""
    desk.sample("Mammogram phantom study")
    dock = desk.dock("Blending")
    desk.wait(lambda: dock.card is not None and dock.shelf.lesion is not None, "a lesion")
    desk.wait(lambda: not running(), "the models to be ready")
    desk.rest(0.5)  # the dock and the canvas find their sizes
    rows, columns = dock.layer.data.shape
    desk.click(desk.at(dock.layer, rows / 2, columns / 2))


def export(desk: Desk, folder: Path) -> None:
    """Saving the outlines of very many nuclei."""
    desk.sample("H&E phantom at 40x")
    dock = desk.dock("Nuclei")
    desk.wait(dock.form.run.isEnabled, "the model")
    dock.show_annotated(dock.layer, many_nuclei(250))
    with desk.answering(choose(folder / "nuclei.geojson")):
        desk.pick(dock.export, "Outlines for QuPath (GeoJSON)…")


def pair(desk: Desk, folder: Path) -> None:
    """Learning a pair of stains from two folders."""
    for seed, stain in enumerate(("he", "pas")):
        make_images(folder / stain, 12, seed, size=256)
    desk.sample("H&E phantom at 40x")
    dock = desk.dock("Virtual stains")
    desk.wait(dock.training.button.isEnabled, "the models")
    desk.wait(lambda: not running(), "the models to be ready")

    def say(dialog: QDialog) -> None:
        rows = dialog.more.rows
        folders = [str(folder / stain) for stain in ("he", "pas")]
        # a dialog over a dialog that is being answered is not seen
        with patch.object(QFileDialog, "getExistingDirectory", side_effect=folders):
            dialog.choose.click()
            rows["Other images"].findChild(QPushButton).click()
        rows["Their stain"].setCurrentText("H&E")
        rows["Their stain is"].setCurrentText("PAS")
        desk.wait(dialog.go.isEnabled, "what there is to learn from")
        dialog.go.click()

    with desk.answering(Answer(TrainDialog, say)):
        desk.press(dock.training.button)


def virtual_stains(desk: Desk, sample: str) -> VirtualStainDock:
    """The dock, that takes a sample for H&E."""
    desk.sample(sample)
    dock = desk.dock("Virtual stains")
    desk.wait(dock.form.run.isEnabled, "the models")
    desk.wait(lambda: not running(), "the slide's stain")
    dock.stain.setCurrentIndex(dock.stain.findText("H&E"))
    dock.stain.activated.emit(dock.stain.currentIndex())
    return dock


def painting(desk: Desk, folder: Path) -> None:
    """Making the virtual stains of a slide."""
    desk.press(virtual_stains(desk, "H&E phantom at 40x").form.run)


def classes(desk: Desk, folder: Path) -> None:
    """Classifying the patches in view by all stains."""
    desk.press(virtual_stains(desk, "H&E phantom slide").classes.classify)


def keeping(desk: Desk, folder: Path) -> None:
    """Keeping a map that followed annotations as a model of its own."""
    path = folder / "section.tif"
    shutil.copy(samples.FOLDER / samples.PHANTOM, path)
    with desk.answering(choose(path)):
        desk.menu("File", "IO Utilities", "Open a slide…")
    dock = desk.dock("IDC heat map")
    live = dock.live
    desk.wait(dock.form.run.isEnabled, "the model")
    desk.press(live.switch)
    rows, columns = dock.layer.data[0].shape[:2]
    for name, at in (("IDC", 0.35), ("healthy", 0.55)):
        desk.wait(lambda: live.run is None, "the map before")
        desk.press(live.draw[name])
        corners = [(0, 0), (0, 0.1), (0.1, 0.1), (0.1, 0), (0, 0)]
        desk.drag(*(desk.at(dock.layer, (0.4 + y) * rows, (at + x) * columns) for y, x in corners))
    desk.wait(lambda: live.run is None and live.versions.count() > 1, "a map that followed")
    desk.press(live.keep)


def study(desk: Desk, folder: Path) -> None:
    """Making a study of many images."""
    for seed, kind in enumerate(("real", "generated")):
        make_images(folder / kind, 60, seed, size=512)
    dock = desk.dock("Reader study")
    desk.press(dock, "New study…")
    (dialog,) = dock.findChildren(NewStudyDialog)
    for sources, kind in ((dialog.real, "real"), (dialog.generated, "generated")):
        with desk.answering(choose(folder / kind)):
            desk.pick(sources.add, "Folder of images…")
        sources.number.setValue(50)
    desk.type(dialog.target, str(folder / "study"))
    desk.wait(lambda: not running(), "the generators")
    desk.press(dialog.make)


def main(job: str, folder: Path, keys: str, answer: str) -> None:
    """Start a job, close the window by a key, leave."""
    with napari_of_its_own() as desk:
        desk.rest(0.5)
        globals()[job](desk, folder)
        if job != "nothing":
            desk.wait(lambda: _going(job), f"{job} in full swing")
        _say(children=_children())
        QTimer.singleShot(0, lambda: _leave(desk, keys, answer if job != "nothing" else ""))
        napari.run()


class _ByFrame(QCloseEvent):
    """What comes of the window's frame, by which windows are closed that the user closes himself."""

    def spontaneous(self) -> bool:
        return True


def _leave(desk: Desk, keys: str, answer: str) -> None:
    """Close the window; napari asks first, as it does about any window. Or have it killed."""
    if keys == "kill":
        _say(answered=time.time())
        os.kill(os.getpid(), signal.SIGKILL)

    def give(dialog: QDialog) -> None:
        _say(answered=time.time())
        button_in(dialog, answer or "Close").click()

    napari_asks = [press_in("Close", QDialog)] if answer and keys != "frame" else []
    desk.answers += [*napari_asks, Answer(QDialog, give)]
    if keys == "frame":
        QApplication.sendEvent(desk.window, _ByFrame())
    else:
        desk.key(keys)


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201  (to the test that runs this)


def _going(job: str) -> bool:
    """Whether it has begun: trainings in a process of their own."""
    if job in {"idc", "nuclei", "masses", "stain", "pair"}:
        return bool(_children())
    return any(run.ask and run.latest is not None for run in running())


def _children() -> list[int]:
    """All processes that this one has started, and those that they have."""
    found, new = [], [os.getpid()]
    while new:
        tasks = [task for pid in new for task in Path(f"/proc/{pid}/task").glob("*/children")]
        new = [int(pid) for task in tasks for pid in task.read_text().split()]
        found += new
    return found


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
