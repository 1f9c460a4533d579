"""Docks, their sizes and last folders come back in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_pathogan.plugin.viewer import samples

pytestmark = [pytest.mark.gui, pytest.mark.timeout(480)]

HERE = Path(__file__).parent


def test_docks_their_sizes_and_folders_come_back(tmp_path):
    homes = {f"XDG_{what}_HOME": str(tmp_path / what) for what in ("DATA", "CONFIG", "CACHE")}
    paths = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    slide, case = samples.FOLDER / samples.PHANTOM, tmp_path / "open.pathogan.json"

    def napari(part):
        done = subprocess.run(
            [sys.executable, str(HERE / "coming_back.py"), part, str(slide), str(case)],
            env=os.environ | homes | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        said = [line for line in done.stdout.splitlines() if line.startswith("{")]
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(said) == 1, done.stdout + done.stderr
        return json.loads(said[0])

    before, after = napari("first"), napari("second")
    assert min(before["wide"]) > 400, "it was made wide"
    assert after["front"] == before["front"] == ["IDC heat map"]
    assert after["wide"] == pytest.approx(before["wide"], abs=5)
    assert after["folder"] == str(slide.parent)
    assert napari("other")["front"] == ["Mammogram masses"], (
        "a dock that was not there is laid on them"
    )
    assert after["often"] == [1, 1, 1]
    assert napari("case")["often"] == [1, 1, 1], "docks of the case are those that came back"
