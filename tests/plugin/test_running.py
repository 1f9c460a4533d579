"""Runs in the viewer, where only the progress bar's own behaviour is in question."""

from __future__ import annotations

import time
from functools import partial

import pytest
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QApplication, QWidget

from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.plugin.shell import running
from napari_pathogan.plugin.shell.form import ProgressBar, TextField, Ties

pytestmark = pytest.mark.gui


def test_what_qt_has_deleted_stops_no_release(qtbot):
    """As at Python's end with a window open; an exception there aborts the process."""
    timer, done, ties = QTimer(), [], Ties()
    for undo in (lambda: done.append(1), timer.stop, lambda: done.append(2)):
        ties.add(undo)
    timer.deleteLater()
    QApplication.sendPostedEvents(timer, QEvent.Type.DeferredDelete)
    ties.release()
    assert done == [2, 1]
    ties.add(partial(int, "other"))
    with pytest.raises(ValueError, match="other"):
        ties.release()


def test_a_bar_that_only_moves_is_drawn_a_few_times_a_second(qtbot):
    drawn = []

    class Bar(ProgressBar):
        def paintEvent(self, event):  # noqa: N802 - Qt's
            drawn.append(time.monotonic())
            super().paintEvent(event)

    bar = Bar()
    qtbot.addWidget(bar)
    bar.setRange(0, 0)
    bar.show()
    qtbot.waitUntil(lambda: len(drawn) > 5)  # it does move
    assert drawn[-1] - drawn[2] > 0.7  # the first ones show it


def test_a_text_field_leaves_undo_to_its_dock_while_it_has_nothing_to_undo(qtbot):
    dock, undone = QWidget(), []
    field = TextField(dock)
    shortcut = QShortcut(QKeySequence("Ctrl+Z"), dock)
    shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
    shortcut.activated.connect(lambda: undone.append(1))
    qtbot.addWidget(dock)
    dock.show()
    dock.activateWindow()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus)
    qtbot.keyClicks(field, "4")
    for left, times in (("", 0), ("", 1)):
        qtbot.keyClick(field, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert (field.text(), len(undone)) == (left, times)


class SlowBar:
    """As napari's, it handles waiting Qt events whenever it changes; here that takes long."""

    def __init__(self, total, desc):
        self.total, self.n, self.desc = total, 0, desc
        self.depth = self.deepest = 0

    def set_description(self, desc):
        self.desc = desc

    def update(self, more):
        self.n += more
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.001)
        self.depth -= 1

    def close(self):
        pass


def test_progress_that_draws_slowly_is_not_drawn_within_itself(qtbot, monkeypatch):
    monkeypatch.setattr(running, "progress", SlowBar)
    monkeypatch.setattr(running, "BAR_MS", 1)

    def events():
        for done in range(60):
            yield Progress(done, 60, f"part {done}")
            time.sleep(0.005)
        yield Finished("done")

    ended = []
    run = running.Run(events(), title="slow", owner=QWidget(), on_finished=ended.append)
    qtbot.waitUntil(lambda: bool(ended), timeout=30_000)
    assert run._bar.deepest == 1
    assert run._bar.n > 0
    assert not run.active


def test_what_does_not_come_to_an_event_is_interrupted_and_tidies_up(qtbot):
    tidied = []

    def events():
        yield Progress(0, 0)
        try:
            while True:
                sum(range(1000))
        finally:
            tidied.append(True)

    owner = QWidget()
    run = running.Run(events(), title="busy", owner=owner)
    qtbot.waitUntil(lambda: run.latest is not None)
    running.end([run])
    qtbot.waitUntil(lambda: run not in running.running())
    assert tidied


def test_an_import_is_not_interrupted(qtbot, tmp_path, monkeypatch):
    """A half imported torch can't be imported again in the same process."""
    (tmp_path / "slow_to_import.py").write_text(
        "import time\nbegun = time.monotonic()\n"
        "while time.monotonic() < begun + 0.7: sum(range(1000))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    imported = []

    def events():
        yield Progress(0, 0)
        import slow_to_import

        imported.append(slow_to_import)
        while True:
            sum(range(1000))

    run = running.Run(events(), title="imports", owner=QWidget())
    qtbot.waitUntil(lambda: run.latest is not None)
    running.end([run])
    assert imported
    qtbot.waitUntil(lambda: run not in running.running())


def test_napari_that_ends_a_worker_leaves_nothing_open(qtbot):
    """It breaks off between two events; superqt alone would leave the generator as it stands."""
    closed = []

    def events():
        try:
            while True:
                yield Progress(0, 0)
                time.sleep(0.01)
        finally:
            closed.append(True)

    run = running.Run(events(), title="quits", owner=QWidget())
    qtbot.waitUntil(lambda: run.latest is not None)
    run.worker.quit()
    qtbot.waitUntil(lambda: bool(closed))
    run.cancel()
