"""Training on corrections: a child process of the command line, watched from the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.plugin.shell.learning import learning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.engine.events import Event

SOURCE, TERMS = "slides corrected in napari", "those of the corrected slides"
EPOCHS = 5  # enough for some corrected regions, from a model that knows nuclei


def training(slides: Path, start: Path, model: Path) -> Iterator[Event]:
    """Go on with a model on the corrected slides of a folder; finishes with the new model's folder.

    The model that it starts from stays as it is.

    Parameters
    ----------
    slides
        A folder of slides with ``<slide name>.nuclei.geojson`` beside them.
    start
        The folder of the model to begin with.
    model
        The new model's folder.

    Raises
    ------
    OutputError
        If the model's folder is there already.
    JobError
        If the training fails; says why.
    """
    options = ["--recipe", "quick", "--epochs", str(EPOCHS), "--start", str(start)]
    yield from learning("nuclei", slides, options, model, origin=SOURCE, terms=TERMS)
