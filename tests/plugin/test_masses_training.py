"""Training on reviews from the dock: a real child process, watched, cancelled, its model chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from masses_standin import FROC, MM, MassesStandin, view
from masses_standin import reviewed as kept_review
from PIL import Image as Picture
from training_standin import TrainingStandin

from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.models import ModelCard, TrainingData, read_card
from napari_pathogan.errors import DataFolderError
from napari_pathogan.mammograms.study import MammogramStudy, open_mammogram
from napari_pathogan.plugin.masses import dock as masses_widget
from napari_pathogan.plugin.masses.dock import MassesDock
from napari_pathogan.plugin.masses.training import Reviewed, material, reviewed
from napari_pathogan.plugin.shell import dock as docks
from napari_pathogan.plugin.shell.running import running
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.shell.train_dialog import TrainDialog
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.commands import show_mammograms
from napari_pathogan.plugin.viewer.mammogram_layers import study_layers
from napari_pathogan.tasks.masses.annotated import read_annotated_folder, store
from napari_pathogan.tasks.masses.froc import Froc
from napari_pathogan.tasks.masses.model import Views, save
from napari_pathogan.tasks.masses.network import slim
from napari_pathogan.tasks.masses.review import Decision

SHAPE = {"width": 8, "smallest": 0.0234375 * 96}
RECIPE = {"detector": "maskrcnn-slim", "width": 8, "long_side": 96, "crop": [64, 64]}


@pytest.fixture
def images(tmp_path):
    """Three reviewed views of two patients, one of them without a mass."""
    return [
        kept_review(tmp_path / "data/one/RCC.png"),
        kept_review(tmp_path / "data/one/b_RMLO.png", Decision.REJECTED),
        kept_review(tmp_path / "data/two/RCC.png"),
    ]


@pytest.fixture
def model(tmp_path):
    """A small network that has learned nothing, from patient x."""
    torch.manual_seed(0)
    card = ModelCard(
        name="small", title="Small", task="masses", architecture="maskrcnn-slim", arguments=SHAPE,
        recipe=RECIPE, training_data=(TrainingData(name="drawn", terms="none", patients=("x",)),),
    )  # fmt: skip
    save(
        tmp_path / "small", card, slim(**SHAPE), froc=Froc.from_json(FROC), threshold=0.5,
        long_side=96, calibration=(1.0, 0.0), views=Views(1, (1.0,)),
    )  # fmt: skip
    return tmp_path / "small"


@pytest.fixture
def child(monkeypatch, tmp_path):
    """Another process in place of the command."""
    return TrainingStandin(tmp_path / "orders", monkeypatch)


@pytest.fixture
def dock(viewer, qtbot, monkeypatch, model, images):
    """The dock with the small model and the reviewed views of the first patient."""
    monkeypatch.setattr(masses_widget, "masses_events", MassesStandin().events)

    def find(tasks, folders, warm_up):
        yield docks.ModelsFound({"small": (model, read_card(model))}, tasks[-1])
        yield Finished()

    monkeypatch.setattr(docks, "_find", find)
    views = [open_mammogram(path).with_spacing(MM) for path in images[:2]]
    for data, kwargs, _ in study_layers(MammogramStudy(views)):
        viewer.add_image(data, **kwargs)
    made = MassesDock(viewer)
    viewer.window.add_dock_widget(made)
    qtbot.waitUntil(made.form.run.isEnabled)
    return made


def choices(dock):
    return [dock.form.model.itemText(i) for i in range(dock.form.model.count())]


def test_what_a_folder_holds_in_words(images, model):
    found = reviewed(images[0], model)  # the folder above, for another patient's reviews are there
    assert found.folder == images[0].parent.parent
    assert (found.images, found.patients, found.masses, found.folds) == (3, 2, 2, 0)
    learnt = material(found)
    assert learnt.origin == "mammograms reviewed in napari"
    assert learnt.terms == "those of the reviewed mammograms"
    assert str(found) == (
        "3 images of 2 patients with 2 masses. What it gains is measured on halves of the patients "
        "that are held back."
    )
    assert learnt.options == ("--compare",)
    alone = reviewed(images[0].parent, model)
    assert alone.patients == 1
    assert str(alone).endswith("not measured: that takes 6 patients with masses.")
    assert material(alone).options == ()
    for name in "cdef":
        kept_review(images[0].parent.parent / name / "RCC.png")
    found = reviewed(images[0].parent.parent, model)
    assert found.folds == 3
    assert str(found).endswith("It is measured on patients it has not seen, in 3 folds.")


def test_reviews_that_are_kept_elsewhere_count(images, model):
    """Where the folder of one patient, or of all, can't be written."""
    for moved, image in enumerate(images, 1):
        store(image).elsewhere.parent.mkdir(parents=True)
        store(image).beside.rename(store(image).elsewhere)
        for place in (images[0], images[0].parent.parent):
            found = reviewed(place, model)
            assert (found.folder, found.images) == (images[0].parent.parent, 3), moved


def test_patients_that_the_model_knows_measure_nothing(images, model):
    for name in "cdef":
        kept_review(images[0].parent.parent / name / "RCC.png")
    known = str(read_annotated_folder(images[0].parent.parent).patients[0])
    card = read_card(model)
    data = card.training_data[0].model_copy(update={"patients": (known,)})
    save(
        model, card.model_copy(update={"training_data": (data,)}), slim(**SHAPE),
        froc=Froc.from_json(FROC), threshold=0.5, long_side=96, calibration=(1.0, 0.0),
        views=Views(1, (1.0,)),
    )  # fmt: skip
    found = reviewed(images[0].parent.parent, model)
    assert found.folds == 0
    assert found.why == "small has learnt from 1 of these patients"


