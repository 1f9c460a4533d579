"""Evaluation: figures that can be counted by hand, intervals, notes; arms beside each other."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from mass_folders import IMAGES, BrightDiscs, write
from PIL import Image

from napari_pathogan.engine.events import Finished, Progress, Warn
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.masses.compare import Arm, difference, differences, table
from napari_pathogan.tasks.masses.data import read_mass_folder
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.evaluate import evaluate, report
from napari_pathogan.tasks.masses.plots import froc_plot
from napari_pathogan.tasks.masses.scored import SCORED, Scored


@pytest.fixture
def folder(tmp_path):
    return read_mass_folder(write(tmp_path / "set"))


def found(boxes, scores):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    contours = (np.zeros((0, 2)),) * len(boxes)
    return Detections("x", (96, 72), boxes, np.array(scores, np.float32), contours)


def perfect(folder, score=0.9):
    return [found(boxes, [score] * len(boxes)) for boxes in folder.boxes]


def test_every_disc_is_found_and_the_others_are_false(folder, tmp_path):
    keep = tmp_path / "kept.json"
    *events, last = evaluate(folder, BrightDiscs(), rounds=50, keep=keep)
    assert isinstance(last, Finished)
    assert sum(isinstance(event, Progress) for event in events) == len(folder) + 1
    got = last.result.metrics
    # discs of radius 9, 8, 7 score above both false ones (6 and 5); the last mass ties with one
    assert got["tpr_at_0.25"].value == 1
    assert got["tpr_at_4"].value == 1
    assert list(got)[:6] == [f"tpr_at_{f}" for f in ("0.25", "0.5", "0.8", "1", "2", "4")]
    assert got["tpr_at_threshold"].value == 1
    assert got["fppi_at_threshold"].value == pytest.approx(2 / 5)
    assert got["baseline_tpr_at_1"].value >= 0.75  # bright spots are all that these masses are
    assert "nothing learnt" in last.result.notes[-1]
    assert got["seconds_per_image"].value > 0
    assert last.result.counts == {"n_images": 5, "n_normal": 2, "n_masses": 4, "n_patients": 3}
    assert json.loads(last.result.to_json())["n_patients"] == 3
    assert last.summary["tpr_at_1"] == {"value": 1, "low": 1, "high": 1}
    assert Scored.read(keep).hits.found.sum() == 4


def test_films_are_simulated_and_said(folder):
    class Sees(BrightDiscs):
        seen = ()

        def detect(self, image):
            self.seen = (*self.seen, image)
            return super().detect(image)

    plain, film = Sees(), Sees()
    list(evaluate(folder, plain, rounds=0))
    *_, last = evaluate(folder, film, rounds=0, films=True)
    assert all(np.abs(a - b).mean() > 0.01 for a, b in zip(plain.seen, film.seen, strict=True))
    assert "simulated scan of a film" in last.result.notes[-1]


def test_an_image_without_a_breast_has_no_findings_and_is_named(folder):
    Image.fromarray(np.zeros((96, 72), np.uint8)).save(folder.files[0])
    events = list(evaluate(folder, BrightDiscs(), rounds=0))
    (warning,) = [event for event in events if isinstance(event, Warn)]
    assert "a1.png: the image shows no breast" in warning.message
    assert events[-1].result.metrics["tpr_at_4"].value == 0.5


def test_patients_the_model_knows_are_counted_and_not_named(folder):
    *_, last = evaluate(folder, BrightDiscs(patients=("a", "c", "z")), rounds=0)
    (note,) = [note for note in last.result.notes if "trained" in note]
    assert "trained on 2 of these 3 patients: these figures are too good" in note


def test_intervals_are_over_patients(folder):
    """One patient's mass is missed: resamples without that patient find all."""
    done = perfect(folder)
    done[4] = found([], [])
    got = report(folder, done, rounds=300).metrics["tpr_at_1"]
    assert got.value == pytest.approx(3 / 4)
    assert got.low == 0 or got.low < 0.5
    assert got.high == 1
    one = report(folder.subset([0, 1]), done[:2])
    assert one.metrics["tpr_at_1"].low is None
    assert any("one patient" in note for note in one.notes)


def test_wilson_is_noted_beside(folder):
    (note,) = [note for note in report(folder, perfect(folder)).notes if "Wilson" in note]
    assert "0.510 to 1.000 at 0.5" in note  # 4 of 4


