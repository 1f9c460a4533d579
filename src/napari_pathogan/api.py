"""What programs do with this package: open, predict, train, evaluate.

The names are exported by :mod:`napari_pathogan` itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathogan import addresses
from napari_pathogan.engine import verbs
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.models import ModelCard, find_models, locate_any, read_card
from napari_pathogan.files import check
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks import registered, task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.engine.report import Report
    from napari_pathogan.engine.task import Export, Task
    from napari_pathogan.mammograms.mammogram import Mammogram

    Listener = Callable[[Event], None]

__all__ = [
    "evaluate",
    "load_model",
    "models",
    "open_mammogram",
    "open_slide",
    "predict",
    "train",
]


def open_slide(path: str | Path, *, mpp: float | None = None) -> Slide:
    """Open a slide, a file or what lies at an address; ``mpp`` is its um per pixel where it says none.

    Raises
    ------
    SlideFormatError
        If it is no slide that can be read.
    SlideReadError
        If it lies at an address that can't be reached.
    """
    return Slide.open(path, mpp=mpp)


def models(*folders: str | Path, task: str = "") -> dict[str, ModelCard]:
    """Name -> card of every model: embedded, the user's, and those under ``folders``.

    Parameters
    ----------
    task
        Those of one task alone.
    """
    names = [task_of(task).name] if task else list(registered())
    places = [Path(folder) for folder in folders]
    return {
        name: read_card(folder)
        for one in names
        for name, folder in find_models(one, *places).items()
    }


def load_model(model: str | Path, *, device: str = "auto", **options: Any) -> Any:  # noqa: ANN401
    """Load a model of any task by its name, or by its folder or its run's.

    Raises
    ------
    ModelNotFoundError, ModelError
        If there is none, or its files don't fit together.
    """
    task, folder = _task_and_folder(model)
    return task.load(folder, device, **options)


def predict(
    source: str | Path | Slide | Mammogram,
    model: str | Path,
    *,
    save: Iterable[str | Path] = (),
    device: str = "auto",
    on_event: Listener | None = None,
    **options: Any,
) -> Any:  # noqa: ANN401 - of the task
    """Apply a model to a slide or a mammogram.

    Parameters
    ----------
    source
        A file, or what :func:`open_slide` or :func:`open_mammogram` gave.
    model
        Its name or folder; it says which task it is for.
    save
        Files to write: their suffixes say as what, such as ``heat.ome.zarr``.
    on_event
        Called with each event of the work.
    options
        The task's own, as on the command line: ``region``, ``threshold``, ...

    Returns
    -------
    The task's result, such as a :class:`~napari_pathogan.tasks.idc.heatmap.HeatMap`.

    Raises
    ------
    PathoganError
        If the file, the model, an option or an output won't do; the message says which.
    """
    task, folder = _task_and_folder(model)
    if task.prediction is None:
        raise SettingError(f"{model} is a model of {task.name}, which predicts nothing")
    exports = [(_export(task, file), Path(file)) for file in save]
    files: dict[str, Path] = {}
    for export, file in exports:
        check(file, task.get(export.kind))
        if export.name in files:
            raise SettingError(f"{files[export.name]} and {file} are the same export: save one")
        files[export.name] = file
    path, opened = _where(source)
    takes = {option.name for option in task.prediction.options}
    loaded = verbs.load(task, folder, device, **{k: v for k, v in options.items() if k in takes})
    work = verbs.predict(task, path, loaded, files, opened=opened, **options)
    return _last(work, on_event).result


def train(
    task: str,
    folder: str | Path,
    output: str | Path,
    *,
    on_event: Listener | None = None,
    **options: Any,
) -> Path:
    """Train a model of a task on a folder of images; returns the new model's folder.

    Parameters
    ----------
    task
        Such as ``idc``, ``nuclei`` or ``masses``.
    folder, output
        The images, and the folder of the run, which is made; the model lies in ``output/model``.
    on_event
        Called with each event of the training.
    options
        As of :func:`~napari_pathogan.engine.verbs.train` and on the command line: ``recipe``,
        ``settings``, ``epochs``, ``seed``, ``device``, ...

    Raises
    ------
    SettingError
        If there is no such option, recipe or setting, or its value is impossible.
    DataFolderError, OutputError, TrainingDivergedError
        If the images won't do, the run can't be written, or a loss becomes infinite.
    """
    work = verbs.train(task_of(task), Path(folder), Path(output), **options)
    return Path(_last(work, on_event).summary["model"])


def evaluate(
    model: str | Path, *folders: str | Path, on_event: Listener | None = None, **options: Any
) -> Report:
    """Measure a model on labelled images.

    Parameters
    ----------
    model
        Name or folder.
    folders
        Of images and their labels, as the task reads them.
    on_event
        Called with each event of the work.
    options
        The task's own, as on the command line.

    Returns
    -------
    Figures with their 95 % intervals over patients, counts and notes.

    Raises
    ------
    ModelNotFoundError, ModelError, DataFolderError, SettingError
        If the model or the images won't do, or there is no such option.
    """
    task, folder = _task_and_folder(model)
    work = verbs.evaluate(task, *map(Path, folders), model=folder, **options)
    report: Report = _last(work, on_event).result
    return report


def _where(source: str | Path | Slide | Mammogram) -> tuple[Path, Slide | Mammogram | None]:
    if isinstance(source, str | Path):
        return addresses.place_of(source), None
    return Path(source.path or source.name), source


def _task_and_folder(model: str | Path) -> tuple[Task, Path]:
    folder = locate_any(model, *registered())
    return task_of(read_card(folder).task), folder


def _export(task: Task, path: str | Path) -> Export:
    """The export that a file's suffix asks for, the longest suffix first."""
    assert task.prediction is not None
    exports = sorted(task.prediction.exports, key=lambda one: -len(one.suffix))
    for export in exports:
        if str(path).lower().endswith(export.suffix):
            return export
    every = ", ".join(one.suffix for one in exports)
    msg = f"{path} has no suffix that says as what to save a result of {task.name}: one of {every}"
    raise SettingError(msg)


def _last(work: Iterator[Event], on_event: Listener | None) -> Finished:
    last: Event | None = None
    for last in work:
        if on_event is not None:
            on_event(last)
    assert isinstance(last, Finished), "a task ends with Finished"
    return last
