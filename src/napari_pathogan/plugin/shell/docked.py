"""A widget that napari docks: it asks before it is closed, shares its place, and lets go when it is gone."""

from __future__ import annotations

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

from napari_pathogan.plugin.shell import closing, session, tabs
from napari_pathogan.plugin.viewer.holding import bind_hold


class Docked(QWidget):
    """What all docks of the plugin have in common."""

    def release(self) -> None:
        """Let go of the viewer, and stop what runs: the dock is being closed."""
        raise NotImplementedError

    def event(self, event: QEvent | None) -> bool:
        """Notice that napari has taken the dock out of its window, or put it there."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        elif event is not None and event.type() == QEvent.Type.Show:
            closing.watch(self)
            tabs.join(self)
            session.begin(self)
            if (viewer := getattr(self, "viewer", None)) is not None:
                bind_hold(viewer)
        return super().event(event)