def test_synthetic_images_are_noted(folder):
    made = replace(folder, synthetic=np.arange(5) < 2, skipped=("a line",))
    notes = report(made, perfect(made), rounds=0).notes
    assert any("2 of the images are synthetic" in note for note in notes)
    assert any("a line" in note for note in notes)


def test_what_can_not_be_evaluated(folder):
    normal = folder.subset([1, 3])
    with pytest.raises(DataFolderError, match="none of the 2 images"):
        report(normal, perfect(normal))
    with pytest.raises(DataFolderError, match="none of the 2 images"):
        next(evaluate(normal, BrightDiscs()))
    with pytest.raises(ValueError, match="1 results do not belong to 5 images"):
        report(folder, perfect(folder)[:1])


def test_scored_masses_are_written_and_read_back(folder, tmp_path):
    scored = Scored.of(folder, perfect(folder))
    scored.write(tmp_path / SCORED)
    back = Scored.read(tmp_path)
    assert back.files.tolist() == [pseudonym(name) for name in IMAGES]
    assert back.patients.tolist() == [pseudonym(name) for name in folder.patients]
    assert all(map(np.array_equal, back.truth, folder.boxes))
    assert back.hits.curve().tpr.tolist() == [1]
    (tmp_path / SCORED).write_text('{"kind": "else"}')
    with pytest.raises(DataFolderError, match="does not hold scored masses"):
        Scored.read(tmp_path)
    with pytest.raises(DataFolderError, match=r"nowhere can't be read .* with folds"):
        Scored.read(tmp_path / "nowhere")


@pytest.fixture
def arms(folder, tmp_path):
    """'real' misses patient c; both runs keep their folds."""
    worse = perfect(folder)
    worse[4] = found([], [])
    done = []
    for name, result in (("real", worse), ("blending", perfect(folder))):
        run = tmp_path / name
        Scored.of(folder, result).write(run / SCORED)
        for k, patients in enumerate((["a"], ["b", "c"])):
            own = np.isin(folder.patients, patients)
            part = [one for one, chosen in zip(result, own, strict=True) if chosen]
            Scored.of(folder.subset(own), part).write(run / "folds" / str(k) / SCORED)
        (run / "config.json").write_text(json.dumps({"arm": name}))
        done.append(Arm.read(run))
    return done


def test_arms_are_compared_on_the_same_patients(arms):
    real, blending = arms
    assert (real.name, blending.name) == ("real", "blending")
    assert real.fold_tpr(0.5) == (pytest.approx(0.75), pytest.approx(np.std([1, 0.5], ddof=1)))
    more = difference(blending, real, 0.5)
    assert more.value == pytest.approx(0.25)
    assert more.low == 0  # never worse, whoever is drawn
    assert more.high > 0.5
    assert difference(real, real, 0.5) == (0, 0, 0)
    named = replace(real, scored=replace(real.scored, files=np.array(list(IMAGES))))  # an older run
    assert difference(named, real, 0.5).value == difference(real, named, 0.5).value == 0
    other = replace(real, scored=replace(real.scored, files=real.scored.files[::-1]))
    with pytest.raises(DataFolderError, match="not of the same images"):
        difference(blending, other, 0.5)


def test_tables_stand_beside_the_published_figures(arms):
    text = table(arms, rounds=50)
    assert "| real | .750 (" in text
    assert "0.75 +- 0.35 @ 0.5" in text
    assert "| The paper, blending | 0.91 +- 0.07 @ 0.5, 0.94 +- 0.07 @ 0.8 | 0.5 s |" in text
    assert "| Kozegar et al. 2013 | 0.65 @ 1.1, 0.87 @ 3.67 | 108 s |" in text
    assert "| blending | +0.250 (+0.000 to" in differences(arms, rounds=50)
    assert "| TPR less that of real |" in differences(arms, rounds=50)


def test_the_plot_shows_every_arm(arms, tmp_path):
    froc_plot(tmp_path / "two.png", arms, rounds=20)
    froc_plot(tmp_path / "one.png", arms[:1], rounds=0)
    with Image.open(tmp_path / "two.png") as two, Image.open(tmp_path / "one.png") as one:
        assert two.size == one.size
        colours = [
            len(np.unique(np.asarray(plot)[..., :3] @ (1, 256, 65536))) for plot in (two, one)
        ]
        assert colours[0] > colours[1]


def test_runs_without_a_curve(folder, tmp_path):
    normal = folder.subset([1])
    Scored.of(normal, perfect(normal)).write(tmp_path / "normal.json")
    with pytest.raises(DataFolderError, match="no image with a mass"):
        Arm.read(tmp_path / "normal.json")
