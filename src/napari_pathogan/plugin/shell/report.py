"""Copying what this computer has, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari  # noqa: TC002  (napari resolves the annotations to pass its viewer)
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QApplication

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.plugin.shell.keys_sheet import window_in_use
from napari_pathogan.plugin.shell.running import Run
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch
from napari_pathogan.plugin.viewer.use import begin

if TYPE_CHECKING:
    from collections.abc import Iterator


def copy_report(viewer: napari.Viewer) -> None:
    """Copy what this computer has, and what is wrong with it, to paste into a report of a problem."""
    begin(viewer)
    window = window_in_use()
    if window is not None:
        Run(looking(), title="Report", owner=window, on_finished=_copy)


def looking() -> Iterator[Event]:
    """Look at the computer; finishes with the report."""
    yield Progress(0, 0, "looking at this computer")
    ready_for_torch()
    from napari_pathogan.doctor import check_up  # noqa: PLC0415  (imports torch)

    yield Finished(str(check_up(display=False)))


def _copy(event: Finished) -> None:
    clipboard = QApplication.clipboard()
    assert clipboard is not None
    clipboard.setText(event.result)
    show_info("The report is copied: paste it where you tell of the problem")
