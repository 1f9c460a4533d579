"""The colours of nuclei in napari: of each id where they are few, of each class where many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils import Colormap, DirectLabelColormap

from napari_pathogan.tasks.nuclei.segmentation import NUCLEUS_COLOUR

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_pathogan.tasks.nuclei.segmentation import Segmentation

MAX_EDITABLE = 10_000  # nuclei in a Labels layer: recoloured in 0.2 s
MAX_EDITABLE_PX = 4096**2
FOUND_COLOUR = NUCLEUS_COLOUR

Rgba = tuple[float, float, float, float]
NOTHING: Rgba = (0.0, 0.0, 0.0, 0.0)


def palette_of(segmentation: Segmentation, hidden: Collection[str] = ()) -> np.ndarray:
    """float32 (classes + 1, 4) RGBA: nothing, then each class; hidden classes are transparent."""
    rows = [NOTHING]
    pairs = zip(segmentation.class_names, segmentation.class_colours, strict=True)
    rows += [rgba(colour, visible=name not in hidden) for name, colour in pairs]
    return np.asarray(rows, np.float32)


def can_edit(segmentation: Segmentation) -> bool:
    """Whether nuclei are few enough for labels that can be painted."""
    labels = segmentation.labels
    small = isinstance(labels, np.ndarray) and labels.size <= MAX_EDITABLE_PX
    return small and len(segmentation) <= MAX_EDITABLE


def label_colours(segmentation: Segmentation, palette: np.ndarray) -> DirectLabelColormap:
    """One colour an id: that of its class; an id that is new has the colour of what is found."""
    code = segmentation.table["class"].cat.codes.to_numpy() + 1
    colours: dict[int | None, Any] = {0: "transparent", None: FOUND_COLOUR}
    colours.update(zip(segmentation.table["id"].tolist(), palette[code], strict=True))
    return DirectLabelColormap(color_dict=colours)


def class_colours(palette: np.ndarray) -> Colormap:
    """The colour map of numbers of classes, for an image with limits 0 and ``len(palette) - 1``."""
    name = "pathogan-" + "".join(f"{round(255 * v):02x}" for v in palette.ravel())
    return Colormap(palette, interpolation="zero", name=name, display_name="classes of nuclei")


def rgba(colour: str, *, visible: bool = True) -> Rgba:
    """``#rrggbb`` as numbers from 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue, float(visible)
