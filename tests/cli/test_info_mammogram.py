"""``pathogan info`` on mammograms and studies; nobody is named."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.cli import app
from napari_pathogan.plugin.samples import FOLDER, PHANTOM_STUDY

STUDY = FOLDER / PHANTOM_STUDY


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["pathogan", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        app.main()
    return left.value.code


def test_a_view_as_json(monkeypatch, capsys):
    assert run(monkeypatch, "info", STUDY / "images" / "RMLO.dcm", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["name"], facts["laterality"]) == ("mammogram", "RMLO", "R")
    assert (facts["width_px"], facts["height_px"]) == (688, 848)
    assert facts["width_mm"] == pytest.approx(206.4)
    assert (facts["mm_per_px_y"], facts["spacing"]) == (0.3, "at detector")
    assert facts["window"] == [0, 4095]
    assert facts["inverted"] is False
    assert facts["synthetic"] is True
    assert facts["chest_wall"] == "right"


def test_a_study_as_tables(monkeypatch, capsys):
    assert run(monkeypatch, "info", STUDY) == 0
    shown = capsys.readouterr().out
    names = [line.split()[1] for line in shown.splitlines() if line.startswith("Name")]
    assert names == ["RCC", "LCC", "RMLO", "LMLO"]
    assert "688 x 848 px, 206.4 x 254.4 mm" in shown
    assert "0.3 mm per pixel (at detector)" in shown
    assert "JPEG-LS" in shown
    assert "PHANTOM" not in shown  # the patient's ID
    assert "Drawn" not in shown


def test_a_grey_image_and_a_folder_without_mammograms(tmp_path, monkeypatch, capsys):
    Image.fromarray(np.eye(64, dtype=np.uint8) * 200).save(tmp_path / "case_L_CC.png")
    assert run(monkeypatch, "info", tmp_path / "case_L_CC.png") == 0
    shown = capsys.readouterr().out
    assert "left" in shown
    assert "unknown (nothing in the file says" in shown
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, "info", tmp_path / "empty") == 2
    assert "empty holds no mammograms" in capsys.readouterr().err
