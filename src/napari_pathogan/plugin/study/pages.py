"""The pages of the reader study's dock: start, consent, rest, and the answer; no logic."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.plugin.shell.form import ProgressBar, beside, combo, hint, label, offer_folders
from napari_pathogan.study.asking import ANSWERS, SURE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_pathogan.study.record import Study


class Page(QWidget):
    """A column of widgets."""

    def __init__(self) -> None:
        super().__init__()
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(10)

    def add(self, *widgets: QWidget) -> None:
        """Add widgets below."""
        for widget in widgets:
            self.column.addWidget(widget)


class StartPage(Page):
    """Which study, and who reads."""

    def __init__(self) -> None:
        super().__init__()
        self.welcome = label(
            "<b>Real or generated?</b><br>"
            "Look at images one by one and say which are real and which were made by a model. "
            "Open the folder of a study to take part, or make a new study."
        )
        self.study = combo("The study to take part in; the last ones are remembered")
        self.open = QPushButton("Open a study…")
        self.open.setToolTip("Choose the folder of a study on this computer")
        self.new = QPushButton("New study…")
        self.new.setToolTip("Put real and generated images together for readers")
        self.reader = QLineEdit()
        hint(self.reader, "your name or code")
        self.reader.setMaxLength(80)
        self.reader.setToolTip(
            "Your answers are kept under this name or code. "
            "Give the same one again to go on where you stopped."
        )
        self.about = label("")
        self.begin = tall(QPushButton("Begin"))
        self.begin.setToolTip("Show what you agree to, then the first image")
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        self.rows = (QLabel("Study"), self.study, QLabel("Reader"), self.reader)
        for number, widget in enumerate(self.rows):
            grid.addWidget(widget, number // 2, number % 2)
        self.add(self.welcome)
        self.column.addLayout(grid)
        below = QHBoxLayout()
        for button in (self.open, self.new):
            below.addWidget(button, 1)
        self.add(self.about, self.begin, line())
        self.column.addLayout(below)
        self.column.addStretch(1)
        self.reader.textChanged.connect(self._may_begin)
        self.offer(())

    def offer(self, folders: Sequence[Path]) -> None:
        """Offer studies, the latest first; the chosen one stays chosen."""
        offer_folders(self.study, folders)
        for widget in (*self.rows, self.about, self.begin):
            widget.setVisible(bool(folders))
        self.welcome.setVisible(not folders)

    def show_study(self, study: Study | None, warning: str = "") -> None:
        """Say what the chosen study is, and what is wrong with it or must be known."""
        self.begin.setProperty("possible", study is not None)
        self._may_begin()
        said = [] if study is None else [about(study)]
        self.about.setText("<br><br>".join([*said, *([escape(warning)] if warning else [])]))

    def _may_begin(self) -> None:
        possible = bool(self.begin.property("possible"))
        self.begin.setEnabled(possible and bool(self.reader.text().strip()))


class ConsentPage(Page):
    """What the reader agrees to."""

    def __init__(self) -> None:
        super().__init__()
        self.text = label("")
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        room = QScrollArea()
        room.setWidgetResizable(True)
        room.setFrameShape(QFrame.Shape.NoFrame)
        room.setWidget(self.text)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.agree = QCheckBox("I agree")
        self.back = QPushButton("Back")
        self.go = QPushButton("Go on")
        self.title = label("")
        self.add(self.title, room, self.agree, beside(self.back, self.go, wide=1))
        self.agree.toggled.connect(self.go.setEnabled)

    def ask(self, study: Study, reader: str) -> None:
        """Show a study's text; nothing is agreed to yet."""
        self.title.setText(f"<b>{escape(study.name)}</b><br>Reader: {escape(reader)}")
        self.title.setTextFormat(Qt.TextFormat.RichText)
        self.text.setText(study.consent)
        self.agree.setChecked(False)
        self.go.setEnabled(False)


class RestPage(Page):
    """Between images: how it works, a break, a pause, the end."""

    def __init__(self) -> None:
        super().__init__()
        self.text = label("")
        self.go = tall(QPushButton())
        self.leave = QPushButton()
        self.add(self.text, self.go, self.leave)
        self.column.addStretch(1)

    def say(self, title: str, text: str, *, go: str = "", leave: str = "") -> None:
        """Show a text; a button without a text is not there."""
        self.text.setText(f"<b>{title}</b><br><br>{text}")
        for button, what, key in ((self.go, go, "Enter"), (self.leave, leave, "Esc")):
            button.setText(f"{what}  ({key})" if go else what)
            button.setVisible(bool(what))


