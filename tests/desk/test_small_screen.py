"""On a laptop's screen, and on one that shows all twice as large, no text is cut, and what decides is in view."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.gui, pytest.mark.timeout(480)]

HERE = Path(__file__).parent


@pytest.mark.parametrize(("scale", "theme"), [("1", "light"), ("2", "dark")])
def test_no_text_is_cut_and_what_decides_is_in_view(tmp_path, scale, theme):
    homes = {f"XDG_{what}_HOME": str(tmp_path / what) for what in ("DATA", "CONFIG", "CACHE")}
    paths = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(HERE / "small_screen.py"), theme],
        env=os.environ | homes | {"QT_SCALE_FACTOR": scale, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [one for one in done.stdout.splitlines() if not one.startswith("ERROR: ")]  # napari's
    assert said == ["looked at all"], done.stdout + done.stderr
