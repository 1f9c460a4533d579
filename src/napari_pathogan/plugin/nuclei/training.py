"""Training on corrections: what a folder holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.plugin.shell.train_dialog import Lesson, TrainingMaterial
from napari_pathogan.tasks.nuclei import EPOCHS_ON

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

SOURCE, TERMS = "slides corrected in napari", "those of the corrected slides"


def lesson(folder: Callable[[], Path | None], known: Collection[Path]) -> Lesson:
    """What the dock trains, from the chosen slide's folder if its nuclei are known to be kept."""
    return Lesson(
        task="nuclei",
        button="Train on corrections…",
        tip="Let the chosen model learn from all slides of this folder that have kept nuclei; "
        "the new model has a name of its own, and the old one stays",
        title="Train on corrections",
        where="Slides in",
        choose="Folder of slides with kept nuclei",
        place=folder,
        look=corrected,
        ready=lambda: folder() in known,
        changes=(f"epochs={EPOCHS_ON}",),
        fixed=("width", "squares", "crop", "common_epochs", "final_epochs", "least_steps"),
        figure=("dice", "Dice"),
    )


def corrected(place: Path, _start: Path | None = None) -> TrainingMaterial:
    """See what there is to learn from in a folder of slides with kept nuclei.

    Raises
    ------
    DataFolderError
        If there is nothing.
    """
    from napari_pathogan.tasks.nuclei.data import read_training_folder  # noqa: PLC0415

    found = read_training_folder(place)
    images = len(found.images)
    about = f"{images} corrected region{'' if images == 1 else 's'}"
    if found.skipped:
        about += f"; {len(found.skipped)} left out, the first: {found.skipped[0]}"
    if images < 2:
        about += ". What it gains is not measured: that takes a second region."
        return TrainingMaterial(place, about, SOURCE, TERMS)
    about += (
        ". What it gains is measured on halves that are held back, which takes as long again. Nuclei that "
        "nobody corrected are the model's own, which favours it as it was."
    )
    return TrainingMaterial(place, about, SOURCE, TERMS, ("--compare",))
