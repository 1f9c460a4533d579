"""The Models dock: every task's models and what came of what; cards, checks, names, going and coming."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, ClassVar

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QHeaderView,
    QInputDialog,
    QLabel,
    QMainWindow,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
)

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.errors import PathoganError
from napari_pathogan.plugin.shell.card import CardDialog, ComparisonDialog
from napari_pathogan.plugin.shell.dock import Dock
from napari_pathogan.plugin.shell.docked import Docked
from napari_pathogan.plugin.shell.form import (
    above,
    button,
    confirmed,
    evenly,
)
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.viewer.asking import MODELS, ask_folder
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch
from napari_pathogan.tasks import registered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import napari

    from napari_pathogan.library import Listed


@dataclass(frozen=True, slots=True, eq=False)
class Library(Event):
    """All models by name."""

    models: Mapping[str, Listed]


def listing(then: Callable[[], str] | None = None) -> Iterator[Event]:
    """Do something with the models, then list them; finishes with a sentence on what was done."""
    yield Progress(0, 0, "looking at models")
    ready_for_torch()
    from napari_pathogan.library import listed  # noqa: PLC0415  (imports torch)

    settings()  # notes which folder the preferences name
    said = then() if then is not None else ""
    yield Library(listed())
    yield Finished(said)


class ModelsDock(Docked):
    """A list of all models, those that came of others below them.

    Parameters
    ----------
    napari_viewer
        napari passes it.
    """

    title: ClassVar[str] = "Models"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.models: dict[str, Listed] = {}
        self.working = False
        self._build()
        self._do(None)

    # what it does

    @property
    def chosen(self) -> Listed | None:
        """The model that is chosen."""
        rows = self._rows()
        return rows[0] if len(rows) == 1 else None

    @property
    def pair(self) -> tuple[Listed, Listed] | None:
        """Two models to be compared: those that are chosen, or one with that which it came of."""
        rows = self._rows()
        if len(rows) == 1 and rows[0].parent in self.models:
            rows = [self.models[rows[0].parent], rows[0]]
        if len(rows) != 2 or rows[0].card.task != rows[1].card.task:
            return None
        first, second = rows
        return (second, first) if first.parent == second.card.name else (first, second)

    def _rows(self) -> list[Listed]:
        names = [row.data(0, Qt.ItemDataRole.UserRole) for row in self.list.selectedItems()]
        return [self.models[name] for name in names if name in self.models]

    def use(self) -> None:
        """Choose the model in the docks of its task that are open."""
        if self.chosen is not None:
            self._use(self.chosen)

    def go_back(self) -> None:
        """Choose the model that this one came of; both stay in the list."""
        if (one := self.chosen) is not None and one.parent in self.models:
            self._use(self.models[one.parent])

    def _use(self, one: Listed) -> None:
        window = above(self, QMainWindow)
        if window is None:
            return
        docks = [dock for dock in window.findChildren(Dock) if dock.task == one.card.task]
        for dock in docks:
            dock.form.model.setCurrentText(dock.model_trained(one.place))
        named = " and ".join(dock.title for dock in docks)
        self.said.setText(f"{one.card.name} is chosen in {named}." if docks else _open_first(one))

    # how

    def _build(self) -> None:
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["Model", "Figure", "MB"])
        self.list.setSelectionMode(QTreeWidget.SelectionMode.ExtendedSelection)
        self.list.setIndentation(12)
        self.list.setMinimumHeight(120)
        self.list.itemSelectionChanged.connect(self._refresh)
        self.list.itemDoubleClicked.connect(lambda *_: self._show_card())
        header = self.list.header()
        assert header is not None
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.buttons = {
            text: button(text, tip)
            for text, tip in (
                ("Card", "What it learnt from, how well it does, its limits and terms"),
                ("Use", "Choose it in the docks of its task that are open"),
                ("Check", "Whether its weights are those of its card, and can be built"),
                ("Compare", "Two that are chosen, or one and that which it came of, side by side"),
                (
                    "Go back",
                    "Choose that which it came of in the docks of its task; both stay here",
                ),
                ("Add…", "Copy a model that somebody has sent, or a run's, into your own"),
                ("Rename…", "Give a model of your own another name"),
                ("Delete", "Delete a model of your own, for good"),
            )
        }
        done = (
            self._show_card,
            self.use,
            self._check,
            self._compare,
            self.go_back,
            self._ask_folder,
            self._ask_name,
            self._delete,
        )
        for made, act in zip(self.buttons.values(), done, strict=True):
            made.clicked.connect(partial(_call, act))
        self.about, self.said = QLabel(), QLabel()
        for text in (self.about, self.said):
            text.setWordWrap(True)
        outer = QVBoxLayout(self)
        outer.setSpacing(8)
        outer.addWidget(self.list, 1)
        placed = list(self.buttons.values())
        lines = (evenly(*placed[:3]), evenly(*placed[3:5]), evenly(*placed[5:]))
        for line in (self.about, *lines, self.said):
            outer.addWidget(line)

    def _do(self, act: Callable[[], str] | None) -> None:
        """Do something with the models in the background, and list them anew."""
        self.working = True
        self._refresh()
        self.aside(
            listing(act), self._finished, self._ended, ask=act is not None, on_event=self._came
        )

    def _came(self, event: Event) -> None:
        if isinstance(event, Library):
            self.models = dict(event.models)
            self._show()

    def _finished(self, event: Finished) -> None:
        self.said.setText(event.result)
        self._ended()

    def _ended(self) -> None:
        self.working = False
        self._refresh()

    def _show(self) -> None:
        """Lay the list out: tasks, their models, and below each what came of it."""
        chosen = self.chosen.card.name if self.chosen is not None else ""
        self.list.clear()
        rows = {name: self._row(name, one) for name, one in self.models.items()}
        for task in registered().values():
            own = {n: one for n, one in self.models.items() if one.card.task == task.name}
            if not own:
                continue
            top = QTreeWidgetItem([task.title or task.help.rstrip("."), "", ""])
            top.setToolTip(0, task.help)
            top.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.list.addTopLevelItem(top)
            top.setFirstColumnSpanned(True)
            for name, one in own.items():
                (rows[one.parent] if one.parent in own and one.parent != name else top).addChild(
                    rows[name]
                )
        self.list.expandAll()
        if chosen in rows:
            rows[chosen].setSelected(True)

    @staticmethod
    def _row(name: str, one: Listed) -> QTreeWidgetItem:
        megabytes = one.size / 1e6
        size = f"{megabytes:.1f}" if megabytes >= 0.1 else "< 0.1"
        row = QTreeWidgetItem([name, one.figure, size])
        row.setData(0, Qt.ItemDataRole.UserRole, name)
        whose = "came with the program" if one.embedded else f"yours, {one.place}"
        row.setToolTip(0, f"{one.card.title} ({whose})")
        row.setToolTip(1, one.headline or "nothing was measured")
        return row

    def _refresh(self) -> None:
        one = self.chosen
        own = one is not None and not one.embedded
        there = {
            **dict.fromkeys(("Card", "Use", "Check"), one),
            "Compare": self.pair,
            "Go back": one is not None and one.parent in self.models,
            "Add…": True,
            **dict.fromkeys(("Rename…", "Delete"), own),
        }
        self.about.setText(_told(one) if one is not None else "")
        for name, made in self.buttons.items():
            at_once = name in {"Card", "Compare"}
            made.setEnabled(bool(there[name]) and (at_once or not self.working))

    def _show_card(self) -> None:
        if (one := self.chosen) is not None:
            CardDialog(one.card, one.place, self).show()

    def _compare(self) -> None:
        if self.pair is not None:
            before, after = self.pair
            ComparisonDialog(before.card, after.card, self).show()

    def _check(self) -> None:
        one = self.chosen
        assert one is not None

        def act() -> str:
            from napari_pathogan.library import verify  # noqa: PLC0415

            verify(one)
            return f"{one.card.name} is whole."

        self._do(act)

    def _ask_folder(self) -> None:
        folder = ask_folder(self, "The folder of a model, or of a run", MODELS)
        if folder is None:
            return

        def act() -> str:
            from napari_pathogan.library import add, find, listed  # noqa: PLC0415

            name = find(str(folder)).card.name
            taken = listed()
            names = (name, *(f"{name} {number}" for number in range(2, 100)))
            added = add(str(folder), next(one for one in names if one not in taken))
            return f"{added.card.name} is yours now: {added.card.title}"

        self._do(act)

    def _ask_name(self) -> None:
        one = self.chosen
        assert one is not None
        name, agreed = QInputDialog.getText(
            self, "Rename a model", f"Another name for {one.card.name}:", text=one.card.name
        )
        if not agreed or name == one.card.name:
            return

        def act() -> str:
            from napari_pathogan.library import rename  # noqa: PLC0415

            return f"{one.card.name} is called {rename(one, name).card.name} now."

        self._do(act)

    def _delete(self) -> None:
        one = self.chosen
        assert one is not None
        question = f"Delete {one.card.name}? It can't be brought back."
        if not confirmed(self, self.title, question):
            return

        def act() -> str:
            from napari_pathogan.library import remove  # noqa: PLC0415

            remove(one)
            return f"{one.card.name} is gone."

        self._do(act)


def _call(act: Callable[[], None], _checked: object = None) -> None:
    try:
        act()
    except PathoganError as error:
        show_error(str(error))


def _told(one: Listed) -> str:
    """What a model is, where it came from, and what was gained, in a few lines."""
    lines = [f"<b>{escape(one.card.title)}</b>"]
    if one.headline:
        lines.append(escape(one.headline))
    if one.made is None:
        lines.append("Came with the program")
    else:
        of = f" from {escape(one.parent)}" if one.parent else ""
        lines.append(f"Yours, of {one.made:%d %B %Y, %H:%M}{of}")
    if one.gain:
        lines.append(escape(one.gain))
    return "<br>".join(lines)


def _open_first(one: Listed) -> str:
    return f"Open the dock of {one.card.task} first: none is open that uses {one.card.name}."
