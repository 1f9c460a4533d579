"""Closing a window, or a dock, while something runs: the user is asked, and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from qtpy.QtWidgets import QDialog, QDockWidget, QPushButton

from desk import press_in
from napari_pathogan.engine.events import Progress
from napari_pathogan.engine.training_jobs import State, TrainingJob
from napari_pathogan.kinds import ROOM
from napari_pathogan.plugin.shell.form import above
from napari_pathogan.plugin.shell.running import running
from napari_pathogan.plugin.study import new as study_new
from napari_pathogan.plugin.study.new import NewStudyDialog
from patience import PATIENCE_S, POLL_S, longest_s, queued_s

pytestmark = pytest.mark.gui

TESTS = Path(__file__).parents[1]
SCRIPT = Path(__file__).with_name("leaving.py")
PATHS = [TESTS / room for room in ("desk", "plugin", "nuclei")]
KILL, FRAME = "kill", "frame"  # instead of keys
TRAININGS = {"idc", "nuclei", "masses", "stain", "pair"}
JOBS = (*sorted(TRAININGS), "blending", "export", "study", "painting", "classes", "keeping")
LONGEST_S = 1.0  # from the answer until the process is gone, more than without anything running


@pytest.fixture(scope="module")
def leave(tmp_path_factory):
    """Start a napari with a job and close it: for how long it left, what it started, what it left.

    Without the time in which it, or the training that it waited for, was ready to go on and other work
    had the cores.
    """

    def leaving(job, keys="Ctrl+Q", answer="Close anyway"):
        folder = tmp_path_factory.mktemp(job)
        home = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
        home["XDG_CACHE_HOME"] = str(folder / "cache")  # where napari keeps pictures
        paths = os.pathsep.join([*map(str, PATHS), *sys.path])
        napari = subprocess.Popen(
            [sys.executable, str(SCRIPT), job, str(folder), keys, answer],
            env={**os.environ, **home, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            text=True,
        )
        with napari.stdout as stream:
            said = (json.loads(line) for line in stream if line.startswith("{"))
            started, answered = next(said), next(said)
            pids = (napari.pid, *started["children"])
            before = queued = [queued_s(pid) for pid in pids]
            while os.waitid(os.P_PID, napari.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                # threads that have ended queued for as long as when they were last seen
                queued = [old | queued_s(pid) for old, pid in zip(queued, pids, strict=True)]
                time.sleep(POLL_S)
        end = time.time()
        assert napari.wait() == (-signal.SIGKILL if keys == KILL else 0)
        seconds = end - answered["answered"] - sum(map(longest_s, before, queued))
        return seconds, started["children"], list(folder.rglob("*"))

    return leaving


@pytest.fixture(scope="module")
def usual(leave):
    """For how long a napari leaves in which nothing runs."""
    seconds, _, _ = leave("nothing")
    return seconds


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class Endless:
    """A training that goes on until it is stopped."""

    def __init__(self):
        self.closed = False

    def events(self):
        try:
            while True:
                yield Progress(34, 100, "epoch 2 of 5", 300)
                time.sleep(0.02)
        finally:
            self.closed = True


@pytest.fixture
def training(desk):
    """The dock for nuclei with a training that goes on in it."""
    made = Endless()
    desk.sample("H&E phantom slide")
    made.dock = desk.dock("Nuclei")
    desk.wait(made.dock.form.run.isEnabled, "the model")
    made.dock.start(made.events(), "Training mine", lambda _: None, lambda: None)
    made.run = made.dock.run
    desk.wait(lambda: made.run.latest is not None, "the training")
    return made


def title_button(dock, what):
    """A button in the title bar that napari gives a dock."""
    bar = above(dock, QDockWidget).titleBarWidget()
    return bar.findChild(QPushButton, f"QTitleBar{what}Button")


def by_key(keys):
    return lambda desk: desk.key(keys)


def by_menu(*names):
    return lambda desk: desk.menu(*names)


WAYS = {
    "Ctrl+Q": by_key("Ctrl+Q"),
    "Ctrl+W": by_key("Ctrl+W"),
    "Exit": by_menu("File", "Exit"),
    "Close Window": by_menu("File", "Close Window"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_window_stays_with_what_runs_in_it_if_the_user_says_so(desk, training, way):
    with desk.answering(press_in("Close", QDialog), press_in("Don't close")) as (_, ours):
        WAYS[way](desk)
    assert "'Training mine' is not finished (Epoch 2 of 5, 34 %, 5 min left)" in ours.text
    assert "It is stopped, and nothing of it is left behind" in ours.text
    assert desk.window.isVisible()
    assert training.run.active
    training.run.cancel()
    desk.window._quit_app = False  # napari bears in mind that it was to quit, whatever was answered


def test_closing_the_dock_alone_asks_too(desk, training):
    frame = above(training.dock, QDockWidget)
    desk.press(title_button(training.dock, "Hide"))
    assert not training.dock.isVisible()
    assert training.run.active
    frame.show()
    with desk.answering(press_in("Don't close")):
        desk.press(title_button(training.dock, "Close"))
    assert training.dock.isVisible()
    assert training.run.active
    frame.setFloating(True)  # with another title bar
    desk.rest()
    with desk.answering(press_in("Close anyway")):
        desk.press(title_button(training.dock, "Close"))
    assert desk.docked("Nuclei") is None
    desk.wait(lambda: training.closed, "the end of the training")


def test_nothing_is_asked_where_nothing_would_be_lost(desk, training):
    training.run.cancel()
    desk.rest()
    desk.press(title_button(training.dock, "Close"))
    assert desk.docked("Nuclei") is None


def test_a_dialog_in_which_a_study_is_made_asks_too(desk, monkeypatch, tmp_path):
    making = Endless()
    monkeypatch.setattr(study_new, "make_study", lambda *_: making.events())
    desk.press(desk.dock("Reader study"), "New study…")
    (dialog,) = desk.window.findChildren(NewStudyDialog)
    dialog.real.put_folder(tmp_path)
    dialog.generated.put_folder(tmp_path / "more")
    desk.type(dialog.target, str(tmp_path / "study"))
    desk.press(dialog.make)
    with desk.answering(press_in("Don't close")):
        desk.press(dialog.close_button)
    assert dialog.isVisible()
    with desk.answering(press_in("Close anyway")):
        desk.press(dialog.close_button)
    assert not dialog.isVisible()
    desk.wait(lambda: making.closed, "the end")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("job", JOBS)
def test_napari_is_gone_a_second_after_the_answer(leave, usual, job):
    way = FRAME if job == "stain" else "Ctrl+Q"
    for _ in range(3):  # another process may be in the way
        seconds, children, left = leave(job, way)
        assert bool(children) == (job in TRAININGS)
        assert not any(map(alive, children))
        ours = {"models", "nuclei.geojson", "study"}
        assert not [
            path
            for path in left
            if path.name in ours or (path.name.startswith(ROOM) and "jobs" not in path.parts)
        ]
        stopped = [path.parent for path in left if path.name == "job.json"]
        assert bool(stopped) == (job in TRAININGS)  # its run, which can be resumed
        if seconds < usual + LONGEST_S:
            return
    pytest.fail(f"{job}: gone after {seconds:.1f} s; with nothing to stop, after {usual:.1f} s")


def ended(children):
    end = time.monotonic() + PATIENCE_S
    while any(map(alive, children)):
        assert time.monotonic() < end
        time.sleep(0.05)


def found(left, monkeypatch):
    """The training that a napari left, and the data folder that it lies in, which is this napari's now."""
    (file,) = [path for path in left if path.match("jobs/*/job.json")]
    monkeypatch.setenv("XDG_DATA_HOME", str(file.parents[3]))
    return TrainingJob.load(file.parent)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.timeout(600)
def test_after_a_kill_the_child_ends_and_the_next_start_resumes_it(desk, leave, monkeypatch):
    _, children, left = leave("nuclei", KILL)
    ended(children)
    job = found(left, monkeypatch)
    assert job.state is State.RUNS  # nobody could say otherwise
    dock = desk.dock("Jobs")
    assert dock.chosen.name == job.name
    assert dock.chosen.state is State.STOPPED
    desk.press(dock, "Resume")
    desk.wait(lambda: "left" in dock.about.text(), "how far it is")
    desk.press(dock, "Cancel")
    again = dock.chosen
    desk.wait(lambda: not running(), "its end")
    assert again.process is None
    assert not again.run.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.timeout(600)
def test_a_training_goes_on_without_the_window_and_is_found(desk, leave, monkeypatch):
    _, children, left = leave("nuclei", answer="Go on without the window")
    job = found(left, monkeypatch)
    assert job.process is not None
    assert job.process.pid in children
    dock = desk.dock("Jobs")
    assert [text for text in desk.notifications if "went on without the window" in text]
    desk.wait(lambda: "left" in dock.about.text(), "how far it is")
    desk.press(dock, "Cancel")
    desk.wait(lambda: not running(), "its end")
    ended(children)
    assert not job.run.exists()
