"""What is open in a window is noted as a case now and then, to be brought back should napari crash.

A note goes with its window. One that is left over, which nobody holds a lock on, is of a napari that
did not come to its end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_pathogan.files import data_folder, output_error
from napari_pathogan.plugin.shell import arrangement
from napari_pathogan.plugin.shell.case import room_of
from napari_pathogan.plugin.shell.form import above
from napari_pathogan.plugin.shell.keeping import keepers, take, writing
from napari_pathogan.plugin.shell.running import Run
from napari_pathogan.plugin.viewer.reader import CASE_SUFFIX
from napari_pathogan.plugin.viewer.remembered import remember

if TYPE_CHECKING:
    from pathlib import Path

    import napari

    from napari_pathogan.plugin.shell.keeping import Taken

EVERY_MS = 30_000
_LOCK = ".lock"  # behind a note's name
_log = logging.getLogger(__name__)


def begin(dock: QWidget) -> None:
    """Note what is open in a dock's window from now on."""
    window, viewer = above(dock, QMainWindow), getattr(dock, "viewer", None)
    if window is not None:
        arrangement.bring_back(window, getattr(dock, "title", ""))
    if window is None or viewer is None or window.findChild(Session) is not None:
        return
    try:
        file = _folder() / f"{os.getpid()}-{id(window):x}{CASE_SUFFIX}"
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_of(file), timeout=0, thread_local=False)
        lock.acquire()
    except OSError as error:
        _log.warning("nothing can be noted, should napari crash: %s", output_error(file, error))
    else:
        Session(window, viewer, file, lock)
        if left_over() is not None:
            show_info(
                "napari ended unexpectedly: Plugins > PathoGAN > Slides brings back what was open"
            )


def end(window: QMainWindow) -> None:
    """A window is closed as it should: nothing has to be brought back, but for what was chosen in docks."""
    remember({dock.title: dock.lasting() for dock in keepers(window)})
    arrangement.note(window)
    if (session := window.findChild(Session)) is not None:
        session.end()


class Session(QObject):
    """Notes what is open in a window, as long as it is there.

    Parameters
    ----------
    file, lock
        The note, and what is held as long as its window is there.
    """

    def __init__(
        self, window: QMainWindow, viewer: napari.Viewer, file: Path, lock: FileLock
    ) -> None:
        super().__init__(window)
        self.viewer, self.window, self.file, self._lock = viewer, window, file, lock
        self._noted: Taken | None = None
        self._run: Run | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.note)
        self._timer.start()

    def note(self) -> None:
        """Write what is open, if that is another than noted last; nothing where nothing is open."""
        if self._run is not None:
            return
        taken = take(self.viewer, keepers(self.window))
        if _same(taken, self._noted):
            return
        self._noted = taken
        if taken.images or taken.results:
            self._run = Run(
                writing(taken, self.file),
                title="Noting what is open",
                owner=self.window,
                on_finished=lambda _: self._ended(),
                on_stopped=self._failed,
            )

    def end(self) -> None:
        """Note no more, and take the note away."""
        self._timer.stop()
        self._lock.release()
        forget(self.file)

    def _ended(self) -> None:
        self._run = None

    def _failed(self) -> None:
        """It was said why: no use in saying so every half minute."""
        self._run = None
        self._timer.stop()


def left_over() -> Path | None:
    """The latest note of a napari that did not come to its end."""
    folder = _folder()
    left = []
    for file in folder.glob(f"*{CASE_SUFFIX}") if folder.is_dir() else ():
        with contextlib.suppress(Timeout, OSError), FileLock(_lock_of(file), timeout=0):
            left.append(file)
    return max(left, key=lambda file: file.stat().st_mtime, default=None)


def forget(file: Path) -> None:
    """Take a note away."""
    try:
        for one in (file, _lock_of(file)):
            one.unlink(missing_ok=True)
        if room_of(file).is_dir():
            shutil.rmtree(room_of(file))
    except OSError as error:
        _log.warning("can't take the note of a session away: %s", error)


def _folder() -> Path:
    return data_folder() / "sessions"


def _lock_of(file: Path) -> Path:
    return file.with_name(file.name + _LOCK)


def _same(one: Taken, other: Taken | None) -> bool:
    """Whether two notes say the same but for the camera; results are objects that do not change."""
    if other is None or len(one.results) != len(other.results):
        return False
    said = [x.case.model_copy(update={"camera": None}) for x in (one, other)]
    return (
        said[0] == said[1]
        and one.images == other.images
        and all(
            a == b and _equal(write.keywords, wrote.keywords)
            for (a, write), (b, wrote) in zip(one.results, other.results, strict=True)
        )
    )


def _equal(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return one is other or (isinstance(one, str | float | list) and one == other)
