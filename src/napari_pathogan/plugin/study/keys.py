"""Keys of a reader's session: they work wherever the focus is, and nothing else comes through."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import decimal, name, normalize

from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDragEnterEvent, QGuiApplication, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from collections.abc import Collection

_KEYS = {  # by what they type, as numbers: Qt's enum lacks most letters of the world
    int(key): word
    for key, word in {
        Qt.Key.Key_R: "R",
        Qt.Key.Key_G: "G",
        Qt.Key.Key_Left: "←",
        Qt.Key.Key_Right: "→",
        Qt.Key.Key_Return: "Enter",
        Qt.Key.Key_Enter: "Enter",
        Qt.Key.Key_Escape: "Esc",
        **{getattr(Qt.Key, f"Key_{digit}"): str(digit) for digit in range(1, 6)},
    }.items()
}
_KEYPAD = {  # without Num Lock
    int(key): str(digit)
    for digit, key in enumerate(
        (
            *(Qt.Key.Key_End, Qt.Key.Key_Down, Qt.Key.Key_PageDown),
            *(Qt.Key.Key_Left, Qt.Key.Key_Clear),
        ),
        1,
    )
}
# Where the keys 1 to 5, R and G of a QWERTY keyboard lie: scan codes of X11 and Wayland, of Windows,
# and virtual keys of macOS, which has no scan codes.
_PLACES = {
    "": dict(zip((10, 11, 12, 13, 14, 27, 42), "12345RG", strict=True)),
    "windows": dict(zip((2, 3, 4, 5, 6, 19, 34), "12345RG", strict=True)),
    "cocoa": dict(zip((18, 19, 20, 21, 23, 15, 5), "12345RG", strict=True)),
}
# to move among buttons and press one
_BUTTON_KEYS = {int(key) for key in (Qt.Key.Key_Tab, Qt.Key.Key_Backtab, Qt.Key.Key_Space)}
# with these, a key is a command; Shift, Caps Lock and the keyboard's second script are not noticed
_COMMANDS = (
    Qt.KeyboardModifier.ControlModifier
    | Qt.KeyboardModifier.AltModifier
    | Qt.KeyboardModifier.MetaModifier
)
_NAMED = 0x110000  # from here on, numbers of keys are no characters
_LETTERS, _SUREST = ("R", "G"), 5
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
        if int(event.key()) in _BUTTON_KEYS or any(event.matches(keys) for keys in _LEAVING):
            return False
        event.accept()  # a shortcut that is accepted comes again, as a key press
        key = meant(event)
        if event.type() == QEvent.Type.KeyPress and key and not event.isAutoRepeat():
            self.pressed.emit(key)
        return True

    def _ours(self, watched: QObject | None) -> bool:
        return isinstance(watched, QWidget) and watched.window() in self._windows


def meant(event: QKeyEvent, platform: str | None = None) -> str | None:
    """Which of the session's keys was pressed, on any keyboard; None for another.

    What a key types goes first, so that ``R`` is where it is printed; digits of any script are digits.
    Where it types none of them, its place counts: the digits of AZERTY without Shift, ``R`` and ``G``
    where other scripts are typed, the keypad without Num Lock. Where Latin letters are typed, ``R`` and
    ``G`` are printed on other keys, and those in their places are nothing.

    Parameters
    ----------
    platform
        Qt's name of it; this process's by default.
    """
    if event.modifiers() & _COMMANDS:
        return None
    platform = QGuiApplication.platformName() if platform is None else platform
    code = int(event.key())
    on_keypad = bool(event.modifiers() & Qt.KeyboardModifier.KeypadModifier)
    if on_keypad and platform != "cocoa" and code in _KEYPAD:  # there, arrows are of the keypad
        return _KEYPAD[code]
    character = chr(code) if code < _NAMED else ""  # what has a name types nothing
    if code in _KEYS:
        return _KEYS[code]
    if (digit := decimal(character or " ", None)) is not None:
        return str(digit) if 1 <= digit <= _SUREST else None
    if typed := _KEYS.get(ord(normalize("NFKC", character)[:1] or "\0")):
        return typed if typed in _LETTERS else None
    scan = event.nativeVirtualKey() if platform == "cocoa" else event.nativeScanCode()
    place = _PLACES.get(platform, _PLACES[""]).get(scan)
    types_latin = int(Qt.Key.Key_A) <= code <= int(Qt.Key.Key_Z)
    if place in _LETTERS and character:
        types_latin = character.isascii() or name(character, "").startswith("LATIN")
    return None if types_latin else place
