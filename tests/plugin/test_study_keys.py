"""Keys of a reader's session on the keyboards of the world."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_pathogan.plugin.study.keys import Keys, meant

NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
SECOND = Qt.KeyboardModifier.GroupSwitchModifier
KEYPAD = Qt.KeyboardModifier.KeypadModifier
ROW, R, G = (10, 11, 12, 13, 14), 27, 42  # scan codes of X11
DIGITS = {  # what keyboards type where QWERTY has 1 to 5
    "AZERTY": "&É\"'(",
    "Czech": "+ĚŠČŘ",
    "Bépo": '"«»()',
    "Persian": "۱۲۳۴۵",
    "Devanagari": "१२३४५",
    "Thai": "ๅ/-ภถ",
    "Lithuanian": "ĄČĘĖĮ",
    "QWERTY with Shift": "!@#$%",
    "QWERTY": "12345",
}
LETTERS = {  # and where it has R and G
    "Cyrillic": "КП", "Greek": "ΡΓ", "Hebrew": "רע", "Arabic": "قل", "Georgian": "რგ",
    "Thai": "พเ", "Korean": "ㄱㅎ", "Devanagari": "ीु", "QWERTY": "RG",
}  # fmt: skip


def event(code, *, scan=0, virtual=0, modifiers=NONE):
    code = ord(code) if isinstance(code, str) else int(code)
    return QKeyEvent(QEvent.Type.KeyPress, code, modifiers, scan, virtual, 0, "")


@pytest.mark.parametrize("modifiers", [NONE, SHIFT, SECOND])
@pytest.mark.parametrize("keyboard", DIGITS)
def test_digits_by_their_place(keyboard, modifiers):
    keys = [
        event(x, scan=at, modifiers=modifiers) for x, at in zip(DIGITS[keyboard], ROW, strict=True)
    ]
    assert [meant(key, "xcb") for key in keys] == list("12345")


@pytest.mark.parametrize("keyboard", LETTERS)
@pytest.mark.parametrize(
    ("platform", "places"),
    [("xcb", (27, 42)), ("wayland", (27, 42)), ("windows", (19, 34)), ("cocoa", (15, 5))],
)
def test_r_and_g_by_their_place(keyboard, platform, places):
    for code, place, wanted in zip(LETTERS[keyboard], places, "RG", strict=True):
        where = {"virtual" if platform == "cocoa" else "scan": place}
        assert meant(event(code, **where), platform) == wanted
        assert meant(event(code, **where, modifiers=SECOND), platform) == wanted


def test_a_latin_letter_is_what_is_printed_on_it():
    """On Dvorak, R is where QWERTY has O, and P where it has R."""
    assert meant(event("R", scan=32), "xcb") == "R"
    assert meant(event("P", scan=R), "xcb") is None
    assert meant(event("Z", scan=52), "xcb") is None


@pytest.mark.parametrize(
    ("keyboard", "types", "scan", "wanted"),
    [
        ("Turkish F, G's place", "\u00dc", G, None),
        ("Turkish F, R's place", "I", R, None),
        ("B\u00e9po, G's place", ",", G, None),
        ("Dvorak, R's place", "P", R, None),
        ("Colemak, G's place", "D", G, None),
        ("AZERTY, left of 1", "\u00b2", 49, None),
        ("Czech, where 2 is", "\u011a", 11, "2"),
        ("Lithuanian, where 1 is", "\u0104", 10, "1"),
        ("programmer's Dvorak, 1 with Shift", "1", 13, "1"),
        ("programmer's Dvorak, without", "(", 14, "5"),
        ("Japanese kana, R's place", "\u3059", R, "R"),
        ("Japanese kana, where 3 is", "\u3042", 12, "3"),
        ("full width R", "\uff32", 0, "R"),
        ("full width 4", "\uff14", 0, "4"),
        ("Bulgarian, G's place", "\u0413", G, "G"),
        ("Armenian, R's place", "\u0550", R, "R"),
        ("Amharic, G's place", "\u1308", G, "G"),
        ("Bengali digit, anywhere", "\u09e9", 0, "3"),
        ("Arabic digit six, on 1", "\u0666", 10, None),
        ("programmer's Dvorak, where 2 is with Shift", "7", 11, None),
        ("a dead key where 4 is", Qt.Key.Key_Dead_Circumflex, 13, "4"),
        ("a dead key on R's place", Qt.Key.Key_Dead_Acute, R, "R"),
        ("a key without a name on G's place", Qt.Key.Key_unknown, G, "G"),
        ("space on R's place", "/", R, None),
    ],
)
def test_what_other_keyboards_type(keyboard, types, scan, wanted):
    assert meant(event(types, scan=scan), "xcb") == wanted, keyboard


def test_the_keypad_in_other_digits():
    arabic = [event(chr(0x661 + n), scan=87 + n, modifiers=KEYPAD) for n in range(5)]
    assert [meant(key, "xcb") for key in arabic] == list("12345")


@pytest.mark.parametrize("lock", [True, False])
def test_the_keypad_with_num_lock_and_without(lock):
    names = ("End", "Down", "PageDown", "Left", "Clear")
    for digit, name in enumerate(names, 1):
        code = getattr(Qt.Key, f"Key_{digit}" if lock else f"Key_{name}")
        assert meant(event(code, modifiers=KEYPAD), "xcb") == str(digit)
    assert meant(event(Qt.Key.Key_Left), "xcb") == "←"
    assert meant(event(Qt.Key.Key_Left, modifiers=KEYPAD), "cocoa") == "←"


@pytest.mark.parametrize("command", ["Control", "Alt", "Meta"])
def test_a_command_is_no_answer(command):
    held = getattr(Qt.KeyboardModifier, f"{command}Modifier")
    assert meant(event("R", scan=R, modifiers=held), "xcb") is None
    assert meant(event(LETTERS["Cyrillic"][0], scan=R, modifiers=held), "xcb") is None


@pytest.mark.gui
def test_keys_that_qt_has_no_name_for_arrive(qtbot):
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    keys, pressed = Keys(), []
    keys.pressed.connect(pressed.append)
    keys.listen([window])
    for code, scan in (
        (LETTERS["Cyrillic"][0], R),
        (LETTERS["Hebrew"][1], G),
        ("&", 10),
        ("ي", 40),
    ):
        QApplication.sendEvent(window, event(code, scan=scan))
    keys.listen([])
    assert pressed == ["R", "G", "1"]
