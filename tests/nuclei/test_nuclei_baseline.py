"""What stain alone tells, beside every model: fitted to the same patients, printed, on the card."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.nuclei import crossval
from napari_pathogan.tasks.nuclei.baseline import PixelBaseline, figures, sample
from napari_pathogan.tasks.nuclei.config import RECIPES
from napari_pathogan.tasks.nuclei.evaluate import by_baseline, evaluate
from napari_pathogan.tasks.nuclei.model import NucleiModel

QUICK = replace(RECIPES["quick"], width=2, epochs=1, crop=64, batch=2, views=1, common_epochs=0)


def test_dark_nuclei_on_pink_are_found_by_stain_alone(folder):
    fitted = crossval.fit_baseline(folder)
    counts = np.sum([by_baseline(i, fitted).pixels for i in folder.images], 0)
    assert 2 * counts[0] / (2 * counts[0] + counts[1] + counts[2]) > 0.9
    again = PixelBaseline.from_json(json.loads(json.dumps(fitted.to_json())))
    images = np.stack([i.pixels for i in folder.images[:1]])
    np.testing.assert_allclose(again.probability(images), fitted.probability(images), atol=1e-4)
    np.testing.assert_allclose(fitted.probability(images).sum(1), 1, atol=1e-6)


def test_pixels_that_nobody_annotated_are_not_learnt_from(folder):
    image = folder.images[0]
    mask = np.where(np.arange(96)[:, None] < 48, image.mask, -1)
    x, y = sample(image.pixels, mask)
    assert len(y) == 48 * 96 if len(y) < 4000 else len(y) == 4000
    rows = figures(image.pixels)[:48].reshape(-1, 9)
    assert {tuple(row) for row in x.tolist()} <= {tuple(row) for row in rows.tolist()}


def test_one_label_alone_gives_none(folder):
    blank = replace(folder.images[0], mask=np.zeros((96, 96), np.int32))
    assert PixelBaseline.fit([sample(blank.pixels, blank.mask)]) is None


@pytest.mark.parametrize("folds", [0, 3])
def test_training_evaluation_and_card_carry_it(tmp_path, folder, folds):
    run = RunFolder(tmp_path)
    run.start(QUICK.to_json())
    *_, finished = crossval.learn(folder, QUICK, run, folds=folds, name="tiny", device="cpu")
    model = NucleiModel.load(tmp_path, device="cpu")
    assert ("baseline_dice" in model.card.metrics) is bool(folds)
    if folds:
        assert finished.result.metrics["baseline_dice"].value > 0.85
        assert any(note.startswith("baseline:") for note in finished.result.notes)
    done = evaluate(folder, model, rounds=0)
    assert done.metrics["baseline_dice"].value > 0.85
    assert any(note.startswith("baseline:") for note in done.notes)


def test_a_patient_is_called_by_a_baseline_that_never_saw_them(folder, monkeypatch):
    seen = []
    known = {id(i): i.patient for i in folder.images}
    fit = PixelBaseline.fit

    def spy(samples):
        seen.append({names[x.tobytes()] for x, _ in samples})
        return fit(samples)

    names = {sample(i.pixels, i.mask)[0].tobytes(): known[id(i)] for i in folder.images}
    monkeypatch.setattr(PixelBaseline, "fit", spy)
    fold = np.array([int(p[1]) for p in folder.patients])
    scored = crossval.baseline_out_of_fold(folder, fold)
    assert [one.patient for one in scored] == sorted(folder.patients.tolist())
    assert seen == [{"p1", "p2"}, {"p0", "p2"}, {"p0", "p1"}]
