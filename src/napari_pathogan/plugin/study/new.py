"""The dialog that makes a study: which images, how many, how they are asked about, where to."""

from __future__ import annotations

from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QDialog,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.plugin.shell.closing import may_stop
from napari_pathogan.plugin.shell.form import ProgressBar, beside, combo, hint, label
from napari_pathogan.plugin.shell.running import Run
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.study.making import Generators, find_generators, make_study, power_text
from napari_pathogan.plugin.study.sources import GeneratedList, RealList
from napari_pathogan.study.config import CONSENT
from napari_pathogan.study.layout import key_path

if TYPE_CHECKING:
    import napari

    from napari_pathogan.synthetic import GeneratorInfo

MODES = {
    "yes-no": "One image at a time: real or generated?",
    "pairs": "Pairs: which of the two is real?",
}
PLAN_MS = 200  # the sentence about power follows the numbers after this
MOST_PLANNED = 600  # images; beyond, working it out is slow, and the answer nearly certain
LOOKS = {"nearest": "as squares", "linear": "smoothly"}


class NewStudyDialog(QDialog):
    """Settings of a new study; makes it in the background.

    Parameters
    ----------
    viewer
        Whose open slides are offered.
    """

    made = Signal(object)  # the folder of the new study

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New reader study")
        self.resize(560, 640)
        self.run: Run | None = None
        self._warnings: list[str] = []
        self.name = QLineEdit("Real or generated?")
        self.name.setToolTip(
            "What the study is called; readers see it, so it must give nothing away"
        )
        self.mode = combo("How readers are asked")
        for key, text in MODES.items():
            self.mode.addItem(text, key)
        self.real, self.generated = RealList(viewer), GeneratedList()
        self.target = QLineEdit()
        hint(self.target, "a new folder")
        self.target.setToolTip("The folder that readers get; it must not exist yet")
        self.choose = QPushButton("Choose…")
        self.key = QLineEdit()
        hint(self.key, "beside the folder")
        self.key.setToolTip("The file that says which images are real: for you alone")
        self.choose_key = QPushButton("Choose…")
        apart = label(
            "Will readers answer on this computer? Then save the answer key where they can't open it: "
            "on a stick, or in a folder of your own."
        )
        self.make = QPushButton("Make the study")
        self.bar = ProgressBar()
        self.bar.hide()
        self.said = label("")
        self.said.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.tabs = QTabWidget()
        self.tabs.addTab(self._images(), "Images")
        self.tabs.addTab(self._session(), "Session")
        column = QVBoxLayout(self)
        form = QFormLayout()
        form.addRow("Name", self.name)
        form.addRow("Question", self.mode)
        column.addLayout(form)
        column.addWidget(self.tabs, 1)
        below = QFormLayout()
        below.addRow("Save in", beside(self.target, self.choose))
        below.addRow("Answer key", beside(self.key, self.choose_key))
        below.addRow(apart)
        column.addLayout(below)
        self.close_button = QPushButton("Close")
        self.close_button.clicked.connect(self.close)
        for widget in (self.said, self.bar, beside(self.make, self.close_button)):
            column.addWidget(widget)
        self._connect()
        self.search = Run(
            find_generators(settings().models_folders),
            title="Looking for generators",
            owner=self,
            on_event=self._found,
        )

    @property
    def chosen(self) -> dict[str, Any]:
        """What was chosen, as the study's settings take it."""
        return {
            "name": self.name.text().strip(),
            "mode": self.mode.currentData(),
            "real": self.real.sources,
            "generated": self.generated.sources,
            "n_real": self.real.number.value(),
            "n_generated": self.generated.number.value(),
            "seed": self.seed.value(),
            "images": {
                "size_px": self.side.value() or None,
                "mpp": self.mpp.value() or None,
                "jpeg_quality": self.jpeg.value() or None,
            },
            "session": {
                "practice": self.practice.value(),
                "repeats": self.repeats.value() / 100,
                "controls": self.controls.value(),
                "block": self.block.value(),
                "interpolation": self.look.currentData(),
                "consent": self.consent.toPlainText().strip(),
            },
            "analysis": {
                "margin": self.margin.value() / 100,
                "min_answers": self.min_answers.value(),
            },
        }

    def make_or_cancel(self) -> None:
        """Do what the button says."""
        if self.run is not None:
            self.run.cancel()
            return
        if missing := self._missing():
            show_error(missing)
            return
        folder = Path(self.target.text().strip()).expanduser()
        self._warnings = []
        self._show_running(running=True)
        self.run = Run(
            make_study(self.chosen, folder, self._key_file, settings()),
            title="Making the study",
            owner=self,
            ask=True,
            on_event=self._event_came,
            on_finished=partial(self._finished, folder),
            on_stopped=self._stopped,
        )

    def _missing(self) -> str:
        """What has to be said before a study can be made; empty if nothing is missing."""
        if not self.name.text().strip():
            return "Give the study a name, which readers see"
        for what, listed in (("real", self.real), ("generated", self.generated)):
            if not listed.sources:
                return (
                    f"Add {what} images: 'Add' below '{what.capitalize()} images' lists where from"
                )
        slides = any("slides" in one for one in (*self.real.sources, *self.generated.sources))
        if slides and not (self.side.value() and self.mpp.value()):
            return "Patches from slides need 'Side of all images' and 'Patches from slides': fill in both"
        if not self.target.text().strip():
            return "Say where to save the study: a folder that does not exist yet"
        return ""

    def done(self, result: int) -> None:
        """Close; while a study is made, only if the user agrees to stop that."""
        if may_stop(self):
            self.stop()
            super().done(result)

    def stop(self) -> None:
        """Cancel what runs, which leaves nothing behind."""
        for run in (self.run, self.search):
            if run is not None:
                run.cancel()

    # how

    def _images(self) -> QWidget:
        page, form = QWidget(), QFormLayout()
        self.power = label("")
        self._planning = QTimer(self)
        self._planning.setSingleShot(True)
        self._planning.setInterval(PLAN_MS)
        self._planning.timeout.connect(self._plan)
        self.side = spin(
            0, 4096, 0, " px", "Side of all images; images of other sizes are resampled"
        )
        self.side.setSpecialValueText("the smallest there is")
        self.mpp = QDoubleSpinBox()
        self.mpp.setRange(0, 100)
        self.mpp.setDecimals(3)
        self.mpp.setSuffix(" µm/px")
        self.mpp.setSpecialValueText("only needed for slides")
        self.mpp.setToolTip("How many micrometres a pixel of a patch spans: 0.25 is a 40x scan")
        self.jpeg = spin(
            0,
            100,
            0,
            "",
            "Real images have often been compressed. Generated ones have not, and that can be seen: "
            "let all pass through the same compression",
        )
        self.jpeg.setSpecialValueText("leave as they are")
        self.seed = spin(0, 2**31 - 1, 0, "", "The same number draws the same images again")
        form.addRow("Side of all images", self.side)
        form.addRow("Patches from slides", self.mpp)
        form.addRow("JPEG quality of all", self.jpeg)
        form.addRow("Draw number", self.seed)
        column = QVBoxLayout(page)
        column.addWidget(self.real, 1)
        column.addWidget(self.generated, 1)
        column.addLayout(form)
        column.addWidget(self.power)
        return page

    def _session(self) -> QWidget:
        page = QWidget()
        form = QFormLayout(page)
        self.practice = spin(0, 50, 6, " images", "Shown before the study; they do not count")
        self.repeats = spin(
            0, 50, 10, " %", "Shown a second time: does a reader agree with themselves?"
        )
        self.controls = spin(
            0, 20, 2, " images", "They only say what to answer: was the reader awake?"
        )
        self.block = spin(2, 1000, 20, " images", "A break is offered after so many images")
        self.margin = spin(
            1,
            49,
            10,
            " points",
            "An accuracy within 50 % ± so many points counts as equivalent to guessing. "
            "It is fixed now and can't be changed later.",
        )
        self.min_answers = spin(
            0,
            5000,
            10,
            " of each kind",
            "A reader who has judged fewer real or fewer generated images (or fewer than half of "
            "them, where that is less) is listed, but counts in no figure. "
            "It is fixed now and can't be changed later.",
        )
        self.look = combo("How pixels are magnified, for all readers alike")
        for key, text in LOOKS.items():
            self.look.addItem(text, key)
        self.consent = QPlainTextEdit(CONSENT)
        self.consent.setToolTip("Readers agree to this before the first image")
        form.addRow("Practice", self.practice)
        form.addRow("Shown twice", self.repeats)
        form.addRow("Attention checks", self.controls)
        form.addRow("Break after", self.block)
        form.addRow("Margin of equivalence ±", self.margin)
        form.addRow("Answers for a reader to count", self.min_answers)
        form.addRow("Pixels are shown", self.look)
        form.addRow("Consent text", self.consent)
        return page

    def _connect(self) -> None:
        self.make.clicked.connect(self.make_or_cancel)
        self.choose.clicked.connect(self._ask_target)
        self.choose_key.clicked.connect(self._ask_key)
        self.generated.taken.connect(self._generator_taken)
        self.mode.currentIndexChanged.connect(self._mode_chosen)
        self.real.number.valueChanged.connect(self._mode_chosen)
        for box in (self.real.number, self.generated.number, self.margin):
            box.valueChanged.connect(self._plan_soon)
        self.mode.currentIndexChanged.connect(self._plan_soon)
        self._planning.start()

    def _ask_target(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Folder of the new study", "reader-study")
        if path:
            self.target.setText(path)

    def _ask_key(self) -> None:
        name = f"{Path(self.target.text().strip() or 'reader-study').name}.key.json"
        path, _ = QFileDialog.getSaveFileName(self, "File of the answer key", name, "*.json")
        if path:
            self.key.setText(path)

    @property
    def _key_file(self) -> Path | None:
        chosen = self.key.text().strip()
        return Path(chosen).expanduser() if chosen else None

    def _mode_chosen(self, _value: object = None) -> None:
        """Pairs take as many generated images as real ones."""
        pairs = self.mode.currentData() == "pairs"
        self.generated.number.setEnabled(not pairs)
        if pairs:
            self.generated.number.setValue(self.real.number.value())

    def _plan_soon(self, _value: object = None) -> None:
        self._planning.start()

    def _plan(self) -> None:
        """Say what so many images could show."""
        pairs = self.mode.currentData() == "pairs"
        n = self.real.number.value() + (0 if pairs else self.generated.number.value())
        self.power.setText(power_text(n, self.margin.value() / 100) if n <= MOST_PLANNED else "")

    def _generator_taken(self, info: GeneratorInfo) -> None:
        """Suggest the generator's size and scale for the real patches."""
        if not self.side.value():
            self.side.setValue(info.size_px)
        if not self.mpp.value():
            self.mpp.setValue(info.mpp)

    def _found(self, event: Event) -> None:
        if isinstance(event, Generators):
            self.generated.offer(event.known)

    def _event_came(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            self.said.setText(event.what[:1].upper() + event.what[1:])
        elif isinstance(event, Warn):
            self._warnings.append(event.message)

    def _finished(self, folder: Path, event: Finished) -> None:
        self._show_running(running=False)
        notes = "".join(f"<br>• {escape(warning)}" for warning in self._warnings)
        key = Path(event.summary["key"])
        warning = (
            "It lies beside the folder: readers on this computer could open it. Move it to a place that "
            "only you can reach."
            if key == key_path(folder)
            else "Keep it apart from the folder."
        )
        self.said.setText(
            f"<b>The study is made.</b> Give readers the folder<br>{escape(str(folder))}<br>"
            f"The answer key, which says which images are real:<br>{escape(str(key))}<br>"
            f"<b>{warning}</b> Without it there are no results.{notes}"
        )
        self.made.emit(folder)

    def _stopped(self) -> None:
        why = self.run.failure if self.run is not None else ""
        self._show_running(running=False)
        self.said.setText(escape(f"{(why or 'Stopped').rstrip('.')}. Nothing was made."))

    def _show_running(self, *, running: bool) -> None:
        if not running:
            self.run = None
        self.make.setText("Cancel" if running else "Make the study")
        self.bar.setRange(0, 0 if running else 1)
        self.bar.setVisible(running)
        for widget in (
            *(self.tabs, self.name, self.mode, self.target, self.choose),
            *(self.key, self.choose_key),
        ):
            widget.setEnabled(not running)


def spin(low: int, high: int, value: int, suffix: str, tip: str) -> QSpinBox:
    """Give a spin box."""
    box = QSpinBox()
    box.setRange(low, high)
    box.setValue(value)
    box.setSuffix(suffix)
    box.setToolTip(tip)
    return box
