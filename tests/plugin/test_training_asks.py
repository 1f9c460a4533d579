"""What a dock asks of the command that trains: the device of the preferences, source and terms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_pathogan.errors import JobError
from napari_pathogan.plugin.masses import training as masses
from napari_pathogan.plugin.nuclei import training as nuclei
from napari_pathogan.plugin.shell import learning
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.stain import events as stain
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide

SLIDE = Slide.from_arrays([np.full((64, 64, 3), 99, np.uint8)], name="case", mpp=1.0)
TRAININGS = {
    "nuclei": lambda at: nuclei.training(at, at / "start", at / "mine"),
    "masses": lambda at: masses.training(
        masses.Reviewed(at, 2, 1, 1, 0, 0), at / "start", at / "mine"
    ),
    "stain": lambda at: stain.learn_events(SLIDE, Region(0, 0, 64, 64), at / "mine"),
}


@pytest.mark.parametrize("task", TRAININGS)
def test_a_training_is_told_its_device_and_where_its_data_come_from(tmp_path, monkeypatch, task):
    asked = []

    class Job:
        @staticmethod
        def start(arguments):
            asked.extend(arguments)
            raise JobError("stopped")

    chosen = replace(settings(), device="cuda:1")
    monkeypatch.setattr(learning, "Job", Job)
    monkeypatch.setattr(learning, "settings", lambda: chosen)
    with pytest.raises(JobError):
        list(TRAININGS[task](tmp_path))
    assert asked[:2] == [task, "train"]
    assert asked[asked.index("--device") + 1] == "cuda:1"
    for option in ("--source", "--terms"):
        assert not asked[asked.index(option) + 1].startswith("-")
        assert asked.count(option) == 1
