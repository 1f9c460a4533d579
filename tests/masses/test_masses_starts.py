"""Going on from a model: in its shape, with what came before on its card, never tested on whom it knows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from mass_folders import IMAGES, write

from napari_pathogan.engine.events import Finished, Metrics, Preview
from napari_pathogan.engine.models import TrainingData, load_model, read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError, ModelNotFoundError
from napari_pathogan.tasks.masses import crossval
from napari_pathogan.tasks.masses.config import RECIPES
from napari_pathogan.tasks.masses.crossval import check, learn
from napari_pathogan.tasks.masses.data import read_mass_folder
from napari_pathogan.tasks.masses.model import MassModel
from napari_pathogan.tasks.masses.starts import going_on, learnt_from

TINY = replace(
    RECIPES["quick"],
    arm="real", procedural_epochs=0, width=8, long_side=96, crop=(64, 64), epochs=1, batch=2, steps=2,
)  # fmt: skip
OTHERS = {f"x{name}": (f"x{patient}", *rest) for name, (patient, *rest) in IMAGES.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return read_mass_folder(write(tmp_path_factory.mktemp("known") / "drawn"))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return read_mass_folder(write(tmp_path_factory.mktemp("others") / "drawn", OTHERS))


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    """A model of patients a, b and c, measured out of fold."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "first")
    run.start(TINY.to_json())
    data = TrainingData(name="drawn", terms="theirs")
    *_, finished = learn(folder, TINY, run, folds=3, device="cpu", data=data)
    assert isinstance(finished, Finished)
    return run.model


def test_what_a_model_gains_is_measured_on_patients_it_did_not_learn_from(
    model, others, tmp_path, monkeypatch
):
    config = going_on(replace(RECIPES["quick"], epochs=1, batch=2, steps=2), str(model))
    run = RunFolder(tmp_path / "compared")
    run.start(config.to_json())
    learnt = []
    real = crossval._Training.one

    def spy(self, part, indices, begin, number):
        learnt.append(set(self.folder.patients[indices].tolist()))
        return real(self, part, indices, begin, number)

    monkeypatch.setattr(crossval._Training, "one", spy)
    *events, done = learn(others, config, run, start=str(model), compare=True, device="cpu")
    first, second, everyone = learnt
    epochs = [one.values for one in events if isinstance(one, Metrics)]
    held = [one["held_out_found"] for one in epochs if "held_out_found" in one]
    assert (len(epochs), len(held)) == (3, 2), "of each half, and not of the model of all"
    assert all(0 <= share <= 1 for share in held)
    pictures = [one for one in events if isinstance(one, Preview)]
    assert len(pictures) == 2
    green = (pictures[0].image == (0, 158, 115)).all(2)
    assert green.any(), "where the masses are"
    curve = json.loads((run.path / "held_back" / "0" / "metrics.jsonl").read_text().splitlines()[0])
    assert curve["values"]["held_out_found"] == held[0]
    assert first
    assert second
    assert first.isdisjoint(second)
    assert first | second == everyone == set(others.patients.tolist())
    told = done.summary["before_and_after"]
    assert told["tpr_at_0.5_gain"]["value"] == pytest.approx(
        told["tpr_at_0.5_after"]["value"] - told["tpr_at_0.5_before"]["value"]
    )
    card = read_card(run.model)
    assert set(card.metrics) >= {"tpr_at_0.5_before", "tpr_at_0.5_after"}
    assert "--compare" in card.measured_by
    assert card.recipe["parent"] == read_card(model).name
    assert card.recipe["annotations_sha256"] == others.digest
    old = MassModel.load(model, "cpu")
    assert MassModel.load(run.model, "cpu").threshold == old.threshold


def test_masses_of_one_patient_are_not_measured(model, others, tmp_path):
    config = going_on(replace(RECIPES["quick"], epochs=1, batch=2, steps=2), str(model))
    one = others.subset(others.patients == others.patients[others.n_masses > 0][0])
    run = RunFolder(tmp_path / "one")
    run.start(config.to_json())
    *_, done = learn(one, config, run, start=str(model), compare=True, device="cpu")
    assert done.result.metrics == {}
    assert "two patients" in done.result.notes[0]


def test_a_model_learns_on_in_its_own_shape(model, others, tmp_path):
    config = going_on(replace(RECIPES["quick"], epochs=1, batch=2, steps=2), str(model))
    assert (config.width, config.long_side, config.crop) == (8, 96, (64, 64))
    assert config.lr < RECIPES["quick"].lr
    assert config.procedural_epochs == 0
    run = RunFolder(tmp_path / "second")
    run.start(config.to_json())

    data = TrainingData(name="own", terms="mine")
    *_, finished = learn(others, config, run, start=str(model), device="cpu", data=data)

    assert finished.result is None
    old, new = MassModel.load(model, "cpu"), MassModel.load(run.model, "cpu")
    assert (new.threshold, new.calibration) == (old.threshold, old.calibration)
    assert len(new.froc.tpr) == 0  # how well it does now was not measured
    assert new.card.metrics == {}
    assert [part.name for part in new.card.training_data] == ["drawn", "own"]
    assert new.card.licence == "theirs; mine"
    assert "6 patients" in new.card.title
    before, after = (load_model(path, "masses")[1] for path in (model, run.model))
    moved = [
        (after[name] - value).abs().max() for name, value in before.items() if "weight" in name
    ]
    assert 0 < max(moved) < 0.01  # on from where it was, not anew


def test_it_is_tested_on_patients_it_does_not_know_alone(model, folder, others, tmp_path):
    config = going_on(TINY, str(model))
    run = RunFolder(tmp_path / "second")
    run.start(config.to_json())

    *_, finished = learn(others, config, run, folds=3, start=str(model), device="cpu")

    assert finished.result.counts["n_patients"] == 3
    assert read_card(run.model).metrics["tpr_at_1"].value is not None
    with pytest.raises(
        DataFolderError, match="first has learnt from 3 of these patients: train wi"
    ):
        check(folder, config, folds=3, start=str(model))
    check(folder, config, folds=0, start=str(model))
    with pytest.raises(ModelNotFoundError, match="no masses model 'nowhere'"):
        check(folder, config, folds=0, start="nowhere")


def test_what_was_learnt_again_is_named_once():
    first, again, more = (
        TrainingData(name=name, terms="mine").of(patients, 1)
        for name, patients in (("own", ("a",)), ("own", ("a", "b")), ("other", ("a", "b", "c")))
    )
    assert learnt_from([first], again) == (again,)
    assert learnt_from([again], first) == (again, first)
    assert learnt_from([again], more) == (again, more)
    stricter = again.model_copy(update={"terms": "research only"})
    assert learnt_from([stricter], again) == (stricter, again)
    named = first.model_copy(update={"patients": ("a",), "pseudonyms": False})  # an older card
    assert learnt_from([named], again) == (again,)
    assert learnt_from([named], more) == (first, more)


def test_the_command_goes_on_from_a_model(model, others, tmp_path, typed):
    folder, run = others.files[0].parent.parent, tmp_path / "run"
    typed(
        *("masses", "train", folder, "-o", run, "--arm", "real", "--recipe", "quick"),
        *("--start", model, "--epochs", 1, "--set", "steps=1", "--set", "batch=1"),
        *("--device", "cpu"),
    )
    card = read_card(run / "model")
    assert card.arguments["width"] == 8
    assert len(card.training_data) == 2
    network = MassModel.load(run, "cpu").network
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
