"""Training on corrections: a child process of the command line, watched from the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.plugin.learning import learning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_pathogan.engine.events import Event

EPOCHS = 5  # enough for some corrected regions, from a model that knows nuclei


def training(slides: Path, start: Path, run: Path, name: str) -> Iterator[Event]:
    """Go on with a model on the corrected slides of a folder; finishes with the new model's folder.

    The model that it starts from stays as it is.

    Parameters
    ----------
    slides
        A folder of slides with ``<slide name>.nuclei.geojson`` beside them.
    start
        The folder of the model to begin with.
    run
        A new folder for the run; the model is in its ``model/``.
    name
        Of the new model.

    Raises
    ------
    OutputError
        If the run's folder is there already.
    JobError
        If the training fails; says why.
    """
    arguments = ["nuclei", "train", str(slides), "--recipe", "quick", "--epochs", str(EPOCHS)]
    yield from learning([*arguments, "--start", str(start), "--name", name], run)
