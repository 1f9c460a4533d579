"""A table of classified patches, and reading it again. Without torch."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.saved import CellTable, reading
from napari_pathogan.files import written
from napari_pathogan.kinds import table
from napari_pathogan.slides.imprint import Imprint

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.slides.geometry import Overlay
    from napari_pathogan.tasks.virtual_stain.g2c.predict import ClassMap

COLUMNS = ("row", "col", "x_px", "y_px", "class", "probability", "alone", "changed_by")
PLACE = (  # what lays it on its slide, which earlier versions did not write
    "probability_of", "cell_x_px", "cell_y_px", "mpp_x", "mpp_y", "slide", "imprint",
)  # fmt: skip
_FOR = "for_"
CSV = table("classified cells", COLUMNS, more=(*PLACE, _FOR))


@dataclass(frozen=True, eq=False)
class SavedClasses:
    """What a table of classified patches holds.

    Attributes
    ----------
    probability, changed
        As in :class:`~.predict.ClassMap`.
    decision
        int (H, W): number of the class in ``classes``, from 1 on; 0 where there is no patch.
    classes
        In the order of the alphabet, the one whose probability it is last.
    slide, mpp, imprint
        Of the slide.
    """

    probability: Overlay
    changed: Overlay
    decision: Overlay
    classes: tuple[str, ...]
    slide: str
    mpp: tuple[float, float]
    imprint: Imprint | None


def write_csv(path: Path, result: ClassMap) -> None:
    """Write one row a patch.

    Row and column, its centre in level-0 centre coordinates, its class, the last class's
    probability, its class by the slide's own stain alone, the virtual stains that change that one
    by one; then what lays it on its slide again; and how far each stain speaks for its class against the
    mean of the others.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    said, overlay = result.said, result.probability
    stains = [f"{_FOR}{name}" for name in said.stains]
    rows = np.arange(len(said.decision))
    n = len(said.classes)
    own = said.parts[rows, :, said.decision]
    against = (said.parts.sum(2) - own) / (n - 1)
    centres = overlay.origin + (result.cells + 0.5) * overlay.step - 0.5
    place = (*map(float, (*overlay.step[::-1], *result.mpp[::-1])), result.slide)
    with written(path, CSV) as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow((*COLUMNS, *PLACE, *stains))
        for k, (row, col) in enumerate(result.cells.tolist()):
            names = zip(said.stains[1:], said.changed[k], strict=True)
            writer.writerow((
                row,
                col,
                *(round(float(v), 3) for v in centres[k, ::-1]),
                said.classes[said.decision[k]],
                round(float(overlay.data[row, col]), 5),
                said.classes[said.source_alone[k]],
                "+".join(name for name, changes in names if changes),
                said.classes[-1],
                *place,
                result.imprint or "",
                *(round(float(v), 5) for v in own[k] - against[k]),
            ))  # fmt: skip


def read_csv(path: Path) -> SavedClasses:
    """Read what :func:`write_csv` wrote.

    Raises
    ------
    ResultFormatError
        If the table is empty, incomplete, or something else.
    """
    with reading(path, "is not a whole table of classified patches"):
        table = CellTable.read(path, "no patch was classified")
        first = table.rows[0]
        step = float(first["cell_y_px"]), float(first["cell_x_px"])
        mpp = float(first["mpp_y"]), float(first["mpp_x"])
        if not all(np.isfinite(value) and value > 0 for value in (*step, *mpp)):
            msg = "patches without a size"
            raise ValueError(msg)
        called, last = [one["class"] for one in table.rows], first["probability_of"]
        classes = (*sorted({*called} - {last}), last)
        changed = [one["class"] != one["alone"] for one in table.rows]
        decision = [1 + classes.index(name) for name in called]
        return SavedClasses(
            table.overlay(table.numbers("probability").astype(np.float32), step),
            table.overlay(np.array(changed, np.float32), step),
            table.overlay(np.array(decision, np.uint8), step, 0),
            classes,
            table.slide,
            mpp,
            Imprint.read(first.get("imprint")),
        )