class TrialPage(Page):
    """The question under an image: two answers, five degrees of certainty."""

    answered = Signal()
    paused = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.place = QLabel()
        self.bar = ProgressBar()
        self.question = label("")
        self.choices: dict[str, QPushButton] = {}
        self._choices = QHBoxLayout()
        self._choices.setSpacing(6)
        self.confidences = tuple(tall(QPushButton(str(n)), 36) for n in range(1, 6))
        degrees = QHBoxLayout()
        degrees.setSpacing(6)
        for n, button in enumerate(self.confidences, 1):
            button.setCheckable(True)
            button.setMinimumWidth(30)
            button.setToolTip(f"{SURE[n - 1].capitalize()}: press {n}")
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.clicked.connect(partial(self.choose_confidence, n))
            degrees.addWidget(button, 1)
        self.chosen = label("")
        self.confirm = tall(QPushButton("Confirm  (Enter)"))
        self.confirm.clicked.connect(self.answered)
        self.pause = QPushButton("Pause  (Esc)")
        self.pause.setToolTip("Hide the image; the time does not count. All answers are kept.")
        self.pause.clicked.connect(self.paused)
        for button in (self.confirm, self.pause):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        ends = beside(QLabel(SURE[0]), QLabel(), QLabel(SURE[-1]), wide=1)
        self.add(self.place, self.bar, self.question)
        self.column.addLayout(self._choices)
        self.add(label("How sure are you?"))
        self.column.addLayout(degrees)
        self.add(ends, self.chosen, self.confirm, line(), self.pause)
        self.column.addStretch(1)
        self.choice: str | None = None
        self.confidence: int | None = None

    def offer(self, question: str, choices: Sequence[str]) -> None:
        """Show a study's question and its two answers."""
        self.question.setText(f"<b>{escape(question)}</b>")
        for gone in self.choices.values():
            self._choices.removeWidget(gone)
            gone.deleteLater()
        self.choices = {}
        for choice in choices:
            word, key = ANSWERS[choice]
            button = tall(QPushButton(f"{word}  ({key})"), 48)
            button.setCheckable(True)
            button.setToolTip(f"{word}: press {key}")
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.clicked.connect(partial(self.choose, choice))
            self._choices.addWidget(button, 1)
            self.choices[choice] = button
        self.clear()

    def show_place(self, what: str, done: int, total: int) -> None:
        """``Image 12 of 104``."""
        self.place.setText(f"{what} {done + 1} of {total}")
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def clear(self) -> None:
        """Nothing is answered yet."""
        self.choice = self.confidence = None
        self._show()

    def choose(self, choice: str, _checked: object = None) -> None:
        """Choose an answer; another may be chosen until it is confirmed."""
        self.choice = choice
        self._show()

    def choose_confidence(self, confidence: int, _checked: object = None) -> None:
        """Choose how sure, 1 to 5."""
        self.confidence = confidence
        self._show()

    def key(self, key: str) -> None:
        """Do what a key stands for."""
        choice = next((c for c in self.choices if ANSWERS[c][1] == key), None)
        if choice is not None:
            self.choose(choice)
        elif key.isdigit():
            self.choose_confidence(int(key))
        elif key == "Enter" and self.confirm.isEnabled():
            self.answered.emit()
        elif key == "Esc":
            self.paused.emit()

    def _show(self) -> None:
        for choice, button in self.choices.items():
            button.setChecked(choice == self.choice)
        for n, button in enumerate(self.confidences, 1):
            button.setChecked(n == self.confidence)
        complete = self.choice is not None and self.confidence is not None
        self.confirm.setEnabled(complete)
        parts = [
            ANSWERS[self.choice][0] if self.choice else "",
            SURE[self.confidence - 1] if self.confidence else "",
        ]
        given = ", ".join(part for part in parts if part)
        self.chosen.setText(f"Your answer: <b>{given}</b>" if given else "Your answer: none yet")


def about(study: Study) -> str:
    """``Real or generated: 104 images one by one; 2 readers have answered so far``."""
    shown = study.trials - sum(item.kind == "practice" for item in study.manifest.items)
    how = "pairs, left or right" if study.manifest.mode == "pairs" else "images, one at a time"
    readers = sum(standing.answered > 0 for standing in study.standings())
    who = {0: "no reader yet", 1: "1 reader so far"}.get(readers, f"{readers} readers so far")
    return f"<b>{escape(study.name)}</b><br>{shown} {how}; {who}"


def tall(button: QPushButton, height: int = 40) -> QPushButton:
    """Make a button easy to hit."""
    button.setMinimumHeight(height)
    return button


def line() -> QFrame:
    """A horizontal rule."""
    rule = QFrame()
    rule.setFrameShape(QFrame.Shape.HLine)
    return rule
