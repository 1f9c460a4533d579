"""Training in every dock that trains: beside Run, on the preferences' device, whole or not at all."""

from __future__ import annotations

import itertools
import shlex
import threading
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication, QInputDialog, QLabel
from training_standin import TrainingStandin

from napari_pathogan.engine.before_after import RULE
from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.engine.models import locate
from napari_pathogan.engine.report import Report, Value
from napari_pathogan.errors import DataFolderError
from napari_pathogan.plugin.idc import training as idc_training
from napari_pathogan.plugin.idc.dock import IdcDock
from napari_pathogan.plugin.masses.dock import MassesDock
from napari_pathogan.plugin.nuclei.dock import NucleiDock
from napari_pathogan.plugin.shell import train_dialog, training_row
from napari_pathogan.plugin.shell.recipes import LAST, recipes_of, save_recipe
from napari_pathogan.plugin.shell.running import running
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.shell.train_dialog import TrainDialog, TrainingMaterial
from napari_pathogan.plugin.shell.training_row import TrainingRow
from napari_pathogan.plugin.stain.dock import StainDock
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.commands import show_mammograms
from napari_pathogan.plugin.viewer.layers import slide_layer
from napari_pathogan.plugin.virtual_stain.dock import VirtualStainDock
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks import task_of

pytestmark = pytest.mark.gui
DOCKS = {
    "idc": IdcDock,
    "nuclei": NucleiDock,
    "masses": MassesDock,
    "stain": StainDock,
    "virtual-stain": VirtualStainDock,
}
LONG = 60_000


@pytest.fixture(params=DOCKS)
def dock(request, viewer, qtbot):
    """Each dock that trains, with its embedded models and an image."""
    if request.param == "masses":
        show_mammograms(viewer, samples.FOLDER / samples.PHANTOM_STUDY / "images" / "RCC.dcm")
    else:
        slide = Slide.from_arrays([np.full((64, 64, 3), 99, np.uint8)], name="case", mpp=1.0)
        data, kwargs, _ = slide_layer(slide)
        viewer.add_image(data, **kwargs)
    made = DOCKS[request.param](viewer)
    viewer.window.add_dock_widget(made)
    qtbot.waitUntil(lambda: made.card is not None and made.form.run.isEnabled(), timeout=LONG)
    return made


@pytest.fixture
def child(monkeypatch, tmp_path):
    """In place of the child process: works until told, then leaves a model as the command does."""
    chosen = replace(settings(), device="cuda:1")
    for module in (training_row, train_dialog, idc_training):
        monkeypatch.setattr(module, "settings", lambda: chosen)
    return TrainingStandin(tmp_path / "orders", monkeypatch)


def training_of(dock):
    (row,) = dock.findChildren(TrainingRow)
    return row


def begin(dock, child, qtbot, folder):
    """Start a training, and wait until it is on its way."""
    row = training_of(dock)
    start = dock.model_folder if row.lesson.begins else None
    row.train(TrainingMaterial(folder, "", "slides of ours", "ours"), start, "mine")
    qtbot.waitUntil(lambda: "error 0.5" in row.status.text(), timeout=LONG)
    assert row.status.text().startswith("Training mine: Epoch 1 of 2, 50 %, 60 s left")
    return row


def choices(dock):
    return [dock.form.model.itemText(i) for i in range(dock.form.model.count())]


