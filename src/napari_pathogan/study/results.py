"""Opening the answer key: what a study found, once it is noted where and when that was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.errors import OutputError
from napari_pathogan.study.layout import read_key
from napari_pathogan.study.openings import note_opening
from napari_pathogan.study.report import report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.study.record import Study


def results(study: Study, key: Path | None = None) -> Iterator[Event]:
    """Note that the answer key is opened here, then work out all figures.

    Parameters
    ----------
    key
        The answer key; None looks beside the study's folder.

    Yields
    ------
    Event
        Progress; Warn where the opening can't be noted; Finished with the
        :class:`~.report.StudyReport`.

    Raises
    ------
    StudyError
        As :func:`~.report.report`. A key that is not this study's opens nothing.
    """
    yield Progress(0, 0, "reading the answers")
    read_key(study.folder, key, study.manifest)
    try:
        note_opening(study.folder, study.start)
    except OutputError as error:  # an archive that can't be written can't be answered in either
        yield Warn(f"that the answer key was opened could not be noted: {error}")
    yield Finished(report(study, key))
