"""A widget that napari docks: it asks before it is closed, shares its place, and lets go when it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

from napari_pathogan.plugin.shell import closing, jobs, parting, session, tabs
from napari_pathogan.plugin.shell.form import Ties
from napari_pathogan.plugin.shell.garbage import end_at_once
from napari_pathogan.plugin.shell.running import Run
from napari_pathogan.plugin.viewer import shaders
from napari_pathogan.plugin.viewer.canvas import let_keys_go
from napari_pathogan.plugin.viewer.holding import bind_hold
from napari_pathogan.plugin.viewer.keys import has_come, is_coming
from napari_pathogan.plugin.viewer.use import begin
from napari_pathogan.plugin.viewer.viewing import bind_viewing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari

    from napari_pathogan.engine.events import Event, Finished, Tile


class Docked(QWidget):
    """What all docks of the plugin have in common.

    Parameters
    ----------
    napari_viewer
        The viewer that it works on; napari passes it.
    """

    title: ClassVar[str]

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        is_coming(self)
        self.viewer = napari_viewer
        begin(napari_viewer)
        self.setWindowTitle(self.title)
        self.setMinimumWidth(300)
        self._ties = Ties()
        self.destroyed.connect(self._ties.release)

    def aside(
        self,
        events: Iterator[Event],
        then: Callable[[Finished], None] | None = None,
        if_stopped: Callable[[], None] | None = None,
        *,
        title: str = "",
        ask: bool = False,
        keeps: str = "",
        on_event: Callable[[Event], None] | None = None,
        on_tile: Callable[[Tile], None] | None = None,
    ) -> Run:
        """Run something in the background, which ends with the dock; as :func:`~.running.Run`."""
        run = Run(
            events,
            title=title or self.title,
            owner=self,
            ask=ask,
            keeps=keeps,
            on_tile=on_tile,
            on_event=on_event,
            on_finished=then,
            on_stopped=if_stopped,
        )
        self._ties.add(run.cancel)
        return run

    def release(self) -> None:
        """Let go of the viewer, and stop what runs: the dock is being closed."""
        self._ties.release()

    def event(self, event: QEvent | None) -> bool:
        """Notice that napari has taken the dock out of its window, or put it there."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        elif event is not None and event.type() == QEvent.Type.Show:
            has_come(self)
            end_at_once()
            closing.watch(self)
            tabs.join(self)
            session.begin(self)
            jobs.begin(self)
            parting.begin(self, self.viewer)
            let_keys_go(self.viewer)
            bind_hold(self.viewer)
            bind_viewing(self.viewer)
            shaders.begin()
        return super().event(event)
