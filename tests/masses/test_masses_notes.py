"""What must be known of a mammogram is said where masses are looked for: on the command line, in the dock."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from mass_dicom import write_image

from napari_pathogan.cli import app
from napari_pathogan.engine.events import Warn
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.tasks.masses import predict
from napari_pathogan.tasks.masses.model import NOTHING

RAW = {"PresentationIntentType": "FOR PROCESSING"}


class Blind:
    """A model that finds nothing."""

    threshold = 0.5

    class card:  # noqa: N801 - as the model's
        name, sha256, blind_to, settings = "blind", "1", (), {}

    def detect(self, image):
        assert np.isfinite(image).all()
        return NOTHING


@pytest.mark.parametrize("tags", [RAW, {"ViewPosition": "CC MAG"}, {}])
def test_notes_are_events(tmp_path, tags):
    mammogram = open_mammogram(write_image(tmp_path / "a.dcm", **tags))
    events = list(predict.detect([mammogram, mammogram], Blind()))
    said = [event.message for event in events if isinstance(event, Warn)]
    assert said == [*mammogram.notes] * 2
    assert len(said) == 2 * bool(tags)


def test_the_command_says_them(tmp_path, monkeypatch, capsys):
    path = write_image(tmp_path / "a.dcm", **RAW)
    for words in (["info", path], ["masses", "detect", path]):
        monkeypatch.setattr(sys, "argv", ["pathogan", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            app.main()
        assert not left.value.code
        said = " ".join("".join(capsys.readouterr()).split())
        assert "a.dcm is raw data of the detector (FOR PROCESSING)" in said
