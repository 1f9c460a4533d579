"""Trainings as a user works with them: watched, paused, queued, cancelled, killed, found again."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest
from qtpy.QtWidgets import QApplication, QMessageBox

from desk import button_in, press_in
from napari_pathogan.plugin.jobs.dock import LogDialog
from napari_pathogan.plugin.shell.card import CardDialog
from napari_pathogan.plugin.shell.jobs import Jobs
from napari_pathogan.plugin.shell.recent import STUDIES
from napari_pathogan.plugin.shell.running import running
from napari_pathogan.plugin.shell.train_dialog import TrainDialog
from napari_pathogan.plugin.viewer import samples

sys.path += [str(Path(__file__).parents[1] / room) for room in ("plugin", "nuclei")]
import leaving
from small_studies import make_study
from training_standin import TrainingStandin

pytestmark = pytest.mark.gui


@pytest.fixture
def child(tmp_path, monkeypatch):
    """A process in place of the training's, which ends as it is told."""
    return TrainingStandin(tmp_path / "orders", monkeypatch)


@pytest.fixture
def nuclei(desk, child, tmp_path):
    """The Nuclei dock, which trains on corrections that are kept."""
    leaving.nuclei(desk, tmp_path)
    dock = desk.docked("Nuclei")
    desk.wait(lambda: "error 0.5" in dock.training.status.text(), "the training")
    return dock


def another(desk, nuclei):
    """Train once more; the name of the model."""
    with desk.answering(press_in("Train", TrainDialog)):
        desk.press(nuclei.training.button)
    (jobs,) = desk.window.findChildren(Jobs)
    return jobs.waiting[-1].name


def rows(dock):
    items = [dock.list.topLevelItem(i) for i in range(dock.list.topLevelItemCount())]
    return [(item.text(0), item.text(1)) for item in items]


def pick(dock, name):
    for number in range(dock.list.topLevelItemCount()):
        item = dock.list.topLevelItem(number)
        item.setSelected(item.text(0) == name)


def enabled(dock):
    return {made.text() for made in dock.buttons.values() if made.isEnabled()}


@pytest.mark.timeout(480)  # two processes of its own
def test_batches_and_studies_are_listed_opened_and_taken_off(used, tmp_path):
    slides, out = tmp_path / "slides", tmp_path / "out"
    slides.mkdir()
    for name in "ab":
        shutil.copy(samples.FOLDER / samples.PHANTOM, slides / f"{name}.ome.tif")
    batch = used.dock("Batch")
    used.wait(batch.model.count, "the models")
    batch.model.setCurrentText("idc-cgan")
    batch.add([slides])
    batch.target.setText(str(out))
    used.press(batch, "Run")
    jobs = used.dock("Jobs")
    used.wait(lambda: ("out (batch)", "0 of 2") in rows(jobs), "the batch in the list")
    used.wait(lambda: batch.run is None, "the batch")
    used.wait(lambda: rows(jobs) == [("out (batch)", "done")], "its end")
    assert "2 of 2 are done" in jobs.about.text()
    shutil.rmtree(out / "slides" / "b.ome")
    used.wait(lambda: rows(jobs) == [("out (batch)", "interrupted")], "what is left of it")
    assert enabled(jobs) == {"Open", "Folder", "Remove"}
    used.viewer.window.remove_dock_widget(batch)
    used.rest(0.3)
    used.press(jobs.buttons["Open"])
    batch = used.docked("Batch")
    states = [batch.slides.topLevelItem(i) for i in range(batch.slides.topLevelItemCount())]
    assert [(x.text(0), x.text(1)) for x in states] == [("a.ome", "done"), ("b.ome", "waiting")]
    used.wait(lambda: batch.model.currentText() == "idc-cgan", "its model")
    assert batch.start.isEnabled(), "Run goes on with it"

    study = make_study(tmp_path / "blind", 2).folder
    STUDIES.remember(study)
    used.wait(lambda: ("Noise (study)", "new") in rows(jobs), "the study")
    pick(jobs, "Noise (study)")
    jobs.parentWidget().raise_()
    used.picture("jobs-folders")
    assert used.cut_texts(jobs) == []
    used.press(jobs.buttons["Open"])
    assert used.docked("Reader study").results.study.currentData() == study
    used.press(jobs.buttons["Remove"])
    used.wait(lambda: rows(jobs) == [("out (batch)", "interrupted")], "the list without it")
    assert (study / "study.json").exists()


