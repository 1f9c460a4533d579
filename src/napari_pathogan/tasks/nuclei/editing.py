"""Correcting what was found: another class, a nucleus removed or drawn anew; back and forth.

The labels are edited in place, by whoever shows them, since copying those of a region at each
stroke of a brush would take long. Tables are never changed: each step makes a new segmentation, and
the history holds of each the nuclei and the pixels that it has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_pathogan.errors import PathoganError
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.tasks.nuclei.features import BOX, MEASURES, measure
from napari_pathogan.tasks.nuclei.painted import Window, settle

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.nuclei.segmentation import Segmentation
    from napari_pathogan.tasks.nuclei_classes.naming import Naming


@dataclass(frozen=True, eq=False)
class NucleiRows:
    """Some nuclei of a segmentation: their rows of the table, and their rectangles."""

    table: pd.DataFrame
    boxes: np.ndarray

    @classmethod
    def of(cls, segmentation: Segmentation, ids: Collection[int]) -> NucleiRows:
        """Those of ``ids`` that are there."""
        own = segmentation.table["id"].isin(list(ids)).to_numpy()
        return cls(segmentation.table.loc[own], segmentation.boxes[own])


@dataclass(frozen=True, eq=False)
class Pixels:
    """Labels that have changed: flat indices within a window, their numbers before and after."""

    window: Window
    places: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @classmethod
    def of(cls, window: Window, before: np.ndarray, after: np.ndarray) -> Pixels:
        """What differs between two states of a window."""
        places = np.flatnonzero(before != after).astype(np.int32)
        return cls(window, places, before.flat[places], after.flat[places])


@dataclass(frozen=True, eq=False)
class Step:
    """A correction: what it replaced, and what it put there.

    Attributes
    ----------
    what
        In words, to stand after "Undo".
    before, after
        The nuclei that it has changed; one that is new, or gone, is in one of them only.
    pixels
        Of the labels, if any have changed.
    """

    what: str
    before: NucleiRows
    after: NucleiRows
    pixels: Pixels | None = None

    @property
    def ids(self) -> set[int]:
        """The nuclei that it has to do with."""
        return {int(i) for rows in (self.before, self.after) for i in rows.table["id"]}


@dataclass(frozen=True, eq=False)
class Stroke:
    """What painting has done to the nuclei.

    Attributes
    ----------
    new
        Nuclei that are new, each with the number that the brush had.
    cut
        Nuclei that were cut off another, each with the number of that.
    gone
        Nuclei of which nothing is left.
    reshaped
        Nuclei with another outline.
    crumbs
        Pieces that were too small to be a nucleus.
    """

    new: dict[int, int]
    cut: dict[int, int]
    gone: set[int]
    reshaped: set[int]
    crumbs: int


class Editor:
    """Corrections of one segmentation, one history of them: back and forth.

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
    unused
        The first number that no nucleus has ever had.
    """

    def __init__(self, segmentation: Segmentation, slide: Slide) -> None:
        self.segmentation = segmentation
        self.slide = slide
        self.unused = int(segmentation.table["id"].max()) + 1 if len(segmentation) else 1
        self._done: list[Step] = []
        self._undone: list[Step] = []
        labels = segmentation.labels
        self._known = labels.copy() if isinstance(labels, np.ndarray) else None

    def __len__(self) -> int:
        """Corrections that can be undone."""
        return len(self._done)

    @property
    def undoable(self) -> str:
        """What :meth:`undo` would take back, in words; empty if there is nothing."""
        return self._done[-1].what if self._done else ""

    @property
    def redoable(self) -> str:
        """What :meth:`redo` would do again, in words; empty if there is nothing."""
        return self._undone[-1].what if self._undone else ""

    def set_class(self, nucleus: int, name: str) -> None:
        """Give a nucleus another class.

        Raises
        ------
        UnknownNucleusError
            If there is no such nucleus or class.
        """
        after = self.segmentation.with_class(nucleus, name)
        self._take(f"class of nucleus {nucleus}", after, {nucleus})

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
        table = before.table.drop(index=before.table.index[row]).reset_index(drop=True)
        after = replace(before, table=table, boxes=np.delete(before.boxes, row, 0))
        without = np.where(pixels == nucleus, 0, pixels)
        changed = Pixels.of(window, pixels, without)
        self._take(f"deletion of nucleus {nucleus}", after, {nucleus}, changed)
        self._write(window, without)

    def repainted(self, name: str) -> Stroke | None:
        """Take over what was painted into the labels since the last step.

        Each nucleus is one piece afterwards (see :mod:`.painted`); where the labels have to be
        changed for that, they are. Nuclei that have changed are measured anew and count as
        corrected; they keep their class, and pieces have the class of the nucleus they come from.

        Parameters
        ----------
        name
            The class of nuclei that are new.

        Returns
        -------
        Stroke or None
            None if nothing was painted.

        Raises
        ------
        PathoganError
            If it can be no nucleus, or can't be measured; then the labels are as they were.
        """
        before, known = self.segmentation, self._known
        if known is None:
            return None
        boxes = dict(zip(before.table["id"].tolist(), before.boxes, strict=True))
        try:
            painting = settle(
                known, before.labels, boxes, unused=self.unused, pixel_um2=before.pixel_um2
            )
            if painting is None:
                return None
            window, pixels = painting.window, known[painting.window].copy()
            before.labels[window] = painting.labels
            differs = pixels != painting.labels
            ids = np.setdiff1d(np.union1d(pixels[differs], painting.labels[differs]), [0])
            after = measured_anew(before, self.slide, ids, window, name, cut=painting.cut)
        except PathoganError:
            before.labels[:] = known
            raise
        old, now = (
            set(NucleiRows.of(s, ids.tolist()).table["id"].tolist()) for s in (before, after)
        )
        done = Stroke(painting.new, painting.cut, old - now, old & now, painting.crumbs)
        if len(ids):
            changed = Pixels.of(window, pixels, painting.labels)
            self._take(_in_words(done), after, old | now, changed)
            self._write(window, painting.labels)
        return done

    def undo(self) -> Step | None:
        """Take the last correction back; None if there is none."""
        if not self._done:
            return None
        step = self._done.pop()
        self._undone.append(step)
        self._apply(step, back=True)
        return step

    def redo(self) -> Step | None:
        """Do again what was taken back last; None if there is nothing."""
        if not self._undone:
            return None
        step = self._undone.pop()
        self._done.append(step)
        self._apply(step, back=False)
        return step

    def rename(self, naming: Naming, tissue: str) -> None:
        """Give the classes other names and colours; this is no step, and goes for all of them too."""
        old, names = self.segmentation.class_names, naming.names
        self.segmentation = renamed(self.segmentation, naming, tissue)
        for steps in (self._done, self._undone):
            steps[:] = [
                replace(
                    step,
                    before=replace(step.before, table=_renamed(step.before.table, old, names)),
                    after=replace(step.after, table=_renamed(step.after.table, old, names)),
                )
                for step in steps
            ]

    def _take(
        self, what: str, after: Segmentation, ids: Collection[int], pixels: Pixels | None = None
    ) -> None:
        """Make a step, which has to do with the nuclei ``ids``."""
        rows = NucleiRows.of(self.segmentation, ids), NucleiRows.of(after, ids)
        self._done.append(Step(what, *rows, pixels))
        self._undone.clear()
        self.segmentation = after
        self.unused = max(self.unused, 1 + max(ids))

    def _apply(self, step: Step, *, back: bool) -> None:
        """Put the one side of a step in place of the other."""
        gone, come = (step.after, step.before) if back else (step.before, step.after)
        if step.pixels is not None:
            labels = np.array(self.segmentation.labels[step.pixels.window])
            labels.flat[step.pixels.places] = step.pixels.before if back else step.pixels.after
            self._write(step.pixels.window, labels)
        stays = ~self.segmentation.table["id"].isin(gone.table["id"]).to_numpy()
        self.segmentation = _joined(self.segmentation, stays, come.table.copy(), come.boxes)

    def _write(self, window: Window, pixels: np.ndarray) -> None:
        self.segmentation.labels[window] = pixels
        if self._known is not None:
            self._known[window] = pixels


def _in_words(stroke: Stroke) -> str:
    """What painting has done, to stand after "Undo"."""
    if stroke.cut and not stroke.new:
        return f"cut of nucleus {next(iter(stroke.cut.values()))}"
    for ids, one, many in (
        (stroke.new, "new nucleus {}", "{} new nuclei"),
        (stroke.reshaped, "outline of nucleus {}", "outlines of {} nuclei"),
        (stroke.gone, "deletion of nucleus {}", "deletion of {} nuclei"),
    ):
        if ids:
            return one.format(*ids) if len(ids) == 1 else many.format(len(ids))
    msg = "a stroke that has changed nothing is no step"
    raise AssertionError(msg)


def editable(segmentation: Segmentation) -> Segmentation:
    """The same with labels of its own, in memory, that may be painted."""
    overlay = segmentation.overlay
    own = Overlay(np.array(overlay.data), overlay.origin, overlay.step)
    return replace(segmentation, overlay=own)


def renamed(segmentation: Segmentation, naming: Naming, tissue: str) -> Segmentation:
    """The same with other names and colours of the classes, in their order, for a tissue."""
    names = naming.names
    table = _renamed(segmentation.table, segmentation.class_names, names)
    return replace(
        segmentation,
        table=table,
        class_names=names,
        class_colours=naming.colours,
        class_note=naming.note,
        tissue=tissue,
    )


def _renamed(table: pd.DataFrame, old: Sequence[str], new: Sequence[str]) -> pd.DataFrame:
    """A table with other names of the classes, in their order."""
    made = table.rename(columns={f"p_{a}": f"p_{b}" for a, b in zip(old, new, strict=True)})
    made["class"] = made["class"].cat.rename_categories(list(new))
    return made


def measured_anew(
    segmentation: Segmentation,
    slide: Slide,
    ids: np.ndarray,
    window: Window,
    name: str,
    *,
    cut: Mapping[int, int] | None = None,
) -> Segmentation:
    """Measure some nuclei again after their labels were painted.

    Parameters
    ----------
    ids
        Nuclei that have changed, are new, or are gone.
    window
        Rows and columns of the labels that hold all that has changed.
    name
        The class of those that are new; nobody has said how sure that is.
    cut
        Nuclei that were cut off another and have its class, each with the number of that.
    """
    table, boxes = segmentation.table, segmentation.boxes
    if not len(ids):
        return segmentation
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
    origins = rows["id"].replace(dict(cut or {}))
    known = table.loc[old].set_index("id").reindex(origins)
    for column in table.columns.difference(rows.columns):
        rows[column] = known[column].to_numpy()
    rows["class"] = rows["class"].fillna(name)
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
