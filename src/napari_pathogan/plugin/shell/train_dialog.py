"""What a training in a dock is asked for: what it learns from, the new model's name, settings."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from magicgui.widgets import create_widget
from napari.utils.notifications import show_warning
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QInputDialog,
    QLineEdit,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_pathogan.engine.before_after import RULE
from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.errors import ModelError, PathoganError
from napari_pathogan.plugin.shell.form import beside, button, combo, keep_lines, label
from napari_pathogan.plugin.shell.jobs import jobs_of
from napari_pathogan.plugin.shell.recipes import LAST, keep_last, recipes_of, save_recipe
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch
from napari_pathogan.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from magicgui.widgets.bases import ValueWidget

    from napari_pathogan.engine.config import TrainConfig
    from napari_pathogan.engine.task import Training
    from napari_pathogan.plugin.shell.dock import Dock

_MOST = 2**31 - 1
_WORDS = {"seed": "Draw number", "lr": "Learning rate", "ema": "Decay of average"}
_BOUNDS = "ge", "gt", "le", "lt"
_ADVANCED_PX = 220  # high
_USUAL = "As usual"
_NO_COMMAND = "What it learns from is cut out of the slide as it begins: no command has that"


@dataclass(frozen=True, slots=True)
class TrainingMaterial:
    """What can be learnt from.

    Attributes
    ----------
    source
        A folder, or what makes it for a training, called with its path: it yields events.
    about
        What it holds, in sentences.
    origin, terms
        For the model's card.
    options
        Of the command line, that belong to it.
    """

    source: Path | Callable[[Path], Iterator[Event]]
    about: str
    origin: str
    terms: str
    options: tuple[str, ...] = ()


class MoreRows(Protocol):
    """What else a dialog asks for: rows by their names, and what was answered."""

    rows: dict[str, QWidget]

    @property
    def value(self) -> Any:  # noqa: ANN401 - whatever `look` knows
        """What is in them now."""


@dataclass(frozen=True)
class Lesson:
    """What the training of a dock is: all that differs from those of other docks.

    Attributes
    ----------
    task
        What is trained.
    button, tip
        What the dock's button says.
    title, where
        Of the dialog; what its first row is called.
    place
        What is looked at first: a file, a folder, or what ``look`` knows. Raises PathoganError.
    look
        ``(place, start)`` -> what there is to learn from, in a thread. Raises PathoganError.
    ready
        Whether the chosen image is something to learn from.
    choose
        Title of the choice of another folder; empty where there is none.
    begins
        Whether the new model goes on from the chosen one (``start``), or knows nothing.
    changes
        Settings of the recipe for small data that are others here, as ``name=value``.
    fixed
        Those that can't be chosen here.
    more
        Makes further rows; is given what they call when something in them changes. ``look`` is then
        given ``(place, value)`` for the place.
    figure
        Of before and after: its name in the report, and what a reader calls it.
    """

    task: str
    button: str
    tip: str
    title: str
    where: str
    place: Callable[[], Any]
    look: Callable[[Any, Path | None], TrainingMaterial]
    ready: Callable[[], bool]
    choose: str = ""
    begins: bool = True
    changes: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    more: Callable[[Callable[[], None]], MoreRows] | None = None
    figure: tuple[str, str] = ("", "")

    @property
    def training(self) -> Training:
        """How the task is trained."""
        training = task_of(self.task).training
        assert training is not None, "a dock trains what can be trained"
        return training

    def recipe(self, start: Path | None) -> TrainConfig:
        """How it is trained unless something else is chosen."""
        task, training = task_of(self.task), self.training
        config: TrainConfig = task.get(training.recipes)[training.small]
        if start is not None:
            config = task.get(training.begin)(config, start=str(start))
        return config.adjusted(self.changes)

    def options(
        self, material: TrainingMaterial, start: Path | None, changes: tuple[str, ...]
    ) -> list[str]:
        """What is typed after the source."""
        sets = [word for change in (*self.changes, *changes) for word in ("--set", change)]
        begin = [] if start is None else ["--start", str(start)]
        return ["--recipe", self.training.small, *sets, *material.options, *begin]

    def command(
        self, material: TrainingMaterial, start: Path | None, name: str, changes: tuple[str, ...]
    ) -> str:
        """The same training as it is typed; empty where its images are made for it alone.

        Its model lies where docks and commands look for models.
        """
        if not isinstance(material.source, Path):
            return ""
        run = settings().own_model(name)
        words = self.typed(material, material.source, start, name, changes, run)
        return shlex.join(["pathogan", *words])

    def typed(  # noqa: PLR0917 - in the order in which they are typed
        self,
        material: TrainingMaterial,
        source: Path,
        start: Path | None,
        name: str,
        changes: tuple[str, ...],
        run: Path,
    ) -> tuple[str, ...]:
        """What is typed after ``pathogan`` to learn from a folder, in a run's folder."""
        words = [*task_of(self.task).words.split(), "train", str(source)]
        words += [*self.options(material, start, changes), "--name", name, "-o", str(run)]
        words += ["--source", material.origin, "--terms", material.terms]
        return (*words, "--device", settings().device)

    def looking(self, place: object, start: Path | None) -> Iterator[Event]:
        """Finish with what there is to learn from and the recipe, or with why there is nothing."""
        yield Progress(0, 0, "looking for what there is to learn from")
        ready_for_torch()
        try:
            yield Finished((self.look(place, start), self.recipe(start)))
        except PathoganError as error:
            yield Finished(f"Nothing to learn from: {error}.")


