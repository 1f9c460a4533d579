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


def results(
    study: Study, key: Path | None = None, *, against: tuple[Study, Path | None] | None = None
) -> Iterator[Event]:
    """Note that the answer key is opened here, then work out all figures.

    Parameters
    ----------
    key
        The answer key; None looks beside the study's folder.
    against
        Another study to compare with, and its key, which is opened too.

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
    both = [(study, key), *([against] if against else [])]
    for one, own_key in both:
        read_key(one.folder, own_key, one.manifest)
    for one, _ in both:
        try:
            note_opening(one.folder, one.start)
        except OutputError as error:  # an archive that can't be written can't be answered in either
            yield Warn(f"that the answer key was opened could not be noted: {error}")
    yield Finished(report(study, key, against=against))
