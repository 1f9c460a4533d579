"""Evaluation and the model behind it: the report, its notes, and the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.models import ModelCard, TrainingData
from napari_pathogan.errors import DataFolderError, ModelError
from napari_pathogan.tasks.idc import model as models
from napari_pathogan.tasks.idc.calibrate import Calibration
from napari_pathogan.tasks.idc.context import Context
from napari_pathogan.tasks.idc.data import PatchFolder, read_patches
from napari_pathogan.tasks.idc.evaluate import evaluate, report
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.network import Discriminator, folded_state

COMMAND = ("idc",)


METRICS = [
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1"),
    *("auc", "auc_patient_mean", "brier", "ece"),
]


def folded(network):
    """A discriminator with its spectral norms in its weights."""
    plain = Discriminator(1 / 16, spectral=False)
    plain.load_state_dict(folded_state(network))
    return plain


@pytest.fixture
def folder(tmp_path, patches):
    """A model with random weights whose card says it learnt from patient p0."""
    torch.manual_seed(0)
    calibration = Calibration(2.0, 0.1, 0.5, 0.45)
    card = ModelCard(
        name="random",
        title="random",
        task="idc",
        architecture="discriminator",
        training_data=(TrainingData(name="made up", terms="none", patients=("p0",)),),
    )
    models.save(
        tmp_path / "model",
        card,
        folded(Discriminator(1 / 16)),
        width=1 / 16,
        reference=SlideColours.measure(patches.images),
        share=0.5,
        calibration=calibration,
        context=Context((0.0, 1.0), (0.5, 0.5), replace(calibration, threshold=0.6)),
    )
    return tmp_path / "model"


@pytest.fixture
def model(folder):
    return IdcModel.load(folder)


def test_a_model_comes_back_with_what_it_needs(model):
    assert (model.patch_px, model.mpp, model.views) == (50, 4.0, 1)
    assert (model.threshold, model.context_threshold) == (0.45, 0.6)
    assert model.card.classes == ("healthy", "IDC")
    assert torch.__version__.startswith(model.card.versions["torch"])


def test_logits_have_a_column_a_view_and_do_not_depend_on_the_batch(folder, patches):
    model = IdcModel.load(folder, views=8)
    logits = model.logits(patches.images)
    assert logits.shape == (48, 8)
    assert logits.dtype == np.float32
    alone = np.concatenate([model.logits(image[None]) for image in patches.images[:5]])
    np.testing.assert_allclose(logits[:5], alone, atol=1e-5)
    one = IdcModel.load(folder).logits(patches.images)
    np.testing.assert_allclose(one[:, 0], logits[:, 0], atol=1e-5)
    turned = model.logits(np.ascontiguousarray(patches.images[:, ::-1]))
    np.testing.assert_allclose(np.sort(turned, 1), np.sort(logits, 1), atol=1e-5)
    assert model.logits(patches.images[:0]).shape == (0, 8)


def test_colours_move_the_logits_towards_the_reference(model, patches):
    colours = model.colours(patches.images[patches.patients == "p1"].reshape(-1, 3))
    plain = model.logits(patches.images)
    normalised = model.logits(patches.images, colours)
    assert not np.allclose(plain, normalised)
    same = model.logits(patches.images, model.reference)
    np.testing.assert_allclose(plain, same, atol=1e-4)


def test_a_heat_map_leaves_the_background_empty(model):
    grid = np.random.default_rng(0).normal(size=(6, 7, 1)).astype(np.float32)
    grid[0, :] = np.nan
    probability, uncertainty = model.heat_map(grid)
    assert probability.shape == uncertainty.shape == (6, 7)
    assert np.isnan(probability[0]).all()
    assert ((probability[1:] > 0) & (probability[1:] < 1)).all()


def test_a_card_for_another_task_is_refused(folder):
    card = (folder / "model.json").read_text()
    (folder / "model.json").write_text(card.replace('"task": "idc"', '"task": "nuclei"'))
    with pytest.raises(ModelError, match="nuclei"):
        IdcModel.load(folder)


def test_a_card_that_does_not_fit_the_weights_is_refused(folder):
    card = (folder / "model.json").read_text()
    (folder / "model.json").write_text(card.replace('"width": 0.0625', '"width": 0.125'))
    with pytest.raises(ModelError, match="does not fit"):
        IdcModel.load(folder)


def test_report_has_every_figure_with_an_interval(patches, model):
    done = evaluate(patches, model, rounds=50)
    assert list(done.metrics) == METRICS
    assert all(v.low <= v.value <= v.high for v in done.metrics.values() if v.value is not None)
    assert done.counts == {"n_patches": 48, "n_patients": 4}
    assert any("trained on 1 of these 4 patients (p0)" in note for note in done.notes)
    heat_map = evaluate(patches, model, context=True, rounds=50)
    assert heat_map.metrics["brier"] != done.metrics["brier"]


def test_prevalence_moves_precision_and_leaves_recall(patches):
    probability = np.random.default_rng(0).random(48) * 0.7 + patches.labels * 0.3
    at = {
        share: report(patches, probability, probability > 0.5, title="", prevalence=share, rounds=0)
        for share in (0.05, 0.5)
    }
    for name in ("recall", "specificity", "balanced_accuracy", "auc"):
        assert at[0.05].metrics[name].value == pytest.approx(at[0.5].metrics[name].value)
    assert at[0.05].metrics["precision"].value < at[0.5].metrics["precision"].value
    with pytest.raises(DataFolderError, match="between 0 and 1"):
        report(patches, probability, probability > 0.5, title="", prevalence=1.0)


def test_one_patient_has_no_intervals(patches, model):
    done = evaluate(patches.of(["p1"]), model)
    assert done.metrics["auc"].value is not None
    assert all(v.low is None for v in done.metrics.values())
    assert any("one patient" in note for note in done.notes)


def test_one_class_has_no_auc(patches, model):
    done = evaluate(patches.take(patches.labels == 1), model, rounds=20)
    for name in ("auc", "auc_patient_mean", "balanced_accuracy", "specificity"):
        assert done.metrics[name].value is None
    assert any("all patches are IDC" in note for note in done.notes)
    with pytest.raises(DataFolderError, match="one class"):
        evaluate(patches.take(patches.labels == 1), model, prevalence=0.3)


def test_no_label_at_all(patches, model):
    blind = PatchFolder(patches.images, np.full(48, -1, np.int8), patches.patients, patches.xy)
    with pytest.raises(DataFolderError, match="label"):
        evaluate(blind, model)


def test_a_white_slide_is_evaluated_as_it_is(patches, model):
    patches.images[patches.patients == "p2"] = 255
    assert evaluate(patches, model, context=True, rounds=10).counts["n_patches"] == 48


def test_command_prints_one_json_object(  # noqa: PLR0917
    tmp_path, patches, write, folder, exit_code, capsys
):
    data = write(tmp_path / "data", patches)
    for extra in ([], ["--context"], ["--prevalence", "0.284"]):
        assert exit_code("evaluate", data, "--model", folder, "--json", *extra) == 0
        out = json.loads(capsys.readouterr().out)
        assert set(METRICS) < set(out)
        assert set(out["auc"]) == {"value", "low", "high"}
        assert out["n_patients"] == 4
    assert exit_code("evaluate", data, "--model", folder) == 0
    assert "balanced_accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["no folder", "no model", "no device"])
def test_command_fails_in_one_line(  # noqa: PLR0917
    tmp_path, patches, write, folder, exit_code, capsys, what
):
    data = tmp_path / "none" if what == "no folder" else write(tmp_path / "data", patches)
    chosen = "no-such-model" if what == "no model" else folder
    device = "cuda:77" if what == "no device" else "cpu"
    code = exit_code("evaluate", data, "--model", chosen, "--device", device)
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    assert error.startswith("pathogan: ")


def test_train_command_and_its_errors(tmp_path, patches, write, exit_code, capsys):
    data = write(tmp_path / "data", patches)
    options = ["--recipe", "quick", "--width", "0.03125", "--batch", "16", "--epochs", "1"]
    output = tmp_path / "run"
    assert exit_code("train", data, "-o", output, "--events", *options) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["event"] == "finished"
    assert lines[-1]["summary"]["model"] == str(output / "model")
    assert IdcModel.load(output).card.recipe["epochs"] == 1
    assert exit_code("train", data, "-o", output, *options) == 2
    assert "--resume" in capsys.readouterr().err
    assert exit_code("train", data, "-o", output, "--resume", "--seed", "3", *options) == 2
    assert "seed" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert exit_code("train", data, "-o", tmp_path / "file" / "run", *options) == 2
    assert "can't write" in capsys.readouterr().err


def test_training_that_cannot_start_leaves_nothing(tmp_path, patches, write, exit_code, capsys):
    data = write(tmp_path / "data", patches.of(patches.names[:1]))
    assert exit_code("train", data, "-o", tmp_path / "run", "--folds", "5") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_embedded_model_on_the_real_patches(real_patches):
    """It learnt from these, so this only shows that all of it fits together."""
    patches = read_patches(real_patches)
    few = patches.of(["13404", "16534"])
    done = evaluate(few, IdcModel.load(), rounds=20)
    assert done.metrics["auc"].value > 0.75
    assert any("trained on 2 of these 2" in note for note in done.notes)
