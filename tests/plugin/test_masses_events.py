"""What the Mammogram masses dock runs, with a small network that has learned nothing."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import torch
from mammogram_files import breast, write_view
from masses_standin import FROC, MM, SHAPE, detections, view

from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.engine.models import ModelCard, read_card
from napari_pathogan.errors import OutputError
from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.plugin.masses.events import masses_events
from napari_pathogan.plugin.masses.words import (
    POSITIONS,
    from_slider,
    meaning,
    percent,
    to_slider,
    usual_threshold,
)
from napari_pathogan.plugin.shell.exports import exports, saving
from napari_pathogan.tasks.masses.detections import ViewSearched
from napari_pathogan.tasks.masses.froc import Froc
from napari_pathogan.tasks.masses.model import Views, save
from napari_pathogan.tasks.masses.network import slim


def test_a_saved_model_looks_at_each_view(tmp_path):
    torch.manual_seed(0)
    small = {"width": 4, "fpn": 8, "head": 8}
    card = ModelCard(
        name="small", title="", task="masses", architecture="maskrcnn-slim", arguments=small
    )
    save(
        tmp_path / "small", card, slim(**small), froc=Froc.from_json(FROC), threshold=0.25,
        long_side=96, calibration=(1.0, 0.0), views=Views(1, (1.0,)),
    )  # fmt: skip
    views = [Mammogram(name, view(name)).with_spacing(MM) for name in ("RCC", "LCC")]
    *events, last = masses_events(views, tmp_path / "small")
    assert isinstance(last, Finished)
    assert [found.name for found in last.result] == ["RCC", "LCC"]
    for found in last.result:
        assert found.shape == SHAPE
        assert found.threshold == 0.25
        assert found.model == "small"
        assert (found.boxes >= 0).all()
        assert (found.boxes[:, 2:] <= np.array(SHAPE[::-1])).all()
        assert found.spacing == "user"
    looked = [event for event in events if isinstance(event, ViewSearched)]
    assert [(one.number, one.found.name) for one in looked] == [(0, "RCC"), (1, "LCC")]
    said = [event.what for event in events if isinstance(event, Progress)]
    assert said[0] == "loading the model"
    assert "looking at RCC" in said
    kept = read_card(tmp_path / "small")
    assert usual_threshold(kept) == 0.25
    assert meaning(kept, 0.25) == "Finds 70 % of masses, with 0.50 false marks per image"
    assert "does not say" in meaning(card, 0.25)


def test_each_view_gets_a_presentation_state_of_its_own(tmp_path):
    header = {"SeriesInstanceUID": "1.2.3.4", "PatientBirthDate": "", "PatientSex": ""}
    views = [
        open_mammogram(write_view(tmp_path / f"{name}.dcm", breast(side), name[0], "CC", **header))
        for name, side in (("RCC", "right"), ("LCC", "left"))
    ]
    pairs = [(one, detections(one)) for one in views]
    *_, last = saving("masses", exports("masses")["gsps"], pairs, tmp_path / "out")
    assert [path.name for path in last.result] == ["out-RCC.gsps.dcm", "out-LCC.gsps.dcm"]
    right, left = (pydicom.dcmread(path) for path in last.result)
    assert right.Modality == left.Modality == "PR"
    assert len(right.GraphicAnnotationSequence[0].GraphicObjectSequence) == 2
    assert [one.GraphicLayer for one in left.GraphicAnnotationSequence] == ["SCOPE"]
    assert b"Quackenbush" not in last.result[0].read_bytes()


def test_a_file_that_is_there_is_not_replaced_nor_half_of_them_written(tmp_path):
    views = [
        open_mammogram(write_view(tmp_path / f"{x}.dcm", breast("right"), x[0], "CC"))
        for x in ("RCC", "LCC")
    ]
    pairs = [(one, detections(one)) for one in views]
    before = sorted(tmp_path.iterdir())
    for kind in exports("masses").values():
        theirs = tmp_path / f"out-LCC{kind.suffix}"
        theirs.write_text("theirs")
        with pytest.raises(OutputError, match=r"out-LCC.* is there already"):
            list(saving("masses", kind, pairs, tmp_path / "out"))
        assert theirs.read_text() == "theirs"
        theirs.unlink()
    assert sorted(tmp_path.iterdir()) == before


def test_the_slider_is_fine_where_scores_are_low():
    thresholds = [from_slider(position) for position in range(POSITIONS + 1)]
    assert thresholds[0] < 0.0011
    assert thresholds[-1] > 0.998
    assert np.diff(thresholds).min() > 0
    assert np.diff([t for t in thresholds if t < 0.06]).max() < 0.002
    assert [to_slider(threshold) for threshold in thresholds] == list(range(POSITIONS + 1))
    assert (to_slider(0), to_slider(1)) == (0, POSITIONS)
    texts = [percent(share) for share in (1, 0.874, 0.0996, 0.0576, 0.0035)]
    assert texts == ["100 %", "87 %", "10 %", "5.8 %", "0.35 %"]
