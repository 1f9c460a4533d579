"""Readers made of signal detection theory, who answer the real widget by keys.

As a program: ``simulated_reader.py STUDY NAME STOP_AFTER`` opens napari, answers so many images as
the reader of that name, types half of the next answer, and waits to be killed.
"""

from __future__ import annotations

import hashlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pathogan.study.blocks import CONTROL
from napari_pathogan.study.layout import read_key
from napari_pathogan.study.record import Study

PATIENCE_S = 120
SIZE = 800, 500  # of the window: drawing takes most of the time


@dataclass(frozen=True)
class Simulated:
    """An observer with a known d' and criterion (positive: says 'real' more often)."""

    name: str
    d_prime: float
    criterion: float
    seed: int

    def judge(self, truth):
        """Choice and confidence; always the same for the same image, as orders are random."""
        number = int(Path(truth.origin).stem)
        noise = np.random.default_rng([self.seed, truth.real, number]).normal()
        evidence = noise + self.d_prime * (-0.5 if truth.real else 0.5) - self.criterion
        confidence = 1 + int(np.searchsorted((0.25, 0.6, 1.0, 1.6), abs(evidence)))
        return ("generated" if evidence > 0 else "real"), confidence


READERS = {
    reader.name: reader
    for reader in (
        Simulated("guesser", 0.0, 0.0, 1),
        Simulated("good", 2.0, 0.0, 6),
        Simulated("says real", 1.0, 0.6, 4),
    )
}


class Truths:
    """What an image is, by its pixels: a simulated reader looks at the screen only."""

    def __init__(self, study):
        key = read_key(study.folder, None, study.manifest)
        self._known = {mark(study.image(name)): truth for name, truth in key.truth.items()}

    def of(self, image):
        return self._known[mark(image)]


def mark(image):
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def press(window, key):
    QTest.keyClick(window.centralWidget().findChild(QOpenGLWidget), key)


def wait(done):
    end = time.monotonic() + PATIENCE_S
    while not done():
        QApplication.processEvents()
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.002)


def begin(dock, folder, name):
    """From the start page to the first image."""
    reading = dock.reading
    reading.open(folder)
    reading.start.reader.setText(name)
    reading.start.begin.click()
    reading.consent.agree.setChecked(True)
    reading.consent.go.click()
    assert reading.running
    wait(reading.rest.go.isVisible)


def play(dock, reader, truths, stop_after=None):
    """Answer images until all are done, or so many answers are given."""
    reading, viewer = dock.reading, dock.viewer
    window, given = dock.window(), 0
    while reading.running and given != stop_after:
        if reading.currentWidget() is reading.rest:
            press(window, Qt.Key.Key_Return)
        wait(lambda: reading.on_screen)
        truth = truths.of(viewer.layers["Image"].data)
        if truth.source == CONTROL:
            choice, confidence = ("real" if truth.real else "generated"), 5
        else:
            choice, confidence = reader.judge(truth)
        press(window, Qt.Key.Key_R if choice == "real" else Qt.Key.Key_G)
        press(window, getattr(Qt.Key, f"Key_{confidence}"))
        press(window, Qt.Key.Key_Return)
        given += 1


def main(folder, name, stop_after):
    import napari

    from napari_pathogan.plugin.study.dock import StudyDock

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    dock = StudyDock(viewer)
    viewer.window.add_dock_widget(dock, name="Reader study")
    begin(dock, folder, name)
    play(dock, READERS[name], Truths(Study.open(folder)), stop_after)
    wait(lambda: dock.reading.on_screen)
    press(dock.window(), Qt.Key.Key_R)  # half an answer
    sys.stdout.write("waiting to be killed\n")
    sys.stdout.flush()
    napari.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
