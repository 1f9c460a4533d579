"""Breasts and cases: what several views say together, and what a model misses by size."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from mass_folders import BrightDiscs, write
from sklearn.metrics import roc_auc_score

from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.tasks.masses.contract import of_cases
from napari_pathogan.tasks.masses.data import read_mass_folder
from napari_pathogan.tasks.masses.detections import Detections
from napari_pathogan.tasks.masses.evaluate import grouped, report
from napari_pathogan.tasks.masses.froc import masses_found
from napari_pathogan.tasks.masses.scored import Scored
from napari_pathogan.tasks.masses.sizes import by_size, missed
from napari_pathogan.tasks.masses.together import of_breasts, together
from napari_pathogan.tasks.masses.together import of_cases as worse

SETTINGS = {"breast": [1.0, 0.0], "case": [1.0, 0.0]}


def view(side, *scores, examination="a", other=None):
    boxes = np.array([[0, 0, 9, 9]] * len(scores), np.float32).reshape(-1, 4)
    pixels = np.zeros((40, 30), np.uint8)
    mammogram = Mammogram(f"{side}CC", pixels, laterality=side, examination=examination)
    mammogram = replace(mammogram, **(other or {}))
    return Detections.on(mammogram, boxes, np.array(scores, np.float32))


def test_two_views_count_alike_and_the_worse_breast_is_the_case():
    found = [view("R", 0.2), view("R", 0.8, 0.1), view("L", 0.9), view("L")]
    got = together(found, SETTINGS)
    assert got.breasts["R"] == (pytest.approx(0.5), 2)
    assert got.breasts["L"][0] == pytest.approx(1 / (1 + np.sqrt(999 / 9)), abs=1e-3)
    assert got.case == pytest.approx(0.5)
    assert str(got) == (
        "chance of a mass: right breast 50 % (2 views), left breast 9 % (2 views), either 50 %"
    )


def test_what_the_threshold_leaves_out_still_counts():
    found = [view("R", 0.8).at(0.95), view("R", 0.8).at(0.95)]
    assert not len(found[0])
    assert together(found, SETTINGS).breasts["R"][0] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("views", "settings"),
    [([], SETTINGS), ([view(None, 0.9), view(None, 0.8)], SETTINGS), ([view("R", 0.9)], {})],
    ids=["no view", "no side", "not calibrated"],
)
def test_nothing_is_said_that_is_not_known(views, settings):
    assert together(views, settings) is None


@pytest.mark.parametrize(
    "other",
    [
        {"modifiers": ("magnification",)},
        {"modifiers": ("spot compression",)},
        {"modifiers": ("tomosynthesis slice",)},
        {"metadata": {"intent": "for processing"}},
    ],
)
def test_views_of_a_part_and_raw_data_do_not_count(other):
    plain = [view("R", 0.2), view("L", 0.3)]
    more = view("R", 0.99, other=other)
    assert together([*plain, more], SETTINGS) == together(plain, SETTINGS)
    assert together([more], SETTINGS) is None
    moved = view("R", 0.99, other={"modifiers": ("implant displaced",)})
    assert together([*plain, moved], SETTINGS).breasts["R"][1] == 2


def test_a_case_is_no_less_likely_than_its_breasts():
    settings = {"breast": [1.0, 2.0], "case": [1.0, -2.0]}
    got = together([view("R", 0.5), view("L", 0.3)], settings)
    assert got.case == got.breasts["R"][0] > got.breasts["L"][0]


def test_cases_are_kept_apart():
    model = SimpleNamespace(card=SimpleNamespace(settings=SETTINGS))
    found = [view("R", 0.9, examination="a"), view("L", 0.2, examination="b")]
    found += [view("L", 0.3, examination="a")]
    ((line, plain),) = of_cases(found, model)
    assert line.startswith("RCC, LCC: chance of a mass: right breast 90 % (1 view)")
    assert plain["breasts"]["L"] == {"chance": pytest.approx(0.3), "views": 1}
    assert plain["images"] == ["RCC", "LCC"]


def test_a_result_that_is_read_back_says_the_same():
    found = replace(view("L", 0.9, 0.3), missed="It missed some.")
    again = Detections.from_json(found.to_json())
    assert (again.laterality, again.missed) == ("L", "It missed some.")
    assert again.best == pytest.approx(found.best)
    assert str(together([again], SETTINGS)) == str(together([found], SETTINGS))
    assert "examination" not in json.loads(found.to_json())


def test_views_without_a_side_are_breasts_of_their_own():
    values, patients, index = of_breasts(
        np.array([0.0, 2.0, 4.0, 6.0]), ["a", "a", "a", "b"], ["R", "R", "", "R"]
    )
    assert values[index].tolist() == [1, 1, 4, 6]
    cases, index = worse(values, patients)
    assert cases[index].tolist() == [values[patients == p].max() for p in patients]


def test_figures_of_breasts_and_cases_are_those_of_scikit_learn(tmp_path):
    folder = read_mass_folder(write(tmp_path / "set"))
    model = BrightDiscs()
    found = [
        Detections.on(folder.mammogram(i), *model.detect(folder.image(i)))
        for i in range(len(folder))
    ]
    got = report(folder, found, rounds=20).metrics
    values, sick, _ = grouped(folder, [one.scores for one in found])["breast"]
    if 0 < sick.sum() < len(sick):
        assert got["breast_auc"].value == pytest.approx(roc_auc_score(sick, values))
        assert got["breast_auc"].low <= got["breast_auc"].value <= got["breast_auc"].high
    assert ("case_auc" in got) == (
        len(np.unique(grouped(folder, [one.scores for one in found])["case"][1])) == 2
    )


def test_masses_found_are_as_many_as_the_curve_says():
    rng = np.random.default_rng(0)
    truth = [np.array([[0, 0, 10, 10], [20, 20, 40, 40]], float), np.zeros((0, 4))]
    boxes = [np.concatenate([truth[0] + rng.normal(0, 1, (2, 4)), truth[0]]), truth[0]]
    scores = [np.array([0.9, 0.3, 0.8, 0.2]), np.array([0.5, 0.4])]
    found = list(zip(boxes, scores, strict=True))
    curve = Scored(
        np.array(["a", "b"]), np.array(["p", "q"]), tuple(truth), tuple(boxes), tuple(scores)
    ).hits.curve()
    for threshold in (0.1, 0.25, 0.35, 0.85, 1.0):
        got = np.concatenate(masses_found(found, truth, threshold))
        assert got.mean() == pytest.approx(curve.at(threshold)[0])


def test_sizes_are_counted_and_said_in_mm(tmp_path):
    folder = read_mass_folder(write(tmp_path / "set"))
    empty = [np.zeros((0, 4))] * len(folder), [np.zeros(0)] * len(folder)
    blind = Scored(
        np.array([f.name for f in folder.files]), folder.patients, folder.boxes, *map(tuple, empty)
    )
    rows = by_size(folder, blind, 0.5)
    assert sum(row.masses for row in rows) == folder.n_masses.sum()
    assert not any(row.found for row in rows)
    assert rows[0].low == 0
    assert rows[-1].high is None
    settings = {"by_size": [[0.0, 0.03, 1, 6], [0.03, 0.05, 0, 0], [0.05, None, 60, 69]]}
    plain = Mammogram("x", np.zeros((1000, 800), np.uint8))
    known = replace(plain, mm_per_px=(0.2, 0.2), spacing="at detector")
    assert missed(settings, known) == (
        "In patients that it had not seen it missed 5 of 6 masses under 6 mm, 9 of 69 of 10 mm or more."
    )
    assert "masses under 3 % of the image's length" in missed(settings, plain)
    assert missed({}, plain) == ""
