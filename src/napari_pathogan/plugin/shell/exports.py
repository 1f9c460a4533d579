"""What a dock's result can be saved as: its task's exports, a button with them, and saving."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import QMenu, QPushButton

from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.task import chosen
from napari_pathogan.files import check
from napari_pathogan.plugin.viewer.asking import RESULTS, ask_target
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch
from napari_pathogan.plugin.viewer.layers import path_of
from napari_pathogan.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_pathogan.engine.task import Export
    from napari_pathogan.plugin.shell.dock import Dock
    from napari_pathogan.plugin.shell.form import Form


def exports(task: str) -> dict[str, Export]:
    """Option of the command line -> what results of a task can be saved as."""
    prediction = task_of(task).prediction
    return {one.name: one for one in prediction.exports} if prediction else {}


class ExportButton(QPushButton):
    """A button with a menu of all exports of a task, which asks for the file.

    Parameters
    ----------
    suggested
        Gives the file's name without suffix.
    save
        Is called with an export and the file that was chosen.
    sources
        Gives what is saved of: a file each. By default it is one.
    """

    def __init__(  # noqa: PLR0917
        self,
        dock: Dock,
        task: str,
        tip: str,
        suggested: Callable[[], str],
        save: Callable[[Export, Path], None],
        sources: Callable[[], Sequence[Any]] = tuple,
    ) -> None:
        super().__init__("Export")
        self.setToolTip(tip)
        self._dock, self._suggested, self._save, self._sources = dock, suggested, save, sources
        self._task = task_of(task)
        menu = QMenu(self)
        self._actions = {}
        for name, export in exports(task).items():
            action = self._actions[name] = QAction(export.title, menu)
            action.triggered.connect(partial(self._ask, export))
            menu.addAction(action)
        menu.aboutToShow.connect(self._say_what_can_be)
        self.setMenu(menu)

    def _say_what_can_be(self) -> None:
        """Grey out what can't be saved of these, and say why."""
        for name, export in exports(self._task.name).items():
            why = ""
            if export.lacks:
                lacks = self._task.get(export.lacks)
                why = next(filter(None, map(lacks, self._sources())), "")
            self._actions[name].setEnabled(not why)
            self._actions[name].setText(f"{export.title}: {why}" if why else export.title)

    def _ask(self, export: Export, _checked: object = None) -> None:
        stem, sources = self._suggested(), self._sources()
        name, title = f"{stem}{export.suffix}", export.title
        if len(sources) > 1:
            first, *_ = _names(stem, [source.name for source in sources])
            title = f"{title}: {len(sources)} files, called {first}{export.suffix} and so on"
        path = ask_target(
            self._dock,
            title,
            name,
            f"*{export.suffix}",
            RESULTS,
            beside=path_of(self._dock.layer),
        )
        if path is not None:
            self._save(export, path)


def saving(
    task: str, export: Export, found: Sequence[tuple[Any, Any]], path: Path
) -> Iterator[Event]:
    """Save results, a file each: ``masses.json``, or ``masses-RCC.json`` and so on for several.

    The suffix is added where it is missing. What takes long says how far it is. What the docks have said
    of a slide or mammogram already is not said again. Finishes with the paths.

    Parameters
    ----------
    found
        Slides or mammograms, and the results of each.

    Raises
    ------
    OutputError
        If one of them can't be written; nothing is then written, as far as that is known before.
    """
    ready_for_torch()
    own = task_of(task)
    cut = path.name.lower().endswith(export.suffix)
    stem = path.name[: -len(export.suffix)] if cut else path.name
    names = [stem] if len(found) == 1 else _names(stem, [source.name for source, _ in found])
    paths = [path.with_name(name + export.suffix) for name in names]
    for target in paths:
        check(target, own.get(export.kind))
    write = own.get(export.write)
    for done, (target, (source, result)) in enumerate(zip(paths, found, strict=True)):
        yield Progress(done, len(paths) if done else 0, f"saving {target.name}")
        said = set(source.notes)
        writing = write(target, result, **chosen(write, {"source": source}))
        if isinstance(writing, Iterator):
            yield from (
                event
                for event in writing
                if not (isinstance(event, Warn) and event.message in said)
            )
    yield Finished(paths)


def say_saved(form: Form, event: Finished) -> None:
    """Say which files were saved, and on hovering where."""
    names = ", ".join(path.name for path in event.result)
    several = f"{len(event.result)} files, one a view: " if len(event.result) > 1 else ""
    form.status.setText(f"Saved {several}{names}")
    form.status.setToolTip(
        str(event.result[0] if len(event.result) == 1 else event.result[0].parent)
    )


def _names(stem: str, views: Sequence[str]) -> list[str]:
    """A name a view; the second of one name is numbered."""
    names: list[str] = []
    for view in views:
        own = f"{stem}-{view.replace(': ', '-')}"  # "1: RCC" where several examinations are open
        name, count = own, 1
        while name in names:
            count += 1
            name = f"{own}-{count}"
        names.append(name)
    return names
