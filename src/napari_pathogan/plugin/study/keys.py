"""Keys of a reader's session: they work wherever the focus is, and nothing else comes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDragEnterEvent, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from collections.abc import Collection

_KEYS = {
    Qt.Key.Key_R: "R",
    Qt.Key.Key_G: "G",
    Qt.Key.Key_Left: "←",
    Qt.Key.Key_Right: "→",
    Qt.Key.Key_Return: "Enter",
    Qt.Key.Key_Enter: "Enter",
    Qt.Key.Key_Escape: "Esc",
    **{getattr(Qt.Key, f"Key_{digit}"): str(digit) for digit in range(1, 6)},
}
# to move among buttons and press one
_BUTTON_KEYS = {Qt.Key.Key_Tab, Qt.Key.Key_Backtab, Qt.Key.Key_Space}
_LEAVING = (QKeySequence.StandardKey.Quit, QKeySequence.StandardKey.Close)


class Keys(QObject):
    """Takes all keys of some windows while it is on.

    napari's own keys (hide a layer, remove one, switch to 3-D) must not disturb a session, nor files
    dropped on the window; closing the window by its key stays possible.
    """

    pressed = Signal(str)  # "R", "G", "←", "→", "1" to "5", "Enter", "Esc"

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._windows: Collection[QWidget] = ()

    def listen(self, windows: Collection[QWidget]) -> None:
        """Take the keys of these windows from now on; of none to end it."""
        application = QApplication.instance()
        assert application is not None
        if windows and not self._windows:
            application.installEventFilter(self)
        elif self._windows and not windows:
            application.removeEventFilter(self)
        self._windows = windows

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 (Qt's name)
        """Take key events, and files dropped, before anything else sees them."""
        if not isinstance(event, QKeyEvent | QDragEnterEvent) or not self._ours(watched):
            return False
        if isinstance(event, QDragEnterEvent):
            event.ignore()
            return True
        if event.key() in _BUTTON_KEYS or any(event.matches(keys) for keys in _LEAVING):
            return False
        event.accept()  # a shortcut that is accepted comes again, as a key press
        key = _KEYS.get(Qt.Key(event.key()))
        plain = event.modifiers() in {
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
            Qt.KeyboardModifier.ShiftModifier,  # caps lock is not to be noticed, nor shift
        }
        if event.type() == QEvent.Type.KeyPress and key and plain and not event.isAutoRepeat():
            self.pressed.emit(key)
        return True

    def _ours(self, watched: QObject | None) -> bool:
        return isinstance(watched, QWidget) and watched.window() in self._windows