class TrainDialog(QDialog):
    """What is learnt from, what the new model is called, and how it is trained.

    Parameters
    ----------
    start
        The folder of the model that is begun with.
    name
        That is proposed.
    train
        Called with what to learn from, the start, the name, and the settings that were changed.
    """

    def __init__(
        self,
        dock: Dock,
        lesson: Lesson,
        place: object,
        *,
        start: Path | None,
        name: str,
        train: Callable[[TrainingMaterial, Path | None, str, tuple[str, ...]], None],
    ) -> None:
        super().__init__(dock)
        self.dock, self.lesson, self.start, self._train = dock, lesson, start, train
        self.material: TrainingMaterial | None = None
        self.recipe: TrainConfig | None = None
        self.setWindowTitle(lesson.title)
        self.setMinimumWidth(420)
        self.source = QLineEdit()
        self.source.setReadOnly(True)
        self.choose = button("Choose…", "Learn from another folder")
        self.choose.clicked.connect(self._choose)
        self.choose.setVisible(bool(lesson.choose))
        self.about = label("")
        keep_lines(self.about, 5)
        self.name = QLineEdit(name)
        self.name.textChanged.connect(self._enable)
        self.advanced = QToolButton()
        self.advanced.setText("Advanced")
        self.advanced.setToolTip("How it is trained")
        self.advanced.setCheckable(True)
        self.advanced.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.advanced.toggled.connect(self._show_advanced)
        self.form = SettingsForm()
        self.form.hide()
        self._add_recipes()
        self.wrong = label("")
        keep_lines(self.wrong, 5)
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.go = button("Train", "Start in the background; the viewer stays usable")
        box.addButton(self.go, QDialogButtonBox.ButtonRole.AcceptRole)
        box.addButton(self.copy, QDialogButtonBox.ButtonRole.ActionRole)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        rows = QFormLayout()
        rows.addRow(
            lesson.where, beside(self.source, self.choose) if lesson.choose else self.source
        )
        self.more = None if lesson.more is None else lesson.more(self._changed)
        for title, row in () if self.more is None else self.more.rows.items():
            rows.addRow(title, row)
        rows.addRow("", self.about)
        if lesson.figure[0]:
            rule = label(f"{RULE}.")
            keep_lines(rule, 2)
            rows.addRow("", rule)
        rows.addRow("New model", self.name)
        rows.addRow("Recipe", beside(self.recipes, self.keep))
        rows.addRow("", self.wrong)
        column = QVBoxLayout(self)
        column.addLayout(rows)
        for widget in (self.advanced, self.form, box):
            column.addWidget(widget)
        self._show_advanced(False)
        self.look(place)
        self.finished.connect(self._close)

    def _add_recipes(self) -> None:
        """Make the choice of recipes, and what keeps and copies them."""
        self.recipes = combo("How it is trained: as usual, or as you have kept under a name")
        self.recipes.activated.connect(self._take_recipe)
        self.keep = button("Save as…", "Keep the settings below under a name")
        self.keep.clicked.connect(self.save_recipe)
        self.copy = button("Copy as command", "Copy the command line that trains the same")
        self.copy.clicked.connect(self.copy_command)
        self._offer_recipes()

    @property
    def changes(self) -> tuple[str, ...]:
        """The settings that were changed, as ``name=value``."""
        return self.form.changes

    def look(self, place: object) -> None:
        """See what there is to learn from at a place."""
        self.material, self._place = None, place
        folder = place.parent if isinstance(place, Path) and not place.is_dir() else place
        self.source.setText(str(folder))
        self.about.setText("Looking for what there is to learn from…")
        self._enable()
        asked = place if self.more is None else (place, self.more.value)
        self._search = self.dock.aside(self.lesson.looking(asked, self.start), self._looked)

    def _changed(self) -> None:
        self._search.cancel()
        self.look(self._place)

    def copy_command(self, _checked: object = None) -> None:
        """Put the command line of this training on the clipboard."""
        if self.material is not None:
            name = self.name.text().strip()
            clipboard = QApplication.clipboard()
            assert clipboard is not None
            clipboard.setText(self.lesson.command(self.material, self.start, name, self.changes))
            self.copy.setText("Copied")

    def save_recipe(self, _checked: object = None) -> None:
        """Keep the settings under a name that is asked for."""
        name, said = QInputDialog.getText(self, "Save recipe", "Name of the recipe")
        if not said or not (name := name.strip()):
            return
        try:
            save_recipe(self.lesson.task, name, self.changes)
        except PathoganError as error:
            self.wrong.setText(str(error))
            return
        self._offer_recipes(name)

    def accept(self) -> None:
        """Train."""
        super().accept()
        if self.material is not None:
            try:
                keep_last(self.lesson.task, self.changes)
            except PathoganError as error:
                show_warning(f"{error}. How it is trained is not known the next time.")
            self._train(self.material, self.start, self.name.text().strip(), self.changes)

    def _looked(self, event: Finished) -> None:
        if isinstance(event.result, str):
            self.about.setText(event.result)
        else:
            self.material, recipe = event.result
            self.about.setText(self.material.about)
            if isinstance(self.material.source, Path):
                self.source.setText(str(self.material.source))
            if self.recipe is None:  # what was typed stays
                self.recipe = recipe
                self.form.show_recipe(recipe, self.lesson.fixed, self._enable)
                self.form.take(tuple(self.recipes.currentData() or ()))
        self._enable()

    def _offer_recipes(self, chosen: str = "") -> None:
        self.recipes.clear()
        self.recipes.addItem(_USUAL, ())
        known = recipes_of(self.lesson.task)
        if last := known.pop(LAST, ()):
            self.recipes.addItem(LAST, last)
        for name, changes in known.items():
            self.recipes.addItem(name, changes)
        self.recipes.setCurrentIndex(max(0, self.recipes.findText(chosen or LAST)))

    def _take_recipe(self, _at: int) -> None:
        changes = tuple(self.recipes.currentData() or ())
        left = self.form.take(changes)
        self._enable()
        if left:
            self.wrong.setText(
                f"not taken from this recipe, since it can't be chosen here: {', '.join(left)}"
            )

    def _choose(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self.lesson.choose, self.source.text())
        if chosen:
            self._search.cancel()
            self.look(Path(chosen))

    def _show_advanced(self, shown: bool) -> None:  # noqa: FBT001  (Qt passes it)
        self.advanced.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self.form.setVisible(shown)
        self.adjustSize()

    def _close(self) -> None:
        self._search.cancel()
        self.deleteLater()

    def _enable(self, _: object = None) -> None:
        why = ""
        try:
            name = self.name.text().strip()
            folder = settings().own_model(name, new=True).parent
            if name in jobs_of(self.dock).names(folder):
                raise ModelError(f"a model called {name} is being trained: choose another name")
            if self.recipe is not None:
                self.recipe.adjusted(self.changes)
        except PathoganError as error:
            why = str(error)
        self.wrong.setText(why)
        self.go.setEnabled(self.material is not None and not why)
        made = self.material is not None and not isinstance(self.material.source, Path)
        self.copy.setText("Copy as command")
        self.copy.setToolTip(_NO_COMMAND if made else "Copy the command line that trains the same")
        self.copy.setEnabled(self.go.isEnabled() and not made)
        self.keep.setEnabled(self.recipe is not None and not why)
        self.recipes.setEnabled(self.recipe is not None)


