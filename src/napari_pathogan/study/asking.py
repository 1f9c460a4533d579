"""What readers are told and asked, alike in napari and in a browser: texts, answers, keys."""

from __future__ import annotations

HOW = {
    "yes-no": "Images appear one after the other. Say whether each is <b>real (R)</b> or "
    "<b>generated (G)</b>, how sure you are (<b>1</b> guessing to <b>5</b> certain), and confirm "
    "with <b>Enter</b>.",
    "pairs": "Two images appear side by side, one real and one generated. Say whether the <b>left "
    "(←)</b> or the <b>right (→)</b> one is real, how sure you are (<b>1</b> guessing to <b>5</b> "
    "certain), and confirm with <b>Enter</b>.",
}
"""How it works, by mode; rich text."""

FREEDOM = (
    "You may zoom with the wheel and move by dragging. Take the time you need; <b>Esc</b> pauses. "
    "Whether you were right is not shown."
)
SURE = ("guessing", "unsure", "fairly sure", "sure", "certain")
ANSWERS = {
    "real": ("Real", "R"),
    "generated": ("Generated", "G"),
    "left": ("Left", "←"),
    "right": ("Right", "→"),
}
"""Choice -> what the button says, and its key."""

MARGIN = 0.06
"""Of the stage stays free around the image."""

LARGEST_PX = 512
"""Side of an image on the screen; alike for all readers whose stage has the room."""

GAP = 0.12
"""Between the two images of a pair, of their width."""

VIEWS_S = 0.25
"""Views that change faster than this are one entry of the record."""

MOST_VIEWS = 200
"""Entries for one image."""
