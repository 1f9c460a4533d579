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
    """

    def __init__(
        self,
        dock: Dock,
        task: str,
        tip: str,
        suggested: Callable[[], str],
        save: Callable[[Export, Path], None],
    ) -> None:
        super().__init__("Export")
        self.setToolTip(tip)
        self._dock, self._suggested, self._save = dock, suggested, save
        menu = QMenu(self)
        for export in exports(task).values():
            action = QAction(export.title, menu)
            action.triggered.connect(partial(self._ask, export))
            menu.addAction(action)
        self.setMenu(menu)

    def _ask(self, export: Export, _checked: object = None) -> None:
        name = f"{self._suggested()}{export.suffix}"
        path = ask_target(
            self._dock,
            export.title,
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
    form.status.setText(f"Saved {', '.join(path.name for path in event.result)}")
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
