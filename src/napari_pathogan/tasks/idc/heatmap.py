"""What a prediction found: probability and uncertainty on a grid, areas, outlines (no torch).

The map is laid on the slide by its :class:`Overlay`s: cell [r, c] of every array covers the
level-0 edge span ``origin + [r, c] * step`` to ``+ step``; cells that were not scored are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_pathogan.engine.report import Value
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.polygons import signed_area

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from napari_pathogan.slides.imprint import Imprint

    Cells = npt.NDArray[np.bool_]

SCOPE = (
    "Looks for invasive ductal carcinoma (IDC) of the breast only: not for carcinoma in situ, any "
    "other tumour or any other organ."
)
AFTER_ANNOTATIONS = "refitted to annotations of this slide: how much it finds was not measured"
AFTER_FIT = "fitted to this slide: how much it finds was not measured"
KEPT = "changed by annotations since it was calibrated: how much it finds was not measured"
Z95 = 1.96  # half width of a 95 % interval in standard deviations


class AreaResult(NamedTuple):
    """How much of the scored tissue is IDC at a threshold.

    Attributes
    ----------
    idc_mm2, share
        Area of tissue at or above the threshold, and its share of the scored tissue, each with
        a 95 % interval where there is one (see :meth:`HeatMap.area`).
    tissue_mm2
        Area of the scored tissue.
    n_cells
        Cells that were scored.
    threshold
        The threshold that was used.
    """

    idc_mm2: Value
    share: Value
    tissue_mm2: float
    n_cells: int
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: values with ``low`` and ``high``."""
        return {
            "idc_mm2": self.idc_mm2._asdict(),
            "share": self.share._asdict(),
            "tissue_mm2": self.tissue_mm2,
            "n_cells": self.n_cells,
            "threshold": self.threshold,
        }

    def __str__(self) -> str:
        """``IDC 12.4 mm2, 31 % of the tissue (26 to 37)``."""
        share, low, high = self.share
        area = self.idc_mm2.value or 0.0
        digits = 1 if area >= 1 or area == 0 else 2
        text = f"IDC {area:.{digits}f} mm\N{SUPERSCRIPT TWO}, {100 * (share or 0.0):.0f} % of the tissue"
        if low is None or high is None:
            return text
        return f"{text} ({100 * low:.0f} to {100 * high:.0f})"


def area_at(
    probability: np.ndarray, uncertainty: np.ndarray, tissue: np.ndarray, limit: float
) -> Value:
    """Area of cells (N,) at or above a limit, with the 95 % interval of :meth:`HeatMap.area`."""
    spread = Z95 * uncertainty
    value = float(tissue[probability >= limit].sum())
    low = min(value, float(tissue @ np.clip(probability - spread, 0, 1)))
    high = max(value, float(tissue @ np.clip(probability + spread, 0, 1)))
    return Value(value, low, high)


@dataclass(frozen=True, slots=True, eq=False)
class IdcOutline:
    """One patch of IDC: cells at or above the threshold that share edges.

    Attributes
    ----------
    exterior
        (N, 2) corners (y, x) in level-0 centre coordinates, clockwise on the screen, not closed.
    holes
        The same of each hole, counter-clockwise.
    idc_mm2
        Tissue inside, in mm2.
    probability, uncertainty
        Their means over the cells.
    n_cells
        Cells inside.
    """

    exterior: np.ndarray
    holes: tuple[np.ndarray, ...]
    idc_mm2: float
    probability: float
    uncertainty: float
    n_cells: int


