"""A reader's session in napari: consent, practice, one image after the other, breaks, the end."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QStackedWidget, QWidget

from napari_pathogan.errors import OutputError, PathoganError
from napari_pathogan.plugin.shell.recent import STUDIES
from napari_pathogan.plugin.study.keys import Keys
from napari_pathogan.plugin.study.pages import ConsentPage, RestPage, StartPage, TrialPage
from napari_pathogan.plugin.study.stage import StageView, StudyStage
from napari_pathogan.plugin.study.words import (
    begin_text,
    break_text,
    end_text,
    intro_text,
    not_blinded_text,
    pause_text,
    practice_of,
)
from napari_pathogan.plugin.viewer.canvas import close_notifications
from napari_pathogan.study.asking import MOST_VIEWS, VIEWS_S
from napari_pathogan.study.record import Session, Study

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari

    from napari_pathogan.study.record import Trial

NAME_MS = 100


class Watch:
    """Seconds that an image has been on the screen, pauses left out."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._since: float | None = None

    @property
    def running(self) -> bool:
        """Whether the image is on the screen."""
        return self._since is not None

    @property
    def seconds(self) -> float:
        """Up to now."""
        return self._spent + (time.monotonic() - self._since if self._since is not None else 0.0)

    def start(self) -> None:
        """The image is on the screen."""
        self._since = time.monotonic()

    def stop(self) -> None:
        """The image was hidden."""
        self._spent, self._since = self.seconds, None


