"""The one door to napari's canvas and window, which it has no public one for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari
    from napari._vispy.canvas import VispyCanvas
    from qtpy.QtWidgets import QMainWindow


def window_of(viewer: napari.Viewer) -> QMainWindow:
    """The Qt window of a viewer."""
    window: QMainWindow = getattr(viewer, "__wrapped__", viewer).window._qt_window  # noqa: SLF001
    return window


def canvas_of(viewer: napari.Viewer) -> VispyCanvas:
    """The canvas of a viewer: its Qt widget (``native``), and what layers are drawn with.

    Docks that are opened by a call get a proxy of the viewer, which lets nobody look at private
    parts and wraps the widget in something that Qt refuses as a parent; so it is taken off here.
    """
    window = getattr(viewer, "__wrapped__", viewer).window
    return window._qt_viewer.canvas  # noqa: SLF001


def letters_made(viewer: napari.Viewer, text: str) -> Iterator[None]:
    """Make the letters of a text before they are drawn, a letter a step.

    Each takes vispy a few hundredths of a second, once in a window: a text with many that are new
    would stop it for a second.
    """
    known = canvas_of(viewer)._font_info  # noqa: SLF001
    font = known.font_manager.get_font(known.face)
    for letter in sorted(set(text)):
        yield
        font[letter]
