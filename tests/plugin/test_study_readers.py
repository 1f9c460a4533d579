"""Three simulated readers answer through the real widget; one is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from simulated_reader import READERS, SIZE, Truths, begin, play

from napari_pathogan.errors import SessionError
from napari_pathogan.plugin.study.dock import StudyDock
from napari_pathogan.study.design import make_config, new_study
from napari_pathogan.study.record import Session, Study
from napari_pathogan.study.report import report

pytestmark = [
    pytest.mark.gui,
    pytest.mark.timeout(600),  # some 270 images are drawn, also on a busy machine
    pytest.mark.skipif(os.name != "posix", reason="kill -9"),
]

KILLED_AFTER = 17


@pytest.fixture
def study(tmp_path):
    """40 real and 40 generated images of noise, with practice, controls and repeats."""
    rng = np.random.default_rng(0)
    for kind in ("real", "generated"):
        folder = tmp_path / kind
        folder.mkdir()
        for number in range(44):
            pixels = rng.integers(0, 255, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    config = make_config(
        {
            "name": "Simulated",
            "n_real": 40,
            "n_generated": 40,
            "real": [{"folder": tmp_path / "real"}],
            "generated": [{"folder": tmp_path / "generated"}],
            "session": {"practice": 2, "controls": 2, "repeats": 0.05, "block": 40},
        }
    )
    for _ in new_study(config, tmp_path / "study"):
        pass
    return Study.open(tmp_path / "study")


def test_readers_are_found_as_they_are_though_one_was_killed(viewer, study, qtbot):
    script = Path(__file__).with_name("simulated_reader.py")
    child = subprocess.Popen(
        [sys.executable, str(script), str(study.folder), "good", str(KILLED_AFTER)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "NAPARI_CONFIG": ""},
    )
    viewer.window.resize(*SIZE)
    dock, truths = StudyDock(viewer), Truths(study)
    viewer.window.add_dock_widget(dock, name="Reader study")
    for name in ("guesser", "says real"):
        begin(dock, study.folder, name)
        play(dock, READERS[name], truths)

    assert child.stdout.readline() == "waiting to be killed\n"
    with pytest.raises(SessionError, match="good has a session open"):
        Session.open(study, "good")
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    begin(dock, study.folder, "good")
    assert "Welcome back" in dock.reading.rest.text.text()
    assert dock.reading.session.answered == KILLED_AFTER
    play(dock, READERS["good"], truths)

    found = report(study)
    assert found.intact
    total = 2 + 80 + 2 + 4
    for record in study.records():
        trials = [answer.trial for answer in record.answers]
        assert len(trials) == len(set(trials)) == total
        assert all(0 < answer.time_s < 60 for answer in record.answers)
        assert all(answer.zooms[0]["zoom"] >= 8 for answer in record.answers)
    for name, reader in READERS.items():
        metrics = found.readers[name].metrics
        for figure, true in (("d_prime", reader.d_prime), ("criterion", reader.criterion)):
            assert metrics[figure].low <= true <= metrics[figure].high, (name, figure)
        assert found.readers[name].counts["n_missing"] == 0
        assert found.readers[name].counts["n_controls_failed"] == 0
        assert found.readers[name].counts["n_zoomed"] == 0
    accuracy = {name: own.metrics["accuracy"] for name, own in found.readers.items()}
    assert accuracy["good"].low > 0.6
    assert accuracy["guesser"].low < 0.5 < accuracy["guesser"].high
    assert found.readers["says real"].metrics["criterion"].low > 0
