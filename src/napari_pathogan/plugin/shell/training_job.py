"""Training in a child process of the command line, as a dock watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.engine.jobs import Job
from napari_pathogan.files import written
from napari_pathogan.kinds import NEW
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


def training_job(
    task: str,
    source: Path | Callable[[Path], Iterator[Event]],
    options: Sequence[str],
    model: Path,
    *,
    origin: str,
    terms: str,
) -> Iterator[Event]:
    """Run ``pathogan TASK train SOURCE``; finishes with the new model's folder, and the child's summary.

    The run, and what is made for it, lie in a hidden folder beside the model's until that is whole.
    A training that fails, or is cancelled by closing the generator, leaves nothing behind; what a
    kill leaves goes the next time that somebody looks for models, or writes one.

    Parameters
    ----------
    task
        What is trained.
    source
        The folder to learn from; or what makes it, for this training alone: called with its path,
        it yields events.
    options
        What would be typed after the source, without what follows here, and the preferences'
        device, on which it is trained.
    model
        The new model's folder, which is not there yet. The model has its name.
    origin, terms
        What it learns from, and under which terms: for the model's card.

    Yields
    ------
    The child's events.

    Raises
    ------
    OutputError
        If something is at the model's folder already, or it can't be written.
    JobError
        If the training fails; says why.
    """
    with written(model, NEW) as beside:
        run = beside.with_name(f"{model.name}.run")
        if callable(source):
            pool = beside.with_name(f"{model.name}.pool")
            yield from source(pool)
            source = pool
        yield Progress(0, 0, "starting the training")
        command = [
            *task_of(task).words.split(),
            "train",
            str(source),
            *options,
            "--name",
            model.name,
            "-o",
            str(run),
        ]
        command += ["--source", origin, "--terms", terms, "--device", settings().device]
        with Job.start(command) as job:
            summary: Mapping[str, Any] = {}
            for event in job.events():
                if isinstance(event, Finished):
                    summary = event.summary
                else:
                    yield event
        (run / "model").rename(beside)
    yield Finished(model, summary)
