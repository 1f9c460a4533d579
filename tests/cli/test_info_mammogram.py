"""``pathogan info`` on mammograms and studies; nobody is named."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
from PIL import Image

from napari_pathogan.plugin.viewer.samples import FOLDER, PHANTOM_STUDY

STUDY = FOLDER / PHANTOM_STUDY


def test_a_view_as_json(exit_code, capsys):
    assert exit_code("info", STUDY / "images" / "RMLO.dcm", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["name"], facts["laterality"]) == ("mammogram", "RMLO", "R")
    assert (facts["width_px"], facts["height_px"]) == (688, 848)
    assert facts["width_mm"] == pytest.approx(206.4)
    assert (facts["mm_per_px_y"], facts["spacing"]) == (0.3, "at detector")
    assert facts["window"] == [0, 4095]
    assert facts["inverted"] is False
    assert facts["synthetic"] is True
    assert facts["chest_wall"] == "right"


def test_a_study_as_tables(exit_code, capsys):
    assert exit_code("info", STUDY) == 0
    shown = capsys.readouterr().out
    names = [line.split()[1] for line in shown.splitlines() if line.startswith("Name")]
    assert names == ["RCC", "LCC", "RMLO", "LMLO"]
    assert "688 x 848 px, 206.4 x 254.4 mm" in shown
    assert "0.3 mm per pixel (at detector)" in shown
    assert "JPEG-LS" in shown
    assert "PHANTOM" not in shown  # the patient's ID
    assert "Drawn" not in shown


def test_each_examination_of_a_folder_is_told_apart(tmp_path, exit_code, capsys):
    for number, view in enumerate(("RCC", "LCC", "RMLO")):
        header = pydicom.dcmread(STUDY / "images" / f"{view}.dcm")
        header.StudyInstanceUID = f"1.2.826.0.1.{number // 2}"
        place = tmp_path / ("first", "second")[number // 2] / f"{view}.dcm"
        place.parent.mkdir(exist_ok=True)
        header.save_as(place)
    assert exit_code("info", tmp_path, "--json") == 0
    shown = capsys.readouterr().out
    facts = json.loads(shown)
    assert facts["examinations"] == 2
    assert [(one["examination"], one["name"]) for one in facts["views"]] == [
        ("first", "RCC"), ("first", "LCC"), ("second", "RMLO"),
    ]  # fmt: skip
    assert "1.2.826" not in shown
    assert exit_code("info", tmp_path) == 0
    shown = capsys.readouterr().out
    told = [line.split()[1] for line in shown.splitlines() if line.startswith("Examination")]
    assert told == ["first", "first", "second"]
    assert exit_code("info", tmp_path / "first") == 0
    assert "Examination" not in capsys.readouterr().out


def test_a_grey_image_and_a_folder_without_mammograms(tmp_path, exit_code, capsys):
    Image.fromarray(np.eye(64, dtype=np.uint8) * 200).save(tmp_path / "case_L_CC.png")
    assert exit_code("info", tmp_path / "case_L_CC.png") == 0
    shown = capsys.readouterr().out
    assert "left" in shown
    assert "unknown (nothing in the file says" in shown
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.eye(64, dtype=np.uint8) * 200).save(tmp_path / "photos" / "case.png")
    assert exit_code("info", tmp_path / "photos" / "case.png") == 0
    assert "Breast" not in capsys.readouterr().out
    assert exit_code("info", tmp_path / "photos") == 2
    assert "do not say side and view (case.png)" in capsys.readouterr().err
    (tmp_path / "case_L_CC.png").rename(tmp_path / "photos" / "case_L_CC.png")
    assert exit_code("info", tmp_path / "photos") == 0
    shown = capsys.readouterr().out
    assert "left" in shown
    assert "left out: case.png" in " ".join(shown.split())
    (tmp_path / "empty").mkdir()
    assert exit_code("info", tmp_path / "empty") == 2
    assert "empty holds no mammograms" in capsys.readouterr().err