def test_trainings_run_one_by_one_and_are_watched(desk, nuclei, child):
    first = nuclei.training.job.name
    jobs = desk.dock("Jobs")
    assert rows(jobs) == [(first, "50 %")]
    assert "Epoch 1 of 2, 50 %, 60 s left" in jobs.about.text()
    assert [line.name for line in jobs.plot.lines] == ["error", "held out, AUC"]
    assert jobs.plot.lines[0].values == pytest.approx([1.5, 0.75, 0.5])
    desk.picture("jobs-running")
    assert desk.cut_texts(jobs) == []

    second = another(desk, nuclei)
    third = another(desk, nuclei)
    assert len({first, second, third}) == 3
    assert [name for name, _ in rows(jobs)] == [first, second, third]
    assert [how for _, how in rows(jobs)][1:] == ["waits", "waits, 1 before it"]
    pick(jobs, third)
    desk.picture("jobs-waiting")
    assert enabled(jobs) == {"Cancel", "Earlier", "Folder", "Log"}
    desk.press(jobs, "Earlier")
    assert [name for name, _ in rows(jobs)] == [first, third, second]

    pick(jobs, first)
    running_one = jobs.chosen
    desk.press(jobs, "Pause")
    desk.wait(lambda: running_one.process.status() == psutil.STATUS_STOPPED, "rest")
    assert rows(jobs)[0] == (first, "50 %, paused")
    assert "paused" in nuclei.training.status.text()
    desk.press(jobs, "Resume")
    assert not running_one.paused
    desk.press(jobs, "Cancel")
    assert rows(jobs)[-1] == (first, "cancelled")
    desk.wait(lambda: running_one.process is None and not running_one.run.exists(), "its end")
    desk.wait(lambda: rows(jobs)[:2] == [(third, "50 %"), (second, "waits")], "the next")

    child.ends(nuclei.model_folder)
    desk.wait(lambda: [how for _, how in rows(jobs)].count("done") == 2, "both")
    assert len(child.asked) == 3
    assert "is trained and chosen" in nuclei.training.status.text()
    assert {second, third} <= {
        nuclei.form.model.itemText(i) for i in range(nuclei.form.model.count())
    }
    pick(jobs, second)
    desk.press(jobs, "Card")
    desk.wait(lambda: jobs.findChildren(CardDialog), "the card")[0].close()
    desk.press(jobs, "Log")
    (log,) = jobs.findChildren(LogDialog)
    desk.press(log, "Copy as command")
    assert QApplication.clipboard().text().startswith("pathogan nuclei train ")
    log.close()
    desk.picture("jobs-done")
    desk.press(jobs, "Remove")
    assert second not in dict(rows(jobs))
    desk.wait(lambda: not running(), "the threads")


def test_a_killed_training_is_resumed(desk, nuclei, child):
    jobs = desk.dock("Jobs")
    job = jobs.chosen
    with desk.expecting("was interrupted"):
        os.kill(job.pid, signal.SIGKILL)
        desk.wait(lambda: rows(jobs) == [(job.name, "interrupted")], "its end")
    desk.picture("jobs-interrupted")
    with desk.answering(press_in("No", QMessageBox)):
        desk.press(jobs, "Remove")
    desk.press(jobs, "Resume")
    desk.wait(lambda: len(child.asked) == 2, "the second go")
    assert child.asked[1] == [*child.asked[0][:-1], "--resume", "--events"]
    child.ends(nuclei.model_folder)
    desk.wait(lambda: rows(jobs) == [(job.name, "done")], "the model")
    assert "is trained and chosen" in nuclei.training.status.text()
    desk.wait(lambda: not running(), "the threads")


def test_a_failed_training_says_why(desk, nuclei, child):
    jobs = desk.dock("Jobs")
    with desk.expecting("the disk is full"):
        child.fails()
        desk.wait(lambda: rows(jobs)[0][1] == "failed", "its end")
    assert "Failed: the disk is full." in jobs.about.text()
    assert button_in(jobs, "Resume").isEnabled()
    assert desk.cut_texts(jobs) == []
    desk.wait(lambda: not running(), "the threads")