@dataclass(frozen=True, eq=False)
class HeatMap:
    """IDC probability of a slide's tissue, on a grid.

    Attributes
    ----------
    probability, uncertainty
        (H, W) float32 overlays, NaN where not scored. Probabilities are calibrated; the
        uncertainty is in units of probability, one standard deviation.
    tissue
        (H, W) float32 overlay: the share of each cell that is tissue, 0 to 1.
    mpp
        Micrometres per level-0 pixel (y, x).
    mpp_source
        Where that came from (the file's metadata, the user, ...).
    threshold
        The operating point that areas and outlines use unless told otherwise.
    model
        Name of the model.
    model_line
        One line for reports: title, what it was refitted to, sha256, research use only.
    refitted
        What the model was refitted to, and that its quality was not measured since; "" of a model whose card
        says how good it is.
    slide
        Name of the slide.
    region
        What was asked for; None for the whole slide.
    notes
        What the reader should know: that the model has learnt from the slide, tiles that can't be read, a
        scale far from the model's.
    imprint
        What tells the slide from others of its name; None in results of earlier versions.
    origin
        Where QuPath counts the slide's pixels from (y, x).
    telling
        (row, column) of the cells where an annotation would say most about the rest, the best first; empty where
        that was not asked.
    """

    probability: Overlay
    uncertainty: Overlay
    tissue: Overlay
    mpp: tuple[float, float]
    threshold: float
    mpp_source: str = ""
    model: str = ""
    model_line: str = ""
    model_sha256: str = ""
    slide: str = ""
    region: Region | None = None
    notes: tuple[str, ...] = field(default=())
    imprint: Imprint | None = None
    origin: tuple[float, float] = (0.0, 0.0)
    refitted: str = ""
    telling: tuple[tuple[int, int], ...] = ()

    @property
    def scored(self) -> Cells:
        """(H, W) bool: cells that have a probability."""
        scored: Cells = np.isfinite(self.probability.data)
        return scored

    @property
    def without_interval(self) -> str:
        """Why areas have no interval, in a sentence; "" where they have one."""
        return (
            f"No interval is given, since the model was {self.refitted}." if self.refitted else ""
        )

    @property
    def cell_mm2(self) -> float:
        """Area of one cell."""
        (sy, sx), (my, mx) = self.probability.step, self.mpp
        return sy * my * sx * mx * 1e-6

    def with_threshold(self, threshold: float) -> HeatMap:
        """Give the same map with another operating point."""
        return replace(self, threshold=threshold)

    def positive(self, threshold: float | None = None) -> Cells:
        """(H, W) bool: scored cells at or above the threshold."""
        with np.errstate(invalid="ignore"):
            mask: Cells = self.probability.data >= self._threshold(threshold)
        return mask

    def area(self, threshold: float | None = None) -> AreaResult:
        """IDC area in mm2 and as a share of the scored tissue, with 95 % intervals.

        The area is that of the cells at or above the threshold, what is outlined; a cell counts
        with its tissue, not with its whole area.

        The interval is for the true area. Calibrated probabilities add up to it (tissue times
        probability, summed over cells), and their uncertainty knows how far a patient's
        probabilities may be off together; so it runs from the sum with every probability 1.96
        uncertainties lower to the sum with every one as much higher. Errors thus don't cancel
        out between cells: it is wide. It does not move with the threshold, but is widened to
        hold the area at the threshold. Tissue or stains unlike those that the model was
        calibrated on are beyond it. There is none of a model that was refitted or has learnt on, also where it
        was kept since: how far it may be off was measured before.
        """
        limit = self._threshold(threshold)
        chosen = self.scored
        tissue = self.tissue.data[chosen].astype(float) * self.cell_mm2
        total = float(tissue.sum())
        area = area_at(self.probability.data[chosen], self.uncertainty.data[chosen], tissue, limit)
        share = Value(*((v or 0.0) / total for v in area)) if total else Value(None)
        if self.refitted:
            area, share = Value(area.value), Value(share.value)
        return AreaResult(area, share, total, int(chosen.sum()), limit)

    def at(self, y: float, x: float) -> tuple[float, float] | None:
        """Probability and uncertainty at a level-0 centre coordinate; None where not scored."""
        cell = self.probability.cell(y, x)
        if cell is None or not np.isfinite(self.probability.data[cell]):
            return None
        return float(self.probability.data[cell]), float(self.uncertainty.data[cell])

    def outlines(self, threshold: float | None = None) -> list[IdcOutline]:
        """Outlines of the cells at or above the threshold, largest first.

        They follow the cells' edges exactly, so that what is drawn is what :meth:`area` counts;
        cells that only touch at a corner belong to different outlines.
        """
        mask = self.positive(threshold)
        from scipy import ndimage  # noqa: PLC0415  (slow to import)

        labels, count = ndimage.label(mask)
        rings: dict[int, list[np.ndarray]] = {label: [] for label in range(1, count + 1)}
        for ring, cell in _rings(mask):
            # the ring that goes clockwise encloses the cells, the others are holes
            rings[int(labels[cell])].insert(0 if signed_area(ring) > 0 else 1, self._place(ring))
        found = []
        for label, (exterior, *holes) in rings.items():
            cells = labels == label
            found.append(
                IdcOutline(
                    exterior,
                    tuple(holes),
                    float(self.tissue.data[cells].sum()) * self.cell_mm2,
                    float(self.probability.data[cells].mean()),
                    float(self.uncertainty.data[cells].mean()),
                    int(cells.sum()),
                )
            )
        return sorted(found, key=lambda outline: -outline.idc_mm2)

    def most_uncertain(self, k: int = 1, around: int = 2) -> list[Region]:
        """The k places where the model is least sure, most uncertain first.

        Each region is the cell and ``around`` cells on every side; the cells of one place are
        not named again, so fewer than ``k`` come back where there is little tissue.
        """
        left = np.where(self.scored, self.uncertainty.data, -np.inf)
        places: list[Region] = []
        while len(places) < k and np.isfinite(left.max(initial=-np.inf)):
            row, col = (int(i) for i in np.unravel_index(int(left.argmax()), left.shape))
            span = slice(max(row - around, 0), row + around + 1)
            left[span, max(col - around, 0) : col + around + 1] = -np.inf
            places.append(self._region(row, col, around))
        return places

    def next_places(self, k: int, around: int = 2) -> list[Region]:
        """Where to look next, the best first: where an annotation would say most, else where it is least sure."""
        if self.telling:
            return [self._region(row, col, around) for row, col in self.telling[:k]]
        return self.most_uncertain(k, around)

    def cells(self) -> Iterator[dict[str, float | int]]:
        """One dict a scored cell: row, col, centre in um, probability, uncertainty, tissue."""
        (oy, ox), (sy, sx) = self.probability.origin, self.probability.step
        for row, col in zip(*(i.tolist() for i in np.nonzero(self.scored)), strict=True):
            yield {
                "row": row,
                "col": col,
                "x_um": (ox + (col + 0.5) * sx) * self.mpp[1],
                "y_um": (oy + (row + 0.5) * sy) * self.mpp[0],
                "probability": float(self.probability.data[row, col]),
                "uncertainty": float(self.uncertainty.data[row, col]),
                "tissue": float(self.tissue.data[row, col]),
            }

    def summary(self) -> dict[str, Any]:
        """What was found, as plain JSON."""
        region = self.region
        return {
            "slide": self.slide,
            "imprint": self.imprint and str(self.imprint),
            "scope": SCOPE,
            **self.area().to_dict(),
            "mpp": list(self.mpp),
            "mpp_source": self.mpp_source,
            "cell_um": [s * m for s, m in zip(self.probability.step, self.mpp, strict=True)],
            "region": region and [region.y, region.x, region.height, region.width],
            "model": self.model,
            "model_sha256": self.model_sha256,
            "refitted": self.refitted,
            "notes": list(self.notes),
        }

    def _threshold(self, threshold: float | None) -> float:
        return self.threshold if threshold is None else threshold

    def _place(self, ring: np.ndarray) -> np.ndarray:
        """Corners of cells -> level-0 centre coordinates."""
        return np.asarray(self.probability.origin) + ring * self.probability.step - 0.5

    def _region(self, row: int, col: int, around: int) -> Region:
        (oy, ox), (sy, sx) = self.probability.origin, self.probability.step
        y, x = round(oy + (row - around) * sy), round(ox + (col - around) * sx)
        side = 2 * around + 1
        return Region(y, x, round(side * sy), round(side * sx))