def test_run_works_while_a_training_runs_and_ends(dock, child, qtbot, tmp_path, monkeypatch):
    before, chosen = choices(dock), dock.form.model.currentText()
    row = begin(dock, child, qtbot, tmp_path)
    assert dock.run is None
    assert dock.form.run.text() == "Run"
    assert dock.minimumSizeHint().width() <= 320
    (line,) = child.asked
    assert line[:2] == (["retrain", "idc"] if dock.task == "idc" else [dock.task, "train"])
    assert str(tmp_path) in line
    assert line[-1] == "--events"
    asked = dict(itertools.pairwise(line))
    assert asked["--device"] == "cuda:1"
    assert (asked["--source"], asked["--terms"]) == ("slides of ours", "ours")
    assert ("--start" in asked or "--base" in asked) == row.lesson.begins

    go, ended = threading.Event(), []

    def work(_layer):
        while not go.wait(0.02):
            yield Progress(0, 0, "working")
        yield Finished("found")

    monkeypatch.setattr(dock, "events", work)
    monkeypatch.setattr(dock, "finished", ended.append)
    dock.run_or_cancel()
    assert dock.run is not None
    child.ends(dock.model_folder)  # the training ends in the middle of the run
    qtbot.waitUntil(lambda: row.run is None, timeout=LONG)
    assert row.status.text() == "mine is trained: choose it above to use it"
    assert choices(dock) == [*before, "mine"]
    assert dock.form.model.currentText() == chosen
    go.set()
    qtbot.waitUntil(lambda: dock.run is None, timeout=LONG)
    assert [event.result for event in ended] == ["found"]
    dock.form.model.setCurrentText("mine")
    assert dock.model_folder == settings().own_models / "mine"
    assert locate("mine", dock.task) == dock.model_folder  # as the command line finds it


def test_the_new_model_is_chosen_where_nothing_runs(dock, child, qtbot, tmp_path):
    row = begin(dock, child, qtbot, tmp_path)
    figure, words = row.lesson.figure
    gain = {}
    if figure:  # the dock measures what is gained
        values = {"before": Value(0.5), "after": Value(0.75), "gain": Value(0.25, 0.1, 0.4)}
        metrics = {f"{figure}_{name}": value for name, value in values.items()}
        gain = Report("", metrics).to_dict()
    child.ends(dock.model_folder, gain)
    qtbot.waitUntil(lambda: row.run is None, timeout=LONG)
    assert row.status.text().startswith("mine is trained and chosen")
    if figure:
        assert row.status.text().endswith(
            f". Better on what was held back: {words} 0.500 before, 0.750 after (95 % interval of the "
            "difference +0.100 to +0.400)."
        )
    assert dock.card.name == "mine"


@pytest.mark.parametrize(
    ("gain", "word"),
    [
        (Value(-0.1, -0.2, -0.05), "Worse"),
        (Value(-0.1, -0.4, 0.2), "No clear difference"),
    ],
)
@pytest.mark.parametrize("dock", ["idc", "nuclei", "masses"], indirect=True)
def test_a_model_that_lost_is_not_chosen(  # noqa: PLR0917
    dock, child, qtbot, tmp_path, gain, word
):
    row = begin(dock, child, qtbot, tmp_path)
    figure, _ = row.lesson.figure
    assert figure == next(iter(task_of(dock.task).gains))  # by which commands and cards judge too
    values = {"before": Value(0.9), "after": Value(0.8), "gain": gain}
    metrics = {f"{figure}_{name}": value for name, value in values.items()}
    child.ends(dock.model_folder, Report("", metrics).to_dict())
    qtbot.waitUntil(lambda: row.run is None, timeout=LONG)
    assert row.status.text().startswith(
        f"mine is trained; the model from before stays chosen. {word} on"
    )
    assert row.status.text().endswith(f"{RULE}.")
    assert dock.form.model.currentText() == dock.card.name != "mine"
    assert "mine" in choices(dock)


def test_cancel_leaves_nothing(dock, child, qtbot, tmp_path):
    before = choices(dock)
    row = begin(dock, child, qtbot, tmp_path)
    job = row.job
    row.cancel.click()
    assert row.run is None
    assert row.status.text() == (
        "The training of mine was stopped. All models are as they were before."
    )
    qtbot.waitUntil(lambda: not running(), timeout=LONG)
    assert job.process is None
    assert not job.run.exists()
    models = settings().own_models
    qtbot.waitUntil(lambda: not models.is_dir() or not list(models.glob("*mine*")), timeout=LONG)
    assert choices(dock) == before


def test_a_training_goes_on_without_its_dock(dock, child, qtbot, tmp_path, viewer):
    row = begin(dock, child, qtbot, tmp_path)
    run, folder = row.run, dock.model_folder
    assert run.ask
    assert run.alone is not None
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(300)
    assert run.active
    child.ends(folder)
    qtbot.waitUntil(lambda: not run.active, timeout=LONG)
    assert (settings().own_models / "mine" / "model.json").exists()


