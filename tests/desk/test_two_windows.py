"""One slide in two naparis at once: what is drawn in either is kept, and seen in both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from other_window import draw, opened

from napari_pathogan.annotations import geojson
from napari_pathogan.plugin.viewer import samples

pytestmark = [pytest.mark.gui, pytest.mark.timeout(600)]

SCRIPT = Path(__file__).with_name("other_window.py")


class Other:
    """The other napari; it runs while this one works on."""

    def __init__(self, desk, path):
        self.desk = desk
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPT.parent), *sys.path])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.set_blocking(self.process.stdout.fileno(), False)

    def hears(self):
        """The next line that it prints."""
        return self.desk.wait(lambda: self.process.stdout.readline().strip(), "the other napari")

    def says(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "section.tif"
    shutil.copy(samples.FOLDER / samples.PHANTOM, path)
    return path


@pytest.fixture
def other(used, slide):
    made = Other(used, slide)
    yield made
    made.process.kill()
    made.process.wait()
    made.process.stdin.close()
    made.process.stdout.close()


def test_outlines_of_two_windows_are_kept_both_and_seen_in_both(used, slide, other):
    desk, kept = used, slide.with_name("section.tif.idc.geojson")
    dock = opened(desk, slide)
    live = dock.live
    assert other.hears() == "ready"

    other.says("IDC 0.4 0.2")
    assert other.hears() == "1"
    draw(desk, dock, "healthy", 0.4, 0.4)
    here = live.slides[dock.layer]
    desk.wait(lambda: len(here.outlines) == 2 and live.run is None, "the other's outline")
    assert "changed by another window too" in live.status.text()
    assert here.shapes.nshapes == 2
    assert str(here.shapes.mode) == "add_polygon_lasso", "the tool stays in the hand"
    desk.picture("two-windows")
    other.says("IDC 0.4 0.6")
    assert other.hears().startswith("3 section.tif.idc.geojson was changed by another window")
    assert len(geojson.read(kept)[0]) == 3

    desk.key("Ctrl+Z")  # takes back what was drawn here, and nothing of the other's
    desk.wait(lambda: len(here.outlines) == 2 and live.run is None, "the step back")
    desk.wait(lambda: {one.class_name for one in geojson.read(kept)[0]} == {"IDC"}, "the file")
    assert len(geojson.read(kept)[0]) == 2
    desk.key("Ctrl+Shift+Z")
    desk.wait(lambda: len(here.outlines) == 3 and live.run is None, "the step again")
    assert len(geojson.read(kept)[0]) == 3
