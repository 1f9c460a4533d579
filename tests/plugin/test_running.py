"""Runs in the viewer, where only the progress bar's own behaviour is in question."""

from __future__ import annotations

import time

import pytest
from qtpy.QtWidgets import QApplication

from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.plugin import running

pytestmark = pytest.mark.gui


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
    run = running.run_in_viewer(events(), title="slow", on_finished=ended.append)
    qtbot.waitUntil(lambda: bool(ended), timeout=30_000)
    assert run._bar.deepest == 1
    assert run._bar.n > 0
    assert not run.active
