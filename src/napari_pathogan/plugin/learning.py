"""Training in a child process of the command line, as a dock watches it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.engine.jobs import Job
from napari_pathogan.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def learning(arguments: Sequence[str], run: Path) -> Iterator[Event]:
    """Run a training command; finishes with the new model's folder.

    A training that fails, or is cancelled by closing the generator, leaves nothing behind.

    Parameters
    ----------
    arguments
        What would be typed after ``pathogan``, without ``-o``.
    run
        A new folder for the run; the model is in its ``model/``.

    Yields
    ------
    The child's events.

    Raises
    ------
    OutputError
        If the run's folder is there already.
    JobError
        If the training fails; says why.
    """
    if run.exists():
        raise OutputError(f"{run} is there already: choose another name for the new model")
    yield Progress(0, 0, "starting the training")
    model = run / "model"
    try:
        with Job.start([*arguments, "-o", str(run)]) as job:
            for event in job.events():
                if not isinstance(event, Finished):
                    yield event
    finally:
        if not model.is_dir():
            shutil.rmtree(run, ignore_errors=True)
    yield Finished(model)
