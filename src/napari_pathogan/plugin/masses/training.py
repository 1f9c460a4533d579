"""Training a mass detector on reviews: what a folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.errors import DataFolderError
from napari_pathogan.plugin.shell.train_dialog import Lesson, TrainingMaterial
from napari_pathogan.plugin.viewer import samples
from napari_pathogan.plugin.viewer.mammogram_layers import mammogram_of
from napari_pathogan.tasks.masses import EPOCHS_ON

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.layers import Image

FOLDS, ENOUGH = 3, 6  # and patients with masses that are needed to measure anything by them
SOURCE, TERMS = "mammograms reviewed in napari", "those of the reviewed mammograms"
_OF_THE_START = ("width", "long_side", "procedural_epochs", "heads_epochs", "upper_epochs")
_SYNTHETIC = ("arm", "synthetic", "synthetic_share")


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What can be learnt from a folder.

    Attributes
    ----------
    folder
        It.
    images, patients, masses, skipped
        How many reviewed images there are, of how many patients, with how many masses, and how
        many images whose review is not finished.
    folds
        Over how many patient folds the new model is measured; 0 if it can't be.
    why
        Why it can't be; "" if it can.
    halves
        Whether what it gains is measured on halves of the patients instead.
    """

    folder: Path
    images: int
    patients: int
    masses: int
    skipped: int
    folds: int
    why: str = ""
    halves: bool = False

    def __str__(self) -> str:
        """Two sentences for the user."""
        images, masses = _count(self.images, "image"), _count(self.masses, "mass")
        text = f"{images} of {_count(self.patients, 'patient')} with {masses}"
        if self.skipped:
            text += f"; {self.skipped} left out, for findings there are not decided yet"
        if self.folds:
            return f"{text}. It is measured on patients it has not seen, in {self.folds} folds."
        if self.halves:
            return (
                f"{text}. What it gains is measured on halves of the patients that are held back."
            )
        return f"{text}. How well it does is not measured: {self.why}."


def lesson(chosen: Callable[[], Image | None]) -> Lesson:
    """What the dock trains, with a function that gives the chosen image."""

    def place() -> Path:
        layer = chosen()
        assert layer is not None, "there is no training without an image"
        path = mammogram_of(layer).path
        if path is None:
            msg = f"{layer.name} is no file: save it, open it again, and review it there"
            raise DataFolderError(msg)
        if samples.FOLDER in path.parents:
            msg = "Nothing is learnt from the sample: review mammograms of your own"
            raise DataFolderError(msg)
        return path

    return Lesson(
        task="masses",
        button="Train…",
        tip="Let the chosen model learn from all reviewed mammograms of a folder, in the "
        "background; the new model has a name of its own, and the old one stays",
        title="Train on reviewed mammograms",
        where="Reviews in",
        choose="Folder of reviewed mammograms",
        place=place,
        look=lambda place, start: material(reviewed(place, start)),
        ready=lambda: True,
        changes=(f"epochs={EPOCHS_ON}",),
        fixed=(*_SYNTHETIC, *_OF_THE_START),
        figure=("tpr_at_0.5", "share of the masses found at one false mark in two images"),
    )


def material(found: Reviewed) -> TrainingMaterial:
    """What is learnt from reviewed mammograms."""
    options = ("--folds", str(found.folds)) if found.folds else ("--compare",) * found.halves
    return TrainingMaterial(found.folder, str(found), SOURCE, TERMS, options)


def reviewed(place: Path, start: Path | None) -> Reviewed:
    """See what there is to learn from.

    Parameters
    ----------
    place
        A folder with reviewed mammograms, in folders of its own for each patient; or one of these
        mammograms: its folder, or the one above if that holds reviews of other patients.
    start
        The folder of the model to begin with.

    Raises
    ------
    DataFolderError
        If fewer than two images are reviewed, or no mass was accepted or drawn.
    """
    from napari_pathogan.tasks.masses import TASK  # noqa: PLC0415
    from napari_pathogan.tasks.masses.annotated import SUFFIX, read_annotated_folder  # noqa: PLC0415
    from napari_pathogan.tasks.masses.config import RECIPES  # noqa: PLC0415
    from napari_pathogan.tasks.masses.crossval import check  # noqa: PLC0415
    from napari_pathogan.tasks.masses.data import need_masses  # noqa: PLC0415

    assert TASK.training is not None
    folder = place if place.is_dir() else _home(place, SUFFIX)
    found = read_annotated_folder(folder)
    if len(found) < 2:
        msg = f"only one mammogram of {folder} is reviewed; review another, or one without a mass"
        raise DataFolderError(msg)
    need_masses(found)
    with_masses = len(set(found.patients[found.n_masses > 0]))
    folds, why = FOLDS, ""
    if with_masses < ENOUGH:
        folds, why = 0, f"that takes {ENOUGH} patients with masses"
    else:
        try:
            check(found, RECIPES[TASK.training.small], folds=folds, start=str(start))
        except DataFolderError as error:  # the model knows some of them, or a fold has no mass
            folds, why = 0, str(error).removesuffix(": train without --folds")
    patients = len(set(found.patients))
    masses = int(found.n_masses.sum())
    halves = not folds and with_masses > 1
    return Reviewed(folder, len(found), patients, masses, len(found.skipped), folds, why, halves)


def _home(image: Path, suffix: str) -> Path:
    own = image.parent
    stores = AnnotationStore.in_folder(own.parent, suffix, below=True)
    folders = (store.image.parent for store in stores)
    others = (one for one in folders if one != own and one.parent == own.parent)
    return own if next(others, None) is None else own.parent


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 'es' if what.endswith('s') else 's'}"
