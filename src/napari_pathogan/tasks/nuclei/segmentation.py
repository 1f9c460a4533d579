"""What a segmentation found: nuclei as labels laid on the slide, and a table of them (no torch).

Pixel [r, c] of the labels covers the level-0 edge span ``origin + [r, c] * step`` to ``+ step``
of its :class:`Overlay`; its number is the ``id`` of the nucleus it belongs to, 0 for none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.errors import PathoganError
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.tasks.nuclei import outlines
from napari_pathogan.tasks.nuclei_classes.naming import LEARNT, UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd
    import zarr

    from napari_pathogan.files import TemporaryRoom
    from napari_pathogan.slides.imprint import Imprint

NUCLEUS, NUCLEUS_COLOUR = "nucleus", "#20b2aa"  # the one class of nuclei that nobody has classified
SCOPE = "Looks for nuclei only: it finds no tumour and grades nothing."
WINDOW = 1024  # pixels per side of what is traced at once
COLUMNS = (
    "id",
    "x_um",
    "y_um",
    "x_px",
    "y_px",
    "area_um2",
    "eccentricity",
    "solidity",
    "haematoxylin_mean",
    "class",
    "class_probability",
    "corrected",
)


class UnknownNucleusError(PathoganError, KeyError):
    """No nucleus of that id, or no class of that name, in a segmentation."""

    __str__ = Exception.__str__  # a KeyError would show its message in quotes


class ClassImage:
    """The class of each pixel, looked up as it is read: an array as far as napari and zarr care.

    Parameters
    ----------
    labels
        (H, W) int32 in zarr.
    lut
        uint8: id -> number of its class.
    """

    def __init__(self, labels: zarr.Array[Any], lut: np.ndarray) -> None:
        self._labels, self._lut = labels, lut
        self.shape, self.ndim, self.dtype = labels.shape, 2, np.dtype(np.uint8)
        self.chunks = labels.chunks

    def __getitem__(self, key: Any) -> np.ndarray:  # noqa: ANN401 - what arrays take
        found: np.ndarray = self._lut[np.asarray(self._labels[key])]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: ANN401, FBT001
        del copy  # looking up always makes a new array
        return self[:].astype(dtype or self.dtype)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The nuclei of a slide, or of a region of it.

    Attributes
    ----------
    slide
        Name of the slide.
    overlay
        (H, W) int32 labels, exactly where they lie on level 0: numpy, or for large slides a zarr
        array in a temporary folder, which lives as long as the segmentation.
    table
        One row a nucleus, rising ids: ``id``, ``x_um``, ``y_um`` (centroid, from the slide's upper
        left corner), ``x_px``, ``y_px`` (the same in level-0 centre coordinates), ``area_um2``,
        ``eccentricity``, ``solidity``, ``haematoxylin_mean`` (see :mod:`.features`), ``class``
        (categorical), ``class_probability`` (NaN without a class model), ``corrected`` (bool: by
        the user's hand), and ``p_<name>`` for each class of the model.
    boxes
        (N, 4) int: the rectangle around each nucleus, row by row of the table, in pixels of the
        labels: top, left, bottom, right (the last two exclusive).
    mpp
        Micrometres per level-0 pixel (y, x).
    area_mm2
        The tissue that was looked at.
    class_names, class_colours
        Names, and colours as ``#rrggbb``; the one class ``nucleus`` without a class model.
    mpp_source
        Where the scale came from (the file's metadata, the user, ...).
    model, model_line, model_sha256
        Name of the model, one line for reports, and the hash of its weights.
    class_model
        Name of the class model; empty without one.
    class_note
        What has to be said beside the names of a model's classes: that they were found without
        labels, and where they were checked.
    tissue
        The organ, as the user says; empty where nobody has said.
    region, polygons
        What was asked for: a rectangle, and polygons (N, 2) in level-0 centre coordinates inside
        it; None for the whole slide.
    notes
        What the reader should know: tiles that can't be read, a scale far from the model's.
    imprint
        What tells the slide from others of its name; None in results of earlier versions.
    origin
        Where QuPath counts the slide's pixels from (y, x).
    room
        The temporary folder of zarr labels; deleted with the last segmentation that uses it.
    """

    slide: str
    overlay: Overlay
    table: pd.DataFrame
    boxes: np.ndarray
    mpp: tuple[float, float]
    area_mm2: float
    class_names: tuple[str, ...] = (NUCLEUS,)
    class_colours: tuple[str, ...] = (NUCLEUS_COLOUR,)
    mpp_source: str = ""
    model: str = ""
    model_line: str = ""
    model_sha256: str = ""
    class_model: str = ""
    class_note: str = ""
    tissue: str = ""
    region: Region | None = None
    polygons: tuple[np.ndarray, ...] | None = None
    notes: tuple[str, ...] = field(default=())
    imprint: Imprint | None = None
    origin: tuple[float, float] = (0.0, 0.0)
    room: TemporaryRoom | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> Any:  # noqa: ANN401 - numpy or zarr, which read alike
        """(H, W) int32, 0 where there is no nucleus: numpy or zarr."""
        return self.overlay.data

    @property
    def pixel_um2(self) -> float:
        """Area of one pixel of the labels."""
        (sy, sx), (my, mx) = self.overlay.step, self.mpp
        return sy * my * sx * mx

    def row(self, nucleus: int) -> int:
        """Where a nucleus stands in the table.

        Raises
        ------
        UnknownNucleusError
            If there is none of that id.
        """
        ids = self.table["id"].to_numpy()
        row = int(np.searchsorted(ids, nucleus))
        if row == len(ids) or ids[row] != nucleus:
            msg = f"{self.slide} has no nucleus {nucleus}; it may have been removed"
            raise UnknownNucleusError(msg)
        return row

    def nucleus(self, nucleus: int) -> pd.Series:
        """Its row of the table.

        Raises
        ------
        UnknownNucleusError
            If there is none of that id.
        """
        return self.table.iloc[self.row(nucleus)]

    def at(self, y: float, x: float) -> int | None:
        """The nucleus at a level-0 centre coordinate; None where there is none."""
        cell = self.overlay.cell(y, x)
        return None if cell is None else int(self.labels[cell]) or None

    def around(self, nucleus: int, margin_um: float = 0.0) -> Region:
        """The smallest rectangle of level-0 pixels around a nucleus, and a margin.

        Raises
        ------
        UnknownNucleusError
            If there is none of that id.
        """
        origin, step = np.asarray(self.overlay.origin), np.asarray(self.overlay.step)
        box = self.boxes[self.row(nucleus)].reshape(2, 2)
        margin = margin_um / np.asarray(self.mpp)
        y, x = (int(v) for v in np.floor(origin + box[0] * step - margin))
        bottom, right = (int(v) for v in np.ceil(origin + box[1] * step + margin))
        return Region(y, x, bottom - y, right - x)

    def traced(self, rows: np.ndarray) -> Iterator[outlines.NucleusOutline]:
        """Outlines of nuclei, by their rows of the table; they should lie near each other."""
        top, left = self.boxes[rows, :2].min(0).tolist()
        bottom, right = self.boxes[rows, 2:].max(0).tolist()
        window, step = np.asarray(self.labels[top:bottom, left:right]), self.overlay.step
        origin = np.asarray(self.overlay.origin) + (top, left) * np.asarray(step) - 0.5
        place = (float(origin[0]), float(origin[1]))
        numbers = self.table["id"].to_numpy()[rows]
        yield from outlines.trace(window, numbers, origin=place, step=step)

    def outlines(self, ids: Iterable[int] | None = None) -> Iterator[outlines.NucleusOutline]:
        """Outlines of some nuclei or all, along the edges of their pixels, in level-0 pixels.

        Yields
        ------
        Outline
            Neighbours together, each with its ``id``.

        Raises
        ------
        UnknownNucleusError
            If there is none of such an id.
        """
        rows = None
        if ids is not None:
            rows = np.unique([self.row(nucleus) for nucleus in ids]).astype(int)
        for part in self.neighbours(rows):
            yield from self.traced(part)

    def neighbours(self, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Rows of the table, or all, in groups that lie in one window."""
        rows = np.arange(len(self)) if rows is None else rows
        if not len(rows):
            return
        place = self.boxes[rows, :2] // WINDOW
        key = place[:, 0] * (place[:, 1].max() + 1) + place[:, 1]
        order = np.argsort(key, kind="stable")
        yield from np.split(rows[order], np.flatnonzero(np.diff(key[order])) + 1)

    def counts(self) -> dict[str, int]:
        """Nuclei of each class."""
        return {name: int(n) for name, n in zip(self.class_names, self._counts(), strict=True)}

    def densities(self) -> dict[str, float]:
        """Nuclei of each class per mm2 of the tissue that was looked at."""
        area = self.area_mm2 or float("nan")
        return {name: count / area for name, count in self.counts().items()}

    @property
    def density(self) -> float:
        """Nuclei per mm2 of the tissue that was looked at."""
        return len(self) / (self.area_mm2 or float("nan"))

    def with_class(self, nucleus: int, name: str) -> Segmentation:
        """The same with one nucleus corrected to a class, by its name.

        Raises
        ------
        UnknownNucleusError
            If there is no such nucleus or class.
        """
        row = self.row(nucleus)
        if name not in self.class_names:
            msg = f"no class {name!r} here; choose {' or '.join(self.class_names)}"
            raise UnknownNucleusError(msg)
        table = self.table.copy()
        table.loc[row, ["class", "class_probability", "corrected"]] = [name, 1.0, True]
        return replace(self, table=table)

    def lut(self) -> np.ndarray:
        """uint8 of id -> number of its class from 1 on, as in ``class_names``; 0 for no nucleus."""
        table = np.zeros(int(self.table["id"].max()) + 1 if len(self) else 1, np.uint8)
        table[self.table["id"].to_numpy()] = self._codes() + 1
        return table

    def class_image(self) -> Any:  # noqa: ANN401 - numpy or ClassImage, which read alike
        """(H, W) uint8: ``lut()[labels]``, lazy where the labels are."""
        if isinstance(self.labels, np.ndarray):
            return self.lut()[self.labels]
        return ClassImage(self.labels, self.lut())

    def summary(self) -> dict[str, Any]:
        """What was found, as plain JSON."""
        region = self.region
        return {
            "slide": self.slide,
            "imprint": self.imprint and str(self.imprint),
            "scope": SCOPE,
            "n_nuclei": len(self),
            "density_per_mm2": len(self) / self.area_mm2 if self.area_mm2 else None,
            "classes": {
                name: {"n": n, "per_mm2": n / self.area_mm2 if self.area_mm2 else None}
                for name, n in self.counts().items()
            },
            "area_mm2": self.area_mm2,
            "mpp": list(self.mpp),
            "mpp_source": self.mpp_source,
            "label_um": [s * m for s, m in zip(self.overlay.step, self.mpp, strict=True)],
            "region": region and [region.y, region.x, region.height, region.width],
            "model": self.model,
            "model_sha256": self.model_sha256,
            "class_model": self.class_model,
            "class_note": self.class_note,
            "tissue": self.tissue,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """``1,204 nuclei, 3,210 per mm2 of tissue``; with the classes where there are some."""
        if len(self) == 0:
            return "no nuclei"
        found = f"{len(self):,} nuclei, {self.density:,.0f} per mm\N{SUPERSCRIPT TWO} of tissue"
        if len(self.class_names) == 1:
            return found
        kinds = ", ".join(f"{n:,} {name}" for name, n in self.counts().items())
        origin = LEARNT if LEARNT in self.class_note else UNLABELLED
        return f"{found} ({kinds}; {origin})" if self.class_model else f"{found} ({kinds})"

    def _codes(self) -> np.ndarray:
        codes: np.ndarray = self.table["class"].cat.codes.to_numpy()
        return codes

    def _counts(self) -> np.ndarray:
        return np.bincount(self._codes(), minlength=len(self.class_names))