# side of a cell -> its neighbour there, where the edge starts, and which way it runs (clockwise)
_SIDES = (
    ((-1, 0), (0, 0), (0, 1)),
    ((0, 1), (0, 1), (1, 0)),
    ((1, 0), (1, 1), (0, -1)),
    ((0, -1), (1, 0), (-1, 0)),
)


def _rings(mask: Cells) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """Closed rings along the edges of cells, the cells on their right; each with one such cell.

    Corners only, (N, 2) as (row, col) of the lattice. Where two cells touch at a corner, the ring
    turns right and so stays with its own cell: every edge has one successor, and rings close.
    """
    padded = np.pad(mask, 1)
    edges: dict[tuple[tuple[int, int], tuple[int, int]], tuple[int, int]] = {}
    for (dy, dx), (sy, sx), way in _SIDES:
        beyond = padded[1 + dy : padded.shape[0] - 1 + dy, 1 + dx : padded.shape[1] - 1 + dx]
        for row, col in zip(*(i.tolist() for i in np.nonzero(mask & ~beyond)), strict=True):
            edges[(row + sy, col + sx), way] = (row, col)
    left = set(edges)
    while left:
        edge = next(iter(left))
        cell, walk = edges[edge], []
        while edge in left:
            left.remove(edge)
            walk.append(edge)
            (row, col), (dy, dx) = edge
            end = (row + dy, col + dx)
            turns = ((dx, -dy), (dy, dx), (-dx, dy))  # right, straight on, left
            edge = next((end, turn) for turn in turns if (end, turn) in edges)
        ways = [way for _, way in walk]
        corners = [
            at for (at, way), before in zip(walk, ways[-1:] + ways, strict=False) if way != before
        ]
        yield np.asarray(corners, float), cell
