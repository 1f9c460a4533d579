"""From a folder to what a detector learns from: breasts in one frame, with masks of their masses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_pathogan.engine.events import Progress, Warn
from napari_pathogan.mammograms.breast import NoBreastError
from napari_pathogan.tasks.masses.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.tasks.masses.data import MassFolder
    from napari_pathogan.tasks.masses.frame import Grey


@dataclass(frozen=True, eq=False)
class Example:
    """A breast to learn from: float32 (h, w) in [0, 1], bool (n, h, w), and where it is from."""

    image: torch.Tensor
    masks: torch.Tensor
    synthetic: bool = False


class Framed(NamedTuple):
    """A mammogram in the detector's frame, and as an example to learn from."""

    frame: Frame
    example: Example


def framed(
    folder: MassFolder, long_side: int, grey: Grey = "shown"
) -> Generator[Event, None, dict[int, Framed]]:
    """Read all images of a folder.

    Returns
    -------
    The images by their index; an image without a breast is warned of and left out.

    Raises
    ------
    SlideFormatError, DataFolderError
        If an image can't be read, or its boxes don't fit.
    """
    found: dict[int, Framed] = {}
    for i, file in enumerate(folder.files):
        yield Progress(i, len(folder), f"reading {file.name}")
        image = folder.image(i)
        try:
            frame = Frame.of(image, long_side, grey)
        except NoBreastError as error:
            yield Warn(f"{file.name} is left out: {error}")
            continue
        masks = folder.mask(i) if len(folder.boxes[i]) else np.zeros((0, *image.shape), bool)
        made = bool(folder.synthetic[i])
        found[i] = Framed(frame, example(frame, masks, synthetic=made))
    return found


def example(frame: Frame, masks: np.ndarray, *, synthetic: bool = False) -> Example:
    """A frame and the masks (n, H, W) of its whole image, as an example to learn from."""
    if len(masks):
        own = torch.from_numpy(frame.shown(masks) > 0.5)
        own = own[own.any(2).any(1)]  # a mass that has no pixel at this scale can't be learnt
    else:
        own = torch.zeros(0, *frame.pixels.shape, dtype=torch.bool)
    return Example(torch.from_numpy(frame.pixels), own, synthetic)