def test_folders_to_learn_nothing_from(tmp_path, model):
    image = tmp_path / "new/RCC.png"
    image.parent.mkdir()
    Picture.fromarray(view("RCC")).save(image)
    with pytest.raises(DataFolderError, match="new holds no reviewed mammogram: accept, reject or"):
        reviewed(image, model)
    kept_review(image)
    with pytest.raises(DataFolderError, match=r"only one mammogram of .*new is reviewed"):
        reviewed(image, model)
    kept_review(image, Decision.REJECTED)
    kept_review(tmp_path / "new/LCC.png", Decision.REJECTED)
    with pytest.raises(DataFolderError, match="none of the 2 images has a mass"):
        reviewed(image, model)


@pytest.mark.gui
def test_a_training_is_watched_and_cancelled_while_the_dock_is_used(dock, qtbot, child, viewer):
    row, before = dock.training, choices(dock)
    found = Reviewed(dock.layer.metadata["mammogram"].path.parent, 4, 2, 2, 0, 0, halves=True)
    dock.training.train(material(found), dock.model_folder, "mine")
    qtbot.waitUntil(lambda: "epoch 1 of 2" in row.status.text().lower(), timeout=20_000)
    qtbot.waitUntil(lambda: "error 0.5" in row.status.text(), timeout=20_000)
    assert row.status.text().startswith("Training mine: Epoch 1 of 2")
    assert dock.minimumSizeHint().width() <= 330
    dock.run_or_cancel()  # looking for masses meanwhile
    qtbot.waitUntil(lambda: dock.run is None, timeout=20_000)
    dock.table.selectRow(0)
    dock.decisions.reject.click()
    assert str(dock.table.rows[0].decision) == "rejected"
    job = row.job
    row.cancel.click()
    assert row.run is None
    assert "was stopped" in row.status.text()
    assert dock.training.button.isEnabled()
    qtbot.waitUntil(lambda: not running(), timeout=20_000)
    assert job.process is None
    assert choices(dock) == before
    (line,) = child.asked
    assert "--compare" in line
    assert line[line.index("--start") + 1] == str(dock.model_folder)


@pytest.mark.gui
def test_the_dialog_says_what_is_learnt_from_and_starts(dock, qtbot, child, tmp_path):
    dock.training.ask()
    (dialog,) = dock.findChildren(TrainDialog)
    qtbot.waitUntil(lambda: dialog.material is not None, timeout=30_000)
    assert dialog.about.text().startswith("3 images of 2 patients with 2 masses")
    assert dialog.source.text() == str(tmp_path / "data")
    assert dialog.name.text() == "small-own-1"
    dialog.name.setText("a/b")
    assert not dialog.go.isEnabled()
    assert "can't be called 'a/b'" in dialog.wrong.text()
    dialog.look(tmp_path)
    qtbot.waitUntil(lambda: "1 patient" in dialog.about.text(), timeout=30_000)
    (tmp_path / "empty").mkdir()
    dialog.look(tmp_path / "empty")
    qtbot.waitUntil(lambda: "Nothing to learn from" in dialog.about.text(), timeout=30_000)
    dialog.name.setText("mine")
    assert not dialog.wrong.text()
    assert not dialog.go.isEnabled()
    dialog.look(tmp_path / "data")
    qtbot.waitUntil(dialog.go.isEnabled, timeout=30_000)
    dialog.go.click()
    qtbot.waitUntil(lambda: dock.training.bar.value() > 0, timeout=20_000)
    assert child.asked[0][2] == str(tmp_path / "data")
    dock.training.stop()
    qtbot.waitUntil(lambda: not running(), timeout=20_000)


@pytest.mark.gui
def test_images_to_learn_nothing_from(viewer, dock, told):
    viewer.add_image(view("LCC"), name="drawn here")
    dock.form.slide.setCurrentIndex(dock.form.slide.findText("drawn here"))
    dock.training.ask()
    assert told[-1:] == ["drawn here is no file: save it, open it again, and review it there"]
    viewer.layers.clear()  # another examination beside these would be asked about
    show_mammograms(viewer, samples.FOLDER / samples.PHANTOM_STUDY / "images" / "RCC.dcm")
    dock.form.slide.setCurrentIndex(0)
    dock.training.ask()
    assert told[-1] == "Nothing is learnt from the sample: review mammograms of your own"


@pytest.mark.gui
def test_a_model_trained_from_the_dock_is_chosen(dock, qtbot, images, model):
    """Nothing is stood in for: the command in a child process, its model, the list of models."""
    found = material(reviewed(images[0], model))
    dock.training.train(found, dock.model_folder, "mine", ("steps=1", "batch=2"))
    long = 600_000  # a busy machine may take its time; the suite's own timeout is the end
    qtbot.waitUntil(lambda: dock.training.run is None, timeout=long)
    assert dock.training.status.text().startswith(
        "mine is trained and chosen; the model it began with stays in the list. No clear difference on "
        "what was held back: share of the masses found at one false mark in two images "
    )
    assert choices(dock) == ["small", "mine"]
    assert dock.form.model.currentText() == "mine"
    assert dock.model_folder == settings().own_models / "mine"
    assert dock.card.training_data[0].name == "drawn"
    assert dock.card.training_data[1].n_images == 3
    assert set(dock.card.metrics) == {f"tpr_at_0.5_{what}" for what in ("before", "after", "gain")}
    assert "does not say" in dock.meaning.text()
    assert np.isclose(dock.reviews.threshold, read_card(model).operating_point)
    dock.form.model.setCurrentText("small")  # as if nothing had been trained
    assert dock.model_folder == model
