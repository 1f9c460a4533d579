"""``pathogan study`` as it is typed: a whole study, and one line for every error."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.engine.events import Finished, from_json


@pytest.fixture
def pathogan(pathogan, monkeypatch, tmp_path):
    """Run a command line, for a user whose data folder is the test's own."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "user" / name)
    return pathogan


@pytest.fixture
def settings(tmp_path):
    """A settings file with relative folders of 20 images each."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 16, 16, 3), np.uint8)
    for kind, images in zip(("real", "fake"), pixels, strict=True):
        (tmp_path / kind).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / kind / f"{number}.png")
    path = tmp_path / "study.toml"
    path.write_text(
        'name = "Noise"\nn_real = 10\nn_generated = 10\n'
        '[[real]]\nfolder = "real"\n[[generated]]\nfolder = "fake"\n'
    )
    return path


def test_a_study_from_settings_to_report(pathogan, settings, tmp_path):
    study = tmp_path / "study"
    code, out, _ = pathogan("study", "new", settings, "-o", study)
    assert code == 0
    assert f"answer key, keep it from them: {study}.key.json" in out
    assert len(list((study / "images").glob("*.png"))) == 28

    code, out, err = pathogan("study", "report", study)
    assert (code, out) == (2, "")
    assert err == "pathogan: there are no answers to report of Noise yet\n"

    code, out, _ = pathogan("study", "check", study)
    assert out == "untouched: 28 images, 0 records of 0 readers, the answer key\n"


def test_events(pathogan, settings, tmp_path):
    code, out, _ = pathogan("study", "new", settings, "-o", tmp_path / "study", "--events")
    assert code == 0
    last = from_json(out.splitlines()[-1])
    assert isinstance(last, Finished)
    assert last.summary["images"] == 26


def test_the_papers_figure(pathogan, tmp_path):
    study, page = tmp_path / "study", tmp_path / "page.html"
    assert pathogan("study", "example", "-o", study)[0] == 0
    code, out, err = pathogan("study", "report", study, "--json", "--html", page)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["pooled"]["n_right"] == 210
    assert found["pooled"]["accuracy_exact"]["low"] == pytest.approx(0.6447, abs=1e-4)
    assert found["pooled"]["accuracy_exact"]["high"] == pytest.approx(0.7513, abs=1e-4)
    for own in found["readers"].values():
        assert own["accuracy"]["value"] == 0.7
        assert own["d_prime"]["value"] == pytest.approx(1.0263, abs=1e-4)
        assert own["criterion"]["value"] == pytest.approx(0, abs=1e-9)
        assert own["equivalence_p"]["value"] > 0.9
    assert page.read_text("utf-8").startswith("<!doctype html>")
    code, out, _ = pathogan("study", "report", study)
    assert "could be told apart. 210 of 300 answers were right: 70 %" in " ".join(out.split())
    code, out, _ = pathogan("study", "check", study)
    assert "Reader 1: 118 answers, receipt " in out


def test_tampering_is_said(pathogan, tmp_path):
    study = tmp_path / "study"
    pathogan("study", "example", "-o", study, "--readers", 1)
    (record,) = (study / "readers").glob("*.jsonl")
    text = record.read_text("utf-8")
    record.write_text('"confidence": 5'.join(text.rsplit('"confidence": 4', 1)), "utf-8")
    code, out, err = pathogan("study", "check", study)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "the record of Reader 1 was tampered with" in err
    code, out, err = pathogan("study", "report", study, "--json")
    assert code == 0
    assert json.loads(out)["intact"] is False
    assert "not as it was written: the record of Reader 1 was tampered with" in err
    record.write_text(text.replace('"confidence"', '"confidence "', 1), "utf-8")
    code, out, err = pathogan("study", "report", study)
    assert (code, out) == (2, "")
    assert "there are no answers to report of Example" in err
    assert "line 2 was changed" in err


def test_merging(pathogan, tmp_path):
    study = tmp_path / "study"
    pathogan("study", "example", "-o", study, "--readers", 1)
    code, out, _ = pathogan("study", "merge", study, study)
    assert code == 0
    assert "0 records copied, 0 went on there, 1 were here already" in out


def test_the_example_settings_are_printed_whole(pathogan, tmp_path):
    from napari_pathogan.study.config import read_config

    code, out, _ = pathogan("study", "config")
    (tmp_path / "example.toml").write_text(out)
    assert code == 0
    assert read_config(tmp_path / "example.toml").n_real == 50


def test_planning(pathogan):
    code, out, _ = pathogan("study", "plan", "--readers", 3, "--images", 100, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["n"] == 300
    assert found["equivalent"] == pytest.approx(0.927, abs=1e-3)
    assert found["answers_for_width"] == 402
    code, out, _ = pathogan("study", "plan", "--accuracy", 0.7)
    assert "found different from guessing (p < 0.05): 100 %" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "none.toml", "-o", "x"), "none.toml can't be read"),
        (("report", "none"), "study.json can't be read"),
        (("check", "none"), "study.json can't be read"),
        (("merge", "none", "none"), "study.json can't be read"),
        (("plan", "--images", "0"), "(see --help)"),
        (("new", "x.toml"), "Missing option"),
    ],
)
def test_errors_are_one_line(pathogan, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = pathogan("study", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err
