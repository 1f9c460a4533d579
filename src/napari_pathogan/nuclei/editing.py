"""Correcting what was found: another class, a nucleus removed or drawn anew; every step undone.

The labels are edited in place, by whoever shows them, since copying those of a region at each
stroke of a brush would take long. Tables are never changed: each step makes a new segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_pathogan.nuclei.features import BOX, MEASURES, measure
from napari_pathogan.slides.geometry import Overlay

if TYPE_CHECKING:
    from napari_pathogan.nuclei.classes.naming import Naming
    from napari_pathogan.nuclei.segmentation import Segmentation
    from napari_pathogan.slides.slide import Slide

Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Step:
    """What a correction has replaced: the segmentation, and pixels of the labels if any."""

    before: Segmentation
    window: Window | None = None
    pixels: np.ndarray | None = None


class Editor:
    """Corrections of one segmentation, and the way back.

    Parameters
    ----------
    segmentation
        Its labels become the editor's own to change; numpy ones may be painted by others as well,
        who then call :meth:`repainted`.
    slide
        Where nuclei that were drawn anew are measured.

    Attributes
    ----------
    segmentation
        As corrected so far.
    """

    def __init__(self, segmentation: Segmentation, slide: Slide) -> None:
        self.segmentation = segmentation
        self.slide = slide
        self._steps: list[Step] = []
        labels = segmentation.labels
        self._known = labels.copy() if isinstance(labels, np.ndarray) else None

    def __len__(self) -> int:
        """Corrections that can be undone."""
        return len(self._steps)

    def set_class(self, nucleus: int, name: str) -> None:
        """Give a nucleus another class.

        Raises
        ------
        UnknownNucleusError
            If there is no such nucleus or class.
        """
        after = self.segmentation.with_class(nucleus, name)
        self._steps.append(Step(self.segmentation))
        self.segmentation = after

    def remove(self, nucleus: int) -> None:
        """Take a nucleus away: from the table, and its pixels from the labels.

        Raises
        ------
        UnknownNucleusError
            If there is none of that id.
        """
        before = self.segmentation
        row = before.row(nucleus)
        top, left, bottom, right = (int(v) for v in before.boxes[row])
        window = (slice(top, bottom), slice(left, right))
        pixels = np.array(before.labels[window])
        self._write(window, np.where(pixels == nucleus, 0, pixels))
        self._steps.append(Step(before, window, pixels))
        table = before.table.drop(index=before.table.index[row]).reset_index(drop=True)
        self.segmentation = replace(before, table=table, boxes=np.delete(before.boxes, row, 0))

    def repainted(self, name: str) -> set[int]:
        """Take over what was painted into the labels since the last step.

        Nuclei that have changed are measured anew and count as corrected; they keep their class.

        Parameters
        ----------
        name
            The class of nuclei that are new.

        Returns
        -------
        set of int
            The nuclei that have changed; empty if none has.
        """
        before, labels = self.segmentation, self.segmentation.labels
        if self._known is None:
            return set()
        changed = labels != self._known
        if not changed.any():
            return set()
        window = _around(changed)
        old = self._known[window].copy()
        touched = (set(np.unique(old)) | set(np.unique(labels[window]))) - {0}
        self._known[window] = labels[window]
        self._steps.append(Step(before, window, old))
        ids = np.array(sorted(touched))
        self.segmentation = measured_anew(before, self.slide, ids, window, name)
        return {int(nucleus) for nucleus in touched}

    def undo(self) -> bool:
        """Take the last correction back; False if there is none."""
        if not self._steps:
            return False
        step = self._steps.pop()
        if step.window is not None:
            assert step.pixels is not None
            self._write(step.window, step.pixels)
        self.segmentation = step.before
        return True

    def rename(self, naming: Naming, tissue: str) -> None:
        """Give the classes other names and colours; this is no step, and goes for earlier ones too."""
        self.segmentation = renamed(self.segmentation, naming, tissue)
        self._steps = [replace(s, before=renamed(s.before, naming, tissue)) for s in self._steps]

    def _write(self, window: Window, pixels: np.ndarray) -> None:
        self.segmentation.labels[window] = pixels
        if self._known is not None:
            self._known[window] = pixels


def editable(segmentation: Segmentation) -> Segmentation:
    """The same with labels of its own, in memory, that may be painted."""
    overlay = segmentation.overlay
    own = Overlay(np.array(overlay.data), overlay.origin, overlay.step)
    return replace(segmentation, overlay=own)


def renamed(segmentation: Segmentation, naming: Naming, tissue: str) -> Segmentation:
    """The same with other names and colours of the classes, in their order, for a tissue."""
    old, names = segmentation.class_names, naming.names
    table = segmentation.table.rename(
        columns={f"p_{a}": f"p_{b}" for a, b in zip(old, names, strict=True)}
    )
    table["class"] = table["class"].cat.rename_categories(list(names))
    return replace(
        segmentation,
        table=table,
        class_names=names,
        class_colours=naming.colours,
        class_note=naming.note,
        tissue=tissue,
    )


def measured_anew(
    segmentation: Segmentation, slide: Slide, ids: np.ndarray, window: Window, name: str
) -> Segmentation:
    """Measure some nuclei again after their labels were painted.

    Parameters
    ----------
    ids
        Nuclei that have changed, are new, or are gone.
    window
        Rows and columns of the labels that hold all that has changed.
    name
        The class of those that are new.
    """
    table, boxes = segmentation.table, segmentation.boxes
    old = table["id"].isin(ids).to_numpy()
    spans = np.vstack([boxes[old], [[s.start for s in window] + [s.stop for s in window]]])
    (top, left), (bottom, right) = spans[:, :2].min(0), spans[:, 2:].max(0)
    labels = np.asarray(segmentation.labels[top:bottom, left:right])
    origin, step = np.asarray(segmentation.overlay.origin), np.asarray(segmentation.overlay.step)
    corner = origin + (top, left) * step
    image = slide.resampled(tuple(corner), tuple(step), labels.shape)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, 2).astype(np.uint8)
    found = measure(np.where(np.isin(labels, ids), labels, 0), image, segmentation.pixel_um2)
    rows = pd.DataFrame({"id": found["id"].astype(table["id"].dtype)})
    for axis, at, um in (("y", 0, segmentation.mpp[0]), ("x", 1, segmentation.mpp[1])):
        rows[f"{axis}_px"] = corner[at] + (found[axis] + 0.5) * step[at] - 0.5
        rows[f"{axis}_um"] = (rows[f"{axis}_px"] + 0.5) * um
    rows[list(MEASURES)] = found[list(MEASURES)]
    known = table.loc[old].set_index("id").reindex(rows["id"])
    for column in table.columns.difference(rows.columns):
        rows[column] = known[column].to_numpy()
    rows["class"] = rows["class"].fillna(name)
    rows["class_probability"] = rows["class_probability"].fillna(1.0)
    rows["corrected"] = True
    own = found[list(BOX)].to_numpy() + np.array([top, left, top, left])
    return _joined(segmentation, ~old, rows, own)


def _joined(
    segmentation: Segmentation, kept: np.ndarray, rows: pd.DataFrame, boxes: np.ndarray
) -> Segmentation:
    """Put rows beside those that are kept, by rising id."""
    table = segmentation.table
    rows["class"] = pd.Categorical(rows["class"], categories=table["class"].cat.categories)
    rows = rows[table.columns].astype(table.dtypes.to_dict())
    whole = pd.concat([table.loc[kept], rows], ignore_index=True)
    order = np.argsort(whole["id"].to_numpy(), kind="stable")
    return replace(
        segmentation,
        table=whole.iloc[order].reset_index(drop=True),
        boxes=np.vstack([segmentation.boxes[kept], boxes]).astype(int)[order],
    )


def _around(changed: np.ndarray) -> Window:
    """The smallest window around what is True."""
    spans = []
    for axis in (1, 0):
        where = np.flatnonzero(changed.any(axis))
        spans.append(slice(int(where[0]), int(where[-1]) + 1))
    return spans[0], spans[1]