def opened(dock, qtbot, monkeypatch, look):
    """The dialog, where ``look`` says what there is to learn from."""
    row = training_of(dock)
    row.lesson = replace(row.lesson, look=look, place=lambda: samples.FOLDER)
    row.ask()
    (dialog,) = dock.findChildren(TrainDialog)
    qtbot.waitUntil(lambda: "Looking" not in dialog.about.text(), timeout=LONG)
    return dialog


def test_the_dialog_offers_the_recipe_and_starts(dock, child, qtbot, monkeypatch, tmp_path):
    material = TrainingMaterial(tmp_path, "2 images of 2 patients.", "ours", "ours")
    dialog = opened(dock, qtbot, monkeypatch, lambda *_: material)
    assert dialog.about.text() == "2 images of 2 patients."
    said = [line.text() for line in dialog.findChildren(QLabel)]
    assert (f"{RULE}." in said) is bool(training_of(dock).lesson.figure[0])
    assert dialog.source.text() == str(tmp_path)
    assert dialog.form.isHidden()
    dialog.advanced.click()
    assert dialog.form.isVisible()
    widgets = dialog.form.widgets
    assert {"epochs", "seed", "ema", "batch", "lr"} <= widgets.keys()
    assert not widgets.keys() & set(training_of(dock).lesson.fixed)
    assert widgets["epochs"].min == 1
    for name, widget in widgets.items():  # to three digits at least
        shown, meant = widget.value, getattr(dialog.recipe, name)
        assert shown == (meant if isinstance(meant, str) else pytest.approx(meant, rel=0.01)), name
    assert dialog.changes == ()
    widgets["epochs"].value, widgets["seed"].value = 7, 3
    assert dialog.changes in {("epochs=7", "seed=3"), ("seed=3", "epochs=7")}
    widgets["ema"].value = 1.0
    assert "'ema=1.0' is not possible" in dialog.wrong.text()
    assert not dialog.go.isEnabled()
    widgets["ema"].value = 0.5
    dialog.name.setText("../x")
    assert "can't be called '../x'" in dialog.wrong.text()
    assert not dialog.go.isEnabled()
    qtbot.wait(50)  # it is laid out
    assert dialog.form.geometry().bottom() < dialog.go.mapTo(dialog, QPoint(0, 0)).y()
    (settings().own_models / "there").mkdir(parents=True)
    dialog.name.setText("there")
    assert dialog.wrong.text() == "there is a model called there already: choose another name"
    dialog.name.setText("mine")
    assert not dialog.wrong.text()
    dialog.go.click()
    qtbot.waitUntil(lambda: bool(child.asked), timeout=LONG)
    (line,) = child.asked
    sets = [b for a, b in itertools.pairwise(line) if a == "--set"]
    trained = dialog.recipe.adjusted(sets)
    assert (trained.epochs, trained.seed, trained.ema) == (7, 3, 0.5)
    training_of(dock).stop()
    qtbot.waitUntil(lambda: not running(), timeout=LONG)


def test_the_dialog_says_why_there_is_nothing_to_learn(dock, qtbot, monkeypatch):
    def look(*_):
        raise DataFolderError("it is empty")

    dialog = opened(dock, qtbot, monkeypatch, look)
    assert dialog.about.text() == "Nothing to learn from: it is empty."
    assert not dialog.go.isEnabled()
    dialog.reject()


def test_a_training_is_copied_as_a_command_that_runs(dock, child, qtbot, monkeypatch, tmp_path):
    material = TrainingMaterial(
        tmp_path / "my images", "2 images.", "ours, here", "theirs", ("--compare",)
    )
    dialog = opened(dock, qtbot, monkeypatch, lambda *_: material)
    dialog.name.setText("mine")
    dialog.form.widgets["epochs"].value = 7
    dialog.copy.click()
    assert dialog.copy.text() == "Copied"
    words = shlex.split(QApplication.clipboard().text())
    task = task_of(training_of(dock).lesson.task)
    source = str(tmp_path / "my images")
    begins = [*task.words.split(), "train", source]
    if task.name == "idc":
        begins = ["retrain", "idc", "--deep", "--slides", source]
    assert words[: len(begins) + 1] == ["pathogan", *begins]
    assert "epochs=7" in words
    assert words[words.index("--source") + 1] == "ours, here"
    dialog.go.click()
    qtbot.waitUntil(lambda: bool(child.asked), timeout=LONG)
    (line,) = child.asked
    typed, asked = (
        [
            word
            for word, before in zip(all_, ("", *all_), strict=False)
            if before not in {"-o", "--device"}
        ]
        for all_ in (words[1:], line)
    )
    assert [w for w in typed if w != "--events"] == [w for w in asked if w != "--events"]
    training_of(dock).stop()
    qtbot.waitUntil(lambda: not running(), timeout=LONG)