class Reading(QStackedWidget):
    """The pages of a reader, and what happens between them.

    Parameters
    ----------
    viewer
        The viewer that becomes the stage while a session runs.
    dock
        The dock that these pages are part of; it stays while the others are hidden.
    """

    def __init__(self, viewer: napari.Viewer, dock: QWidget) -> None:
        super().__init__()
        self.viewer, self.dock = viewer, dock
        self.study: Study | None = None
        self.session: Session | None = None
        self.stage: StudyStage | None = None
        self.keys = Keys(self)
        self._trial: Trial | None = None
        self._watch = Watch()
        self._views: list[dict[str, float]] = []
        self._given: tuple[str, int, float] | None = None  # an answer that could not be written
        self._name_soon = QTimer(
            self
        )  # records are looked at once a name is typed, not each letter
        self._name_soon.setSingleShot(True)
        self._name_soon.setInterval(NAME_MS)
        self.start, self.consent = StartPage(), ConsentPage()
        self.rest, self.page = RestPage(), TrialPage()
        for page in (self.start, self.consent, self.rest, self.page):
            self.addWidget(page)
        self._connect()
        self.offer()

    @property
    def running(self) -> bool:
        """Whether a session is open."""
        return self.session is not None

    @property
    def on_screen(self) -> bool:
        """Whether an image is on the screen, to be answered."""
        return self._watch.running

    # before a session

    def offer(self) -> None:
        """Offer the studies that were opened last, and show the latest."""
        self.start.offer(STUDIES.recall())
        self._chosen()

    def open(self, folder: Path) -> None:
        """Choose a study; an error becomes a notification."""
        try:
            Study.open(folder)
            STUDIES.remember(folder)
        except PathoganError as error:
            show_error(str(error))
            return
        self.offer()
        self.start.study.setCurrentIndex(0)

    def begin(self) -> None:
        """Ask for consent."""
        close_notifications(self.viewer)  # they may say what an image is
        if self.study is not None:
            self.consent.ask(self.study, self.start.reader.text())
            self.setCurrentWidget(self.consent)

    def agreed(self) -> None:
        """Open the session: from here on the viewer is a stage."""
        if self.study is None:
            return
        try:
            self.session = Session.open(self.study, self.start.reader.text())
        except PathoganError as error:
            show_error(str(error))
            return
        with self._or_leave():
            if self.session.trial is None:
                self._finish()
                return
            self._enter()
            self.page.offer(self.study.question, self.study.choices)
            go = "Go on" if self.session.answered else "Start"
            self._rest(*intro_text(self.session), go=go, leave="Leave")

    # in a session

    def go_on(self) -> None:
        """Show the image that is to be judged now, and nothing that was said before over it."""
        close_notifications(self.viewer)
        with self._or_leave():
            assert self.session is not None
            assert self.stage is not None
            trial = self.session.trial
            assert trial is not None
            if trial is not self._trial:  # not after a pause
                self._trial, self._watch, self._given = trial, Watch(), None
                self._views = []
                self.page.clear()
            self._show_place(trial)
            self.setCurrentWidget(self.page)
            smooth = self.session.study.manifest.interpolation == "linear"
            self.stage.show(trial.images, smooth=smooth)

    def confirm(self) -> None:
        """Write the answer; on the disk it lets the next image come, else this one stays."""
        trial, choice, confidence = self._trial, self.page.choice, self.page.confidence
        if not self.on_screen or trial is None or choice is None or confidence is None:
            return
        if self._given is None or self._given[:2] != (choice, confidence):
            self._given = (choice, confidence, self._watch.seconds)
        with self._or_leave():
            assert self.session is not None
            try:
                self.session.answer(*self._given, self._views, trial=trial.id)
            except OutputError as error:
                show_error(f"{error}. Your answer is kept here: press Enter to try again")
                return
            self._next(trial)

    def pause(self) -> None:
        """Hide the image; its time stands still."""
        if self.session is None or self.stage is None:
            return
        self._watch.stop()
        self.stage.blank()
        self._rest(*pause_text(self.session), go="Go on", leave="Leave")

    def leave(self) -> None:
        """End the session, wherever it stands; all answers given are on the disk."""
        session, self.session = self.session, None
        stage, self.stage = self.stage, None
        self._trial = None
        self._watch.stop()
        self.keys.listen(())
        if session is not None:
            session.close()
        if stage is not None:
            stage.leave()
            stage.deleteLater()
        self.offer()
        self.setCurrentWidget(self.start)

    # how

    def _connect(self) -> None:
        self.start.open.clicked.connect(self._ask_folder)
        self.start.study.currentIndexChanged.connect(self._chosen)
        self.start.begin.clicked.connect(self.begin)
        self.start.reader.returnPressed.connect(self.start.begin.click)
        self.start.reader.textChanged.connect(self._name_soon.start)
        self._name_soon.timeout.connect(self._named)
        self.consent.back.clicked.connect(partial(self.setCurrentWidget, self.start))
        self.consent.go.clicked.connect(self.agreed)
        self.page.answered.connect(self.confirm)
        self.page.paused.connect(self.pause)
        self.rest.go.clicked.connect(self.go_on)
        self.rest.leave.clicked.connect(self.leave)
        self.keys.pressed.connect(self._pressed)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a study's folder")
        if folder:
            self.open(Path(folder))

    def _chosen(self, _index: int = 0) -> None:
        """Open the chosen study, without its key."""
        folder = self.start.study.currentData()
        self.study, problem = None, ""
        if folder is not None:
            try:
                self.study = Study.open(folder)
                self.start.show_study(self.study, not_blinded_text(self.study))
            except PathoganError as error:
                self.study, problem = None, str(error)
        if self.study is None:
            self.start.show_study(None, problem)
        self._named()

    def _named(self) -> None:
        """Say where the reader whose name stands there goes on."""
        reader, said = self.start.reader.text().strip(), "Begin"
        if self.study is not None and reader:
            try:
                said = begin_text(self.study, reader)
            except PathoganError as error:
                self.start.show_study(self.study, str(error))
        self.start.begin.setText(said)

    def _enter(self) -> None:
        self.stage = StudyStage(self.viewer, self.dock)
        self.stage.on_screen.connect(self._on_screen)
        self.stage.looked.connect(self._looked)
        self.stage.framed.connect(self._framed)
        self.stage.interrupted.connect(self.leave)
        self.stage.enter()
        self.keys.listen((self.stage.main, self.stage.frame))

    def _next(self, after: Trial) -> None:
        assert self.session is not None
        trial = self.session.trial
        if trial is None:
            self._finish()
        elif trial.block != after.block:
            assert self.stage is not None
            self.stage.blank()
            self._rest(*break_text(self.session, after), go="Go on", leave="Leave")
        else:
            self.go_on()

    def _finish(self) -> None:
        assert self.session is not None
        said = end_text(self.session)
        self.leave()
        self._rest(*said, leave="Close")

    def _rest(self, title: str, text: str, *, go: str = "", leave: str = "") -> None:
        self.rest.say(title, text, go=go, leave=leave)
        self.setCurrentWidget(self.rest)

    def _show_place(self, trial: Trial) -> None:
        assert self.session is not None
        practice = practice_of(self.session.study)
        if trial.kind == "practice":
            self.page.show_place("Practice", trial.index, practice)
        else:
            word = "Image" if len(trial.images) == 1 else "Pair"
            self.page.show_place(word, trial.index - practice, trial.total - practice)

    def _pressed(self, key: str) -> None:
        if self.currentWidget() is self.page:
            self.page.key(key)
        elif self.currentWidget() is self.rest and key in {"Enter", "Esc"}:
            (self.rest.go if key == "Enter" else self.rest.leave).click()

    def _on_screen(self) -> None:
        assert self.stage is not None
        self._watch.start()
        view = self.stage.view._asdict()
        if not self._views or view.items() - self._views[-1].items():  # not only a pause
            self._looked(self.stage.view)

    def _looked(self, view: StageView) -> None:
        """Record what is seen; of a movement, where it ended."""
        if not self.on_screen:
            return
        entry = {"t": self._watch.seconds, **view._asdict()}
        latest = self._views[-1]["t"] if len(self._views) > 1 else -VIEWS_S
        if entry["t"] - latest < VIEWS_S or len(self._views) >= MOST_VIEWS:
            self._views[-1] = entry
        else:
            self._views.append(entry)

    def _framed(self, view: StageView) -> None:
        """The window has changed, not the reader: what was seen last is seen like this now."""
        if self._views:
            self._views[-1] |= view._asdict()

    @contextmanager
    def _or_leave(self) -> Iterator[None]:
        """End the session on an error, with the viewer as it was, and say why."""
        try:
            yield
        except PathoganError as error:
            self.leave()
            show_error(str(error))
        except BaseException:
            self.leave()
            raise
