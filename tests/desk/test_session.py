"""What was open when napari crashed is offered again; what was closed as it should is not."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.gui

SCRIPT = Path(__file__).with_name("crashing.py")


def end(how, home):
    """Start a napari in a home, and let it end."""
    paths = os.pathsep.join([str(SCRIPT.parents[1]), str(SCRIPT.parent), *sys.path])
    made = subprocess.run(
        [sys.executable, str(SCRIPT), how],
        env={**os.environ, "PYTHONPATH": paths, "XDG_DATA_HOME": str(home / "data")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert made.returncode == (-signal.SIGKILL if how == "kill" else 0), made.stdout[-3000:]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Put what a napari that was killed has left, or two, in a home."""

    @functools.cache
    def left(number):
        home = tmp_path_factory.mktemp("killed")
        end("kill", home)
        return home

    def put(home, *, two=False):
        for number in range(1 + two):
            shutil.copytree(left(number), home, dirs_exist_ok=True)

    return put


def notes(tmp_path):
    """All that the other process has noted; this one holds a note of its own."""
    own = (f"{os.getpid()}-", ".pathogan")  # also what is being written
    found = (x.name for x in (tmp_path / "data").rglob("*.pathogan*"))
    return sorted(name for name in found if not name.startswith(own))


def notes_of_cases(tmp_path):
    return sorted((tmp_path / "data").rglob("*.pathogan.json"))


@pytest.mark.parametrize("answer", ["Bring it back", "Forget it"])
def test_what_was_open_in_a_napari_that_was_killed_is_offered(used, killed, tmp_path, answer):
    killed(tmp_path)
    assert notes(tmp_path)
    dock = used.dock("Slides")
    assert "napari ended unexpectedly" in dock.lost.text()
    used.picture("session")
    assert used.cut_texts(dock) == []
    used.press(dock, answer)
    used.wait(lambda: not dock.lost.isVisible(), "its end")
    assert not notes(tmp_path)
    if answer == "Forget it":
        assert not used.viewer.layers
        return
    assert dock.said.text() == "Brought back what was open."
    idc = next(one for one in dock.docks if one.title == "IDC heat map")
    assert idc.heat is not None
    assert "mm²" in idc.form.result.text()


def test_a_window_that_is_closed_leaves_no_note(used, tmp_path):
    end("close", tmp_path)
    assert not notes(tmp_path)
    dock = used.dock("Slides")
    assert not dock.lost.isVisible()
    assert not dock.answers.isVisible()


def test_a_dock_opens_where_nothing_can_be_noted(used, tmp_path):
    (tmp_path / "data" / "napari-pathogan").mkdir(parents=True)
    (tmp_path / "data" / "napari-pathogan" / "sessions").write_text("in the way")
    dock = used.dock("Slides")
    used.sample("H&E phantom slide")
    used.wait(lambda: len(dock.opened) == 1, "the slide")


def test_each_note_is_offered_and_kept_until_all_of_it_is_back(used, killed, tmp_path):
    killed(tmp_path, two=True)
    first, second = notes_of_cases(tmp_path)
    text = first.read_text()
    first.write_text(text.replace("he_phantom.ome.tif", "gone.ome.tif"))
    os.utime(first)  # the latest
    dock = used.dock("Slides")
    used.press(dock, "Bring it back")
    used.wait(lambda: "is not where it was" in dock.said.text(), "what is gone")
    assert first.exists(), "it may be there again later"
    assert dock.lost.isVisible()
    used.press(dock, "Forget it")
    assert not first.exists()
    assert second.exists()
    assert dock.lost.isVisible(), "the other is offered"
