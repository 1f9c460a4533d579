"""The reader study's dock: take part in a study, make one, see its results."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qtpy.compat import isalive
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_pathogan.plugin.shell.docked import Docked
from napari_pathogan.plugin.study.new import NewStudyDialog
from napari_pathogan.plugin.study.reading import Reading
from napari_pathogan.plugin.study.results import Results

if TYPE_CHECKING:
    from pathlib import Path

    import napari
    from qtpy.QtGui import QHideEvent


class StudyDock(Docked):
    """Real or generated: readers judge images one by one, blinded; then the statistics.

    Parameters
    ----------
    napari_viewer
        The viewer that shows the images; napari passes it.
    """

    title: ClassVar[str] = "Reader study"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.reading = Reading(napari_viewer, self)
        self.results = Results(self._ties)
        self.tabs = QTabWidget()
        self._results_page = _padded(self.results)
        self.tabs.addTab(_padded(self.reading), "Take part")
        self.tabs.addTab(self._results_page, "Results")
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self.tabs)
        self.reading.currentChanged.connect(self._page_changed)
        self.reading.start.new.clicked.connect(self.new_study)
        self.tabs.currentChanged.connect(self._tab_changed)

    def new_study(self) -> NewStudyDialog:
        """Open the dialog that makes a study; the new one is then chosen here."""
        dialog = NewStudyDialog(self.viewer, self)
        dialog.made.connect(self.reading.open)
        dialog.show()
        return dialog

    def show_folder(self, folder: Path) -> None:
        """Choose a study, on the page of its results; not while somebody reads."""
        if not self.reading.running:
            self.results.open_study(folder)
            self.tabs.setCurrentWidget(self._results_page)

    def release(self) -> None:
        """Let go of the viewer: end the session and what runs. The dock is being closed."""
        if self.reading.running:
            self.reading.leave()
        super().release()
        for dialog in self.findChildren(NewStudyDialog):
            dialog.stop()
            dialog.close()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 (Qt's name)
        """A dock that was hidden can't be answered in; a minimised window comes back."""
        stage = self.reading.stage
        gone = stage is None or not isalive(stage.main)  # type: ignore[no-untyped-call]
        if not gone and event is not None and not event.spontaneous():
            self.reading.leave()
        super().hideEvent(event)

    def _tab_changed(self, _index: int) -> None:
        """What was done on one page shows on the other: a study opened, the answer key opened."""
        self.results.offer()
        self.reading.offer()

    def _page_changed(self, _index: int) -> None:
        bar = self.tabs.tabBar()
        assert bar is not None
        bar.setVisible(not self.reading.running)


def _padded(widget: QWidget) -> QWidget:
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(8, 10, 8, 8)
    column.addWidget(widget)
    return box
