"""The one door to napari's canvas, which it has no public one for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari
    from napari._vispy.canvas import VispyCanvas


def canvas_of(viewer: napari.Viewer) -> VispyCanvas:
    """The canvas of a viewer: its Qt widget (``native``), and what layers are drawn with.

    Docks that are opened by a call get a proxy of the viewer, which lets nobody look at private
    parts and wraps the widget in something that Qt refuses as a parent; so it is taken off here.
    """
    window = getattr(viewer, "__wrapped__", viewer).window
    return window._qt_viewer.canvas  # noqa: SLF001
