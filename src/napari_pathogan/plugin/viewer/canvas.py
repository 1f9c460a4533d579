"""The one door to napari's canvas and window, which it has no public one for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.utils.key_bindings import _vispy2appmodel

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari
    from napari._vispy.canvas import VispyCanvas
    from napari.utils.key_bindings import KeymapHandler
    from qtpy.QtWidgets import QMainWindow
    from vispy.util.event import Event


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


def close_notifications(viewer: napari.Viewer) -> None:
    """Close all notifications that napari still shows over a viewer."""
    for one in window_of(viewer).findChildren(NapariQtNotification):
        one.close()


def let_keys_go(viewer: napari.Viewer) -> None:
    """See to it that what the release of a key does is done once; does nothing where that was seen to.

    napari 0.9 keeps it and does it again when the letter is let go the next time, in whatever keys: after Z,
    which puts the brush away, Ctrl+Z would take it up again, and a click that is to choose would paint.
    """
    canvas = canvas_of(viewer)
    released = canvas._scene_canvas.events.key_release  # noqa: SLF001
    if any(isinstance(one, _LetGo) for one in released.callbacks):
        return
    released.connect(_LetGo(canvas._key_map_handler), position="last")  # noqa: SLF001


class _LetGo:
    """Forgets what the release of a key was to do, once it was done."""

    def __init__(self, keys: KeymapHandler) -> None:
        self._waiting: dict[str, object] = keys._key_release_generators  # noqa: SLF001

    def __call__(self, event: Event) -> None:
        repeated = event.native is not None and event.native.isAutoRepeat()
        if event.key is not None and not repeated:
            self._waiting.pop(str(_vispy2appmodel(event).parts[-1].key), None)


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