def test_what_is_made_for_a_training_alone_has_no_command(dock, qtbot, monkeypatch):
    made = TrainingMaterial(lambda _pool: iter(()), "Tiles.", "ours", "ours")
    dialog = opened(dock, qtbot, monkeypatch, lambda *_: made)
    assert dialog.go.isEnabled()
    assert not dialog.copy.isEnabled()
    assert "no command has that" in dialog.copy.toolTip()
    dialog.reject()


def test_a_recipe_is_kept_under_a_name(dock, qtbot, monkeypatch, tmp_path):
    material = TrainingMaterial(tmp_path, "2 images.", "ours", "ours")
    dialog = opened(dock, qtbot, monkeypatch, lambda *_: material)
    usual = dialog.form.widgets["epochs"].value
    dialog.form.widgets["epochs"].value = 7
    dialog.form.widgets["ema"].value = 0.5
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: (" gentle ", True))
    dialog.keep.click()
    assert dialog.recipes.currentText() == "gentle"
    dialog.reject()
    qtbot.waitUntil(lambda: not dock.findChildren(TrainDialog), timeout=LONG)
    again = opened(dock, qtbot, monkeypatch, lambda *_: material)
    assert again.form.widgets["epochs"].value == usual
    again.recipes.setCurrentText("gentle")
    again.recipes.activated.emit(again.recipes.currentIndex())
    assert set(again.changes) == {"epochs=7", "ema=0.5"}
    again.recipes.setCurrentIndex(0)
    again.recipes.activated.emit(0)
    assert again.changes == ()
    again.reject()


def test_the_next_dialog_is_set_as_the_last_training(dock, child, qtbot, monkeypatch, tmp_path):
    material = TrainingMaterial(tmp_path, "2 images.", "ours", "ours")
    dialog = opened(dock, qtbot, monkeypatch, lambda *_: material)
    assert dialog.recipes.currentText() == "As usual"
    dialog.form.widgets["epochs"].value = 7
    dialog.name.setText("mine")
    dialog.go.click()
    qtbot.waitUntil(lambda: bool(child.asked), timeout=LONG)
    training_of(dock).stop()
    qtbot.waitUntil(lambda: not running(), timeout=LONG)
    qtbot.waitUntil(lambda: not dock.findChildren(TrainDialog), timeout=LONG)
    again = opened(dock, qtbot, monkeypatch, lambda *_: material)
    assert again.recipes.currentText() == LAST
    assert again.changes == ("epochs=7",)
    again.copy.click()
    assert "--set epochs=7" in QApplication.clipboard().text()
    again.recipes.setCurrentIndex(0)
    again.recipes.activated.emit(0)
    assert again.changes == ()
    again.reject()


def test_a_recipe_that_can_t_be_taken_or_kept_is_said(dock, qtbot, monkeypatch, tmp_path):
    material = TrainingMaterial(tmp_path, "2 images.", "ours", "ours")
    save_recipe(training_of(dock).lesson.task, "old", ("epochs=7", "wings=2", "lr=fast"))
    dialog = opened(dock, qtbot, monkeypatch, lambda *_: material)
    dialog.recipes.setCurrentText("old")
    dialog.recipes.activated.emit(dialog.recipes.currentIndex())
    assert "wings=2, lr=fast" in dialog.wrong.text()
    assert dialog.changes == ("epochs=7",)

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_pathogan.files.os.fsync", full)
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: ("new", True))
    dialog.keep.click()
    assert "disk is full" in dialog.wrong.text()
    assert list(recipes_of(training_of(dock).lesson.task)) == ["old"]
    dialog.reject()
