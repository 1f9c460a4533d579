"""How many nuclei there are, and what painting has done to them, in words for the dock's lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_pathogan.slides.polygons import inside

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import pandas as pd

    from napari_pathogan.tasks.nuclei.editing import Stroke
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation


def count_text(segmentation: Segmentation) -> str:
    """``348 nuclei, 4,512 per mm²``."""
    what = "nucleus" if len(segmentation) == 1 else "nuclei"
    density = segmentation.density
    return f"{len(segmentation):,} {what}" + (
        "" if math.isnan(density) else f", {density:,.0f} per mm²"
    )


def sure_text(nucleus: pd.Series) -> str:
    """``tumour 41 %``; by its shape where nothing has given it a class."""
    if math.isnan(nucleus["class_probability"]):
        return f"solidity {nucleus['solidity']:.2f}"
    return f"{nucleus['class']} {100 * nucleus['class_probability']:.0f} %"


def meanings(segmentation: Segmentation) -> Iterator[tuple[str, str, int]]:
    """Colour, name and count of each class."""
    counts = segmentation.counts()
    for colour, name in zip(segmentation.class_colours, segmentation.class_names, strict=True):
        yield colour, name, counts[name]


def stroke_text(stroke: Stroke, segmentation: Segmentation) -> str:
    """Say what a stroke has become, a sentence for each kind of change."""
    said = []
    if stroke.new:
        said.append(_new(stroke, segmentation))
    said += [
        f"{_nuclei(stroke.cut[piece])} was cut: the smaller part is {_nuclei(piece).lower()}."
        for piece in stroke.cut
    ]
    if stroke.gone:
        said.append(f"{_nuclei(*stroke.gone)} {_is(stroke.gone)} gone.")
    reshaped = stroke.reshaped - set(stroke.cut.values())
    if reshaped:
        said.append(f"{_nuclei(*reshaped)} {_has(reshaped)} a new outline.")
    if stroke.crumbs:
        said.append("What was too small for a nucleus was left out.")
    return " ".join(said)


def _new(stroke: Stroke, segmentation: Segmentation) -> str:
    first = next(iter(stroke.new))
    text = f"{_nuclei(*stroke.new)} {_is(stroke.new)} new"
    names = segmentation.class_names
    if len(names) > 1:
        text += f", {segmentation.nucleus(first)['class']}: keys 1\N{EN DASH}{len(names)} for another class"
    text += "."
    if _outside(segmentation, stroke.new):
        text += " It lies outside the region that was looked at, and is not trained on."
    return text


def _outside(segmentation: Segmentation, ids: Collection[int]) -> bool:
    """Whether any of them lies outside the polygons in which nuclei were looked for."""
    if segmentation.polygons is None:
        return False
    table = segmentation.table
    middle = table.loc[table["id"].isin(list(ids)), ["y_px", "x_px"]].to_numpy()
    return not inside(middle, None, segmentation.polygons).all()


def _nuclei(*ids: int) -> str:
    """``Nucleus 3``, ``Nuclei 3, 7``, ``12 nuclei``."""
    if len(ids) == 1:
        return f"Nucleus {ids[0]}"
    return f"Nuclei {', '.join(map(str, sorted(ids)))}" if len(ids) < 5 else f"{len(ids)} nuclei"


def _is(ids: Collection[int]) -> str:
    return "is" if len(ids) == 1 else "are"


def _has(ids: Collection[int]) -> str:
    return "has" if len(ids) == 1 else "have"
