"""Which docks are open in a window, and where: the next napari has them again once PathoGAN is used in it.

napari keeps the size of its window and how its own docks lie, and opens none of a plugin's.
"""

from __future__ import annotations

import base64
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QByteArray, QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_pathogan.plugin.shell.tabs import lay_on_others
from napari_pathogan.plugin.viewer.keys import dock_of, dock_titles, once_all_came
from napari_pathogan.plugin.viewer.remembered import recall, remember

if TYPE_CHECKING:
    from qtpy.QtWidgets import QMainWindow

_NAME = "arrangement"  # beside the titles of docks
_DONE = "pathogan-arranged"  # a property of a window whose docks have come back
_JOINED_MS = 100  # docks have been laid as tabs by then


def note(window: QMainWindow) -> None:
    """Remember the docks of a window that is closed."""
    frames = [one for one in window.findChildren(QDockWidget) if not one.isHidden()]
    titles = [title for one in frames if (title := _title(one))]
    state = base64.b64encode(window.saveState().data()).decode()
    remember({_NAME: {"docks": titles, "state": state}})


def bring_back(window: QMainWindow, asked: str) -> None:
    """Open the docks that were open, as they lay; does nothing in a window where that was done before.

    Parameters
    ----------
    asked
        Title of the dock that the user has opened: if it was not there, it is laid on the others, in front.
    """
    if window.property(_DONE):
        return
    window.setProperty(_DONE, True)
    kept = recall(_NAME)
    titles = [one for one in kept.get("docks", ()) if one in dock_titles()]
    if not titles:
        return

    def come(left: list[str]) -> None:
        if left:  # one at a time: napari lets other events through while a dock is made
            dock_of(window, left[0])
            once_all_came(window, partial(come, left[1:]))
            return
        try:
            state = base64.b64decode(str(kept.get("state", "")), validate=True)
        except ValueError:
            return  # they are open, wherever
        restore = QTimer(window)
        restore.setSingleShot(True)
        restore.timeout.connect(partial(_restore, window, QByteArray(state), asked))
        restore.start(_JOINED_MS)

    once_all_came(window, partial(come, titles))


def _restore(window: QMainWindow, state: QByteArray, asked: str) -> None:
    """Lay docks as they lay; that which was not there then, Qt would lay below them."""
    window.restoreState(state)
    frame = next((one for one in window.findChildren(QDockWidget) if _title(one) == asked), None)
    if frame is not None and asked not in recall(_NAME).get("docks", ()):
        frame.show()
        lay_on_others(frame)


def _title(frame: QDockWidget) -> str:
    """The title of the plugin's dock in a frame; empty if it is another's."""
    titles = (getattr(one, "title", None) for one in frame.findChildren(QWidget))
    return next((one for one in titles if isinstance(one, str)), "")
