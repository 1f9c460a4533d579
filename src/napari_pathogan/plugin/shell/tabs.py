"""Docks of the plugin share one place, as tabs: each has the whole height of the window."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import ref

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QWidget

from napari_pathogan.plugin.shell.form import above

if TYPE_CHECKING:
    from qtpy.QtCore import QTimerEvent


def join(dock: QWidget) -> None:
    """Lay a dock that is shown for the first time on the others of its side, in front.

    Where the user has put it, or the others, elsewhere since, they stay.
    """
    frame = above(dock, QDockWidget)
    if frame is not None and frame.findChild(_Joining) is None:
        _Joining(frame)


class _Joining(QObject):
    """Lays a frame on others that have one of these, once napari has laid it below them."""

    def __init__(self, frame: QDockWidget) -> None:
        super().__init__(frame)
        frame.setVisible = partial(_toggle, ref(frame))  # type: ignore[method-assign]  # napari's menu calls it
        for moved in (frame.dockLocationChanged, frame.topLevelChanged):
            moved.connect(lambda: self.startTimer(0))  # napari makes a new bar for its title then
        self._joined = False
        self.startTimer(0)

    def timerEvent(self, event: QTimerEvent | None) -> None:  # noqa: N802 (Qt's name)
        if event is not None:
            self.killTimer(event.timerId())
        frame = self.parent()
        assert isinstance(frame, QDockWidget)
        _shorten(frame)
        if self._joined:
            return
        self._joined = True
        lay_on_others(frame)


def lay_on_others(frame: QDockWidget) -> None:
    """Lay a dock's frame on those of our other docks of its side, in front of them."""
    window = above(frame, QMainWindow)
    if window is None or frame.isFloating():
        return
    others = [
        other
        for other in window.findChildren(QDockWidget)
        if other is not frame
        and other.findChild(_Joining) is not None
        and other.isVisible()
        and not other.isFloating()
        and window.dockWidgetArea(other) == window.dockWidgetArea(frame)
    ]
    if others:
        window.tabifyDockWidget(others[-1], frame)
        frame.raise_()


def _toggle(whose: ref[QDockWidget], shown: bool) -> None:  # noqa: FBT001  (Qt's signature)
    """Show or hide a dock that was chosen in a menu, or by its key; one that is behind others comes forward."""
    frame = whose()
    if frame is None:
        return
    behind = frame.isVisible() and frame.visibleRegion().isEmpty()
    QDockWidget.setVisible(frame, shown or behind)
    if shown or behind:
        frame.raise_()


def _shorten(frame: QDockWidget) -> None:
    """Leave out of the title what would be cut at a dock's width: whose it is, which the menu says."""
    bar = frame.titleBarWidget()
    for text in bar.findChildren(QLabel) if bar is not None else ():
        text.setText(text.text().removesuffix(" (PathoGAN)"))
