"""A deep round on annotated slides: what there is to learn from, and the command that trains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_pathogan.annotations.store import AnnotationStore
from napari_pathogan.errors import DataFolderError, ModelError
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.shell.train_dialog import Lesson, TrainingMaterial
from napari_pathogan.tasks.idc import TASK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from napari_pathogan.tasks.idc.config import DeepConfig

SOURCE, TERMS = "slides annotated in napari", "those of the annotated slides"
assert TASK.retraining is not None
_SUFFIX = TASK.retraining.suffix


@dataclass(frozen=True)
class DeepLesson(Lesson):
    """A lesson that is ``pathogan retrain idc --deep``."""

    def recipe(self, start: Path | None) -> DeepConfig:
        """How it is trained unless something else is chosen."""
        del start
        assert TASK.retraining is not None
        recipe: DeepConfig = next(iter(TASK.get(TASK.retraining.deep_recipes).values()))
        return recipe

    def typed(  # noqa: PLR0917
        self,
        material: TrainingMaterial,
        source: Path,
        start: Path | None,
        name: str,
        changes: tuple[str, ...],
        run: Path,
    ) -> tuple[str, ...]:
        """What is typed after ``pathogan``."""
        sets = [word for change in changes for word in ("--set", change)]
        words = ["retrain", "idc", "--deep", "--slides", str(source), "--base", str(start)]
        words += [*sets, *material.options, "--name", name, "-o", str(run)]
        words += ["--source", material.origin, "--terms", material.terms]
        return (*words, "--device", settings().device)


def lesson(
    place: Callable[[], Path], ready: Callable[[], bool], kinds: Callable[[], Mapping[str, str]]
) -> DeepLesson:
    """What the dock trains.

    Parameters
    ----------
    place
        Gives the chosen slide's file, with its outlines kept.
    ready
        Whether something is drawn on it.
    kinds
        Class -> what its outlines count as, where the user says so.
    """
    return DeepLesson(
        task="idc",
        button="Train deep…",
        tip="Let all layers of the chosen model's network learn from the outlines, in the background; "
        "the new model has a name of its own, and the old one stays",
        title="Train on annotations",
        where="Slides",
        choose="Folder of annotated slides",
        place=place,
        look=lambda found, start: annotated(found, start, kinds()),
        ready=ready,
        figure=("held_back_auc", "AUC"),
    )


def annotated(place: Path, start: Path | None, kinds: Mapping[str, str]) -> TrainingMaterial:
    """See what there is to learn from on a slide, or on those of a folder that are annotated.

    Raises
    ------
    DataFolderError
        If a class is missing.
    ModelError
        If the model has no network that could learn.
    """
    from napari_pathogan.engine.models import read_card  # noqa: PLC0415
    from napari_pathogan.slides.slide import Slide  # noqa: PLC0415
    from napari_pathogan.tasks.idc import live  # noqa: PLC0415

    card = read_card(start) if start is not None else None
    if card is not None and card.arguments.get("student") is False:
        msg = f"{card.name} has no network that could learn: it is a head on a frozen trunk; Live refits it"
        raise ModelError(msg)
    stores = AnnotationStore.in_folder(place, _SUFFIX) if place.is_dir() else ()
    lines, notes, total = [], [], dict[str, int]()
    for path in [store.image for store in stores] if place.is_dir() else [place]:
        with Slide.open(path) as slide:
            outlines, _ = live.read(slide)
            counts, said = live.patches_of(slide, outlines, kinds)
        lines.append(f"{path.name}: {_listed(counts)}")
        notes += said
        total = {name: total.get(name, 0) + n for name, n in counts.items()}
    if not lines:
        raise DataFolderError(f"no slide in {place} has annotations; draw some, or import them")
    if missing := [name for name, n in total.items() if not n]:
        more = f" ({notes[0]})" if notes else ""
        what = " and ".join(missing)
        raise DataFolderError(f"no {what} patch is annotated: draw around some, 200 µm wide{more}")
    about = "; ".join(lines[:3]) + f"; and {len(lines) - 3} more slides" * (len(lines) > 3)
    about += ". What it gains is measured on halves of the outlines that are held back."
    if notes:
        about += f" {notes[0]}."
    given = ", ".join(f"{name}={kind}" for name, kind in kinds.items())
    options: tuple[Any, ...] = ("--classes", given) if given else ()
    return TrainingMaterial(place, about, SOURCE, TERMS, options)


def _listed(counts: Mapping[str, int]) -> str:
    """``8 IDC and 12 healthy patches``."""
    return " and ".join(f"{n} {name}" for name, n in [*counts.items()][::-1]) + " patches"
