"""A batch from its beginning to its tables and its page."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathogan.batch import executors
from napari_pathogan.batch.folder import BatchFolder
from napari_pathogan.batch.job import SlideJob, digest_of_model, finished_record
from napari_pathogan.batch.sources import find
from napari_pathogan.batch.summary import write_summary
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.events import Event, Finished, Item, Progress, Warn
from napari_pathogan.engine.models import locate
from napari_pathogan.engine.task import called
from napari_pathogan.engine.verbs import complete
from napari_pathogan.errors import ModelNotFoundError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_pathogan.engine.task import Task


def run(
    task: Task,
    patterns: Iterable[str],
    output: Path,
    *,
    model: str | None = None,
    save: Iterable[str] = (),
    workers: int = 1,
    cluster: str = "",
    device: str = "auto",
    resume: bool = False,
    **options: Any,
) -> Iterator[Event]:
    """Apply a model to many slides; one that fails is told of, and the others are done.

    Parameters
    ----------
    patterns
        Slides, folders of them, patterns: as :func:`.sources.find`.
    output
        The batch's folder: :class:`.folder.BatchFolder`.
    model
        Name or folder; the task's own by default.
    save
        What is saved of each slide, by :func:`~napari_pathogan.engine.task.called`; what the task usually saves by default.
    workers
        Processes. One works here.
    cluster
        Address of a dask scheduler whose workers see the slides and ``output`` at the same paths.
    resume
        Go on with a batch: what is done stays, what failed is tried again, with the scale (``mpp``) that
        is given now if it was begun without.
    options
        Of the task's prediction.

    Yields
    ------
    Progress over slides, Item for each slide and Warn; Finished with the records by name. Its
    summary counts what was ``done`` now and ``before``, and names what ``failed`` and why.

    Raises
    ------
    SettingError
        If nothing is there to look at, or an option or a worker is not.
    ModelNotFoundError, ModelError, OutputError
        If the model or the folder won't do.
    """
    prediction = task.prediction
    if prediction is None:
        raise SettingError(f"nothing is predicted for {task.name}")
    options = {
        name: value.absolute() if isinstance(value, Path) else value  # as other processes find it
        for name, value in complete(prediction.options, options, task).items()
    }
    folder = BatchFolder(output.absolute())
    folder.check(resume=resume)
    notes: list[str] = []
    sources = find(task, patterns, notes.append)
    yield from map(Warn, notes)
    known = {called(one): one for one in prediction.exports}
    unknown = [name for name in save if name not in known]
    if unknown:
        raise SettingError(f"{unknown[0]!r} is not saved; choose among {', '.join(known)}")
    exports = [known[name] for name in save] or [one for one in prediction.exports if one.usual]
    if model is None:
        model = task.predicts_with
    digest = digest_of_model(task, model)
    settings = {
        "task": task.name,
        "model": model,
        "model_sha256": digest,
        "options": {
            one.name: options[one.name]
            for one in prediction.options
            if options[one.name] != one.default
        },
        "save": [called(one) for one in exports],
    }
    jobs = [
        SlideJob(
            name=name,
            source=path,
            folder=folder.results(name),
            task=task.name,
            model=_travelling(task, model),
            model_sha256=digest,
            options=options,
            exports=tuple(one.name for one in exports),
            device=device,
        )
        for name, path in sources.items()
    ]
    with folder.locked(settings, sources, resume=resume) as scale_later:
        jobs = [replace(job, scale_later=scale_later) for job in jobs]
        yield from _all(task, folder, jobs, workers, cluster)


def _all(
    task: Task, folder: BatchFolder, jobs: list[SlideJob], workers: int, cluster: str
) -> Iterator[Event]:
    records = {job.name: record for job in jobs if (record := finished_record(job)) is not None}
    before, failed = len(records), dict[str, str]()
    left = []
    for job in jobs:
        if job.name in records:
            yield Item(job.name, "done")
            continue
        try:
            folder.clear(job)
        except OutputError as error:
            failed[job.name] = str(error)
            yield from _failure(job, str(error))
        else:
            left.append(job)
            yield Item(job.name, "waits")
    work = (
        executors.on_workers(left, workers=min(workers, len(left)), address=cluster)
        if left and (cluster or workers > 1)
        else executors.here(left)
    )
    started = time.monotonic()
    try:
        with closing(work):
            for job, event in work:
                if isinstance(event, Finished):
                    records[job.name] = event.result
                    yield Item(job.name, "done")
                elif isinstance(event, executors.SlideFailedError):
                    failed[job.name] = event.message
                    folder.fail(job, event.message, event.trace)
                    yield from _failure(job, event.message)
                else:
                    yield event
                    if not isinstance(event, Item):
                        continue
                ended = len(records) - before + len(failed)
                each = (time.monotonic() - started) / ended if ended else None
                eta = each * (len(left) - ended) if each else None
                yield Progress(before + ended, len(jobs), _said(job, event, failed), eta)
    finally:
        write_summary(folder, task, [job.name for job in jobs], records, failed)
    text = f"{len(records)} of {len(jobs)} are done"
    text += f" ({before} of them before)" if before else ""
    yield Finished(
        records,
        {
            "text": f"{text}{f', {len(failed)} failed' if failed else ''}: {folder.path / 'index.html'}",
            "done": len(records) - before,
            "before": before,
            "failed": failed,
            "page": str(folder.path / "index.html"),
        },
    )


def _failure(job: SlideJob, why: str) -> Iterator[Event]:
    yield Warn(f"{job.name}: {why}")
    yield Item(job.name, "failed", message=why)


def _said(job: SlideJob, event: Event | executors.SlideFailedError, failed: dict[str, str]) -> str:
    doing = f": {event.message}" if isinstance(event, Item) and event.message else ""
    return f"{job.name}{doing}{f' ({len(failed)} failed)' if failed else ''}"


def _travelling(task: Task, model: str) -> str:
    """A model as other processes find it: a name that they know, or a folder's whole path."""
    if not model:
        return model
    try:
        inside = locate(model, task.name)
    except ModelNotFoundError:
        return model
    return str(inside.absolute()) if Path(model).exists() else model