class SettingsForm(QScrollArea):
    """Numbers and choices of a recipe, each with its limits, made by magicgui."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFixedHeight(_ADVANCED_PX)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.widgets: dict[str, ValueWidget[Any]] = {}
        self._shown: dict[str, Any] = {}

    def show_recipe(
        self, recipe: TrainConfig, fixed: tuple[str, ...], changed: Callable[[object], None]
    ) -> None:
        """Offer what can be changed of a recipe."""
        for name, field in type(recipe).__pydantic_fields__.items():  # type: ignore[attr-defined]
            value = getattr(recipe, name)
            choices = getattr(field.annotation, "__args__", ())
            if name in fixed or not (
                isinstance(value, int | float) or (choices and value in choices)
            ):
                continue
            options: dict[str, Any] = {"choices": choices} if choices else {}
            if not choices and not isinstance(value, bool):
                options = _limits(value, field.metadata)
            made: Any = create_widget(value, name=name, options=options)
            made.changed.connect(changed)
            self.widgets[name] = made
        # magicgui rounds what it shows: changed is what differs from that
        self._shown = {name: widget.value for name, widget in self.widgets.items()}
        box = QWidget()
        rows = QFormLayout(box)
        for name, widget in self.widgets.items():
            rows.addRow(_WORDS.get(name) or name.replace("_", " ").capitalize(), widget.native)
        self.setWidget(box)

    def take(self, changes: tuple[str, ...]) -> list[str]:
        """Set what is given as ``name=value``, and all else as the recipe has it; returns what can't be set."""
        wanted, left = dict(self._shown), []
        for change in changes:
            name, _, text = change.partition("=")
            if name not in wanted:
                left.append(change)
                continue
            kind = type(wanted[name])
            try:
                wanted[name] = text == "True" if kind is bool else kind(text)
            except ValueError:
                left.append(change)
        for name, value in wanted.items():
            try:
                self.widgets[name].value = value
            except ValueError:  # beyond its limits, or no choice
                left.append(f"{name}={value}")
        return left

    @property
    def changes(self) -> tuple[str, ...]:
        """What differs from the recipe, as ``name=value``."""
        now = {name: widget.value for name, widget in self.widgets.items()}
        return tuple(f"{n}={value}" for n, value in now.items() if value != self._shown[n])


def _limits(value: float, metadata: list[Any]) -> dict[str, float]:
    """Limits and step of a number, from those of its field."""
    bounds = {
        kind: getattr(one, kind) for one in metadata for kind in _BOUNDS if hasattr(one, kind)
    }
    least = bounds.get("ge", bounds.get("gt", -_MOST))
    most = bounds.get("le", bounds.get("lt", _MOST))
    if isinstance(value, int):
        return {"min": least, "max": most, "step": 1}
    step = 10.0 ** (math.floor(math.log10(value)) - 1) if value else 0.01
    return {"min": least, "max": most, "step": min(step, 0.01)}
