"""Every generator at hand, whichever task it belongs to, behind one door.

A reader study asks for synthetic images by name and class; it need not know which task draws
them, nor which framework.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.engine.models import ModelCard, find_models, read_card
from napari_pathogan.engine.task import chosen
from napari_pathogan.errors import ModelNotFoundError, PathoganError
from napari_pathogan.tasks import registered, task_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


class GeneratorError(PathoganError, ValueError):
    """A generator was asked for what it can't draw."""


@dataclass(frozen=True)
class GeneratorInfo:
    """A generator and what it draws.

    Attributes
    ----------
    card
        What it was trained on, and what its images are not for.
    folder
        Where it lies.
    labels
        The classes that can be asked for.
    size_px
        Side of an image in pixels.
    mpp
        Micrometres per pixel of an image.
    paints
        Whether it draws over images that it is given.
    """

    card: ModelCard
    folder: Path
    labels: tuple[str, ...]
    size_px: int
    mpp: float
    paints: bool = False


def generators(*folders: Path) -> dict[str, GeneratorInfo]:
    """Name -> every generator in the zoo and under ``folders``, such as the user's models folder.

    Cards that can't be read, or that leave out size or scale, are not listed; nor are those that
    say that their model draws nothing.
    """
    found = {}
    for task in (one for one in registered().values() if one.generator):
        for name, folder in find_models(task.name, *folders).items():
            card = read_card(folder)
            if card.patch_px and card.mpp and card.settings.get("draws", True):
                paints = bool(chosen(task.get(task.generator), {"of": None}))
                found[name] = GeneratorInfo(
                    card, folder, card.classes, card.patch_px, card.mpp, paints
                )
    return found


def generate(
    name: str,
    n: int,
    *,
    label: str | None = None,
    seed: int = 0,
    of: np.ndarray | None = None,
    device: str = "auto",
    folders: tuple[Path, ...] = (),
) -> np.ndarray:
    """Draw synthetic images.

    Parameters
    ----------
    name
        Of one of :func:`generators`, looked for in the same ``folders``.
    n
        How many.
    label
        One of the generator's labels; None draws all of them.
    seed
        The same seed draws the same images. An IDC generator gives all its classes the same
        noise, so ask for each class with a seed of its own where pairs must not look alike.
    of
        ``n`` images to paint over, uint8 (n, H, W, 3), for generators that paint.

    Returns
    -------
    uint8 (n, H, W, 3), RGB.

    Raises
    ------
    ModelNotFoundError
        If there is no such generator; the message lists those there are.
    GeneratorError
        If it knows no such label, or needs images to paint over and has none, or the other way round.
    ModelError
        If its files don't fit together.
    """
    known = generators(*folders)
    if name not in known:
        msg = f"no generator {name!r}; choose one of {', '.join(known)}"
        raise ModelNotFoundError(msg)
    info = known[name]
    if label is not None and label not in info.labels:
        msg = f"{name} can't draw {label!r}; choose one of {', '.join(info.labels)}"
        raise GeneratorError(msg)
    if info.paints != (of is not None):
        wants = "paints over images: name a folder of them" if info.paints else "paints over none"
        raise GeneratorError(f"{name} {wants} (of)")
    task = task_of(info.card.task)
    more = {} if of is None else {"of": of}
    model = task.load(info.folder, device)
    drawn: np.ndarray = task.get(task.generator)(model, n, label, seed, **more)
    return drawn
