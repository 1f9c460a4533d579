"""A mammogram: its intensities, how they are shown, which view it is, and how large a pixel is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.errors import UnknownScaleError
from napari_pathogan.mammograms.voi import Shape, Table, Voi, Window
from napari_pathogan.slides import resolution
from napari_pathogan.slides.imprint import Imprint

if TYPE_CHECKING:
    from pathlib import Path

AT_DETECTOR, CALIBRATED, USER = "at detector", "calibrated", "user"
"""What lengths mean: on the detector, in the breast (a calibrated file), or as a user said."""

CORRECTED, MAGNIFIED = "corrected for magnification", "at detector, magnified"
"""What lengths in a magnification view mean: by the file's factor in the breast, or on the detector."""

MAGNIFICATION = "magnification"
"""Of modifiers the one that changes lengths."""

RAW = "for processing"
"""What metadata call the intent of raw data."""

_SIDE_PX = 700  # at least, where it is looked where the breast is
_CHEST = {"R": "right", "L": "left"}  # in a hanging: the right breast is on the left


@dataclass(frozen=True, eq=False)
class Mammogram:
    """One view of a breast; made by `open_mammogram`. Nothing in it says whose breast it is.

    Attributes
    ----------
    name
        "RCC", "LMLO", ... or "mammogram" for a DICOM file; the file's stem for other images.
    pixels
        uint8, uint16, int16 or float32 (H, W): the stored values after the modality LUT.
    inverted
        Whether high values are shown dark (MONOCHROME1, a negative).
    window
        Contrast limits (low, high) in units of the pixels: the ends of ``voi``, else the range of
        the data.
    laterality
        "L", "R", or None where nothing says.
    view
        "CC", "MLO", ..., or None where nothing says.
    modifiers
        How it differs from the plain view: "magnification", "spot compression", ...; mostly none.
    mm_per_px
        Size of a pixel (y, x), or None where nothing says.
    spacing
        What these mm are: "at detector", "calibrated", "user", ..., or None.
    voi
        The header's curve from values to brightness; None takes ``window``.
    windows
        All windows of the header by what it calls them: contrast limits (low, high).
    padded
        Bool (H, W): pixels that the header calls padding, shown as air; None where there are none.
    chest_wall
        "left" or "right" edge of the image, where the header says; ask ``chest_side``.
    examination
        A fingerprint that the files of one study share; None where no header says. It holds in
        this process alone; not for export.
    path
        Where it was opened from; not for export.
    metadata
        format, and from DICOM: manufacturer, bits, compression, intent, spacings, ...
    notes
        Sentences that the user must see: raw data, an unknown magnification, a negative.
    """

    name: str
    pixels: np.ndarray
    inverted: bool = False
    window: tuple[float, float] = (0.0, 255.0)
    laterality: str | None = None
    view: str | None = None
    modifiers: tuple[str, ...] = ()
    mm_per_px: tuple[float, float] | None = None
    spacing: str | None = None
    voi: Voi | None = None
    windows: dict[str, tuple[float, float]] = field(default_factory=dict)
    padded: np.ndarray | None = None
    chest_wall: str | None = None
    examination: str | None = None
    path: Path | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        height, width = self.pixels.shape
        return height, width

    @property
    def high_is_dark(self) -> bool:
        """Whether high values are shown dark: inverted, or by a table that falls, but not by both."""
        return self.inverted != (isinstance(self.voi, Table) and self.voi.falls)

    @cached_property
    def imprint(self) -> Imprint:
        """What tells it from others of its name."""
        eight_bit = self.pixels.dtype == np.uint8
        limits = (0.0, 255.0) if eight_bit else data_range(self.pixels)
        return Imprint.of(
            self.shape, lambda at: self.pixels[at.y : at.bottom, at.x : at.right], limits
        )

    @property
    def synthetic(self) -> bool:
        """Whether the file says that it was generated."""
        return bool(self.metadata.get("synthetic"))

    @cached_property
    def chest_side(self) -> str:
        """The edge where the chest wall is, "left" or "right": by the header, else by the breast."""
        if self.chest_wall is not None:
            return self.chest_wall
        from napari_pathogan.mammograms.breast import NoBreastError, breast  # noqa: PLC0415 - slow to import

        image = self._small_shown()
        try:
            return breast(image).side
        except NoBreastError:
            columns = image.mean(0)
        middle = len(columns) // 2
        return "left" if columns[:middle].sum() >= columns[-middle:].sum() else "right"

    @property
    def mirrored(self) -> bool:
        """Whether a hanging shows it mirrored, so that the chest walls of R and L face each other."""
        return self.laterality is not None and self.chest_side != _CHEST[self.laterality]

    def shown(self) -> np.ndarray:
        """float32 (H, W) in 0..1 as a radiologist sees it: dense tissue bright, air 0."""
        low, high = self.window
        voi = self.voi or Window((low + high) / 2, high - low, Shape.LINEAR_EXACT)
        image = voi.apply(self.pixels)
        if self.inverted:
            np.subtract(1, image, out=image)
        if self.padded is not None:
            image[self.padded] = 0
        return image

    def _small_shown(self) -> np.ndarray:
        """As `shown`, of some of the pixels: enough to see where the breast is."""
        step = max(1, max(self.shape) // _SIDE_PX)
        padded = None if self.padded is None else self.padded[::step, ::step]
        return replace(self, pixels=self.pixels[::step, ::step], padded=padded).shown()

    def with_spacing(self, mm_per_px: float | tuple[float, float]) -> Mammogram:
        """The same mammogram with a user's size of a pixel, in mm (y, x).

        Raises
        ------
        UnknownScaleError
            If it is not above 0.
        """
        y, x = mm_per_px if isinstance(mm_per_px, tuple) else (mm_per_px, mm_per_px)
        pair = resolution.positive(y, x)
        if pair is None:
            msg = f"{mm_per_px} is no size of a pixel; give mm per pixel above 0, such as 0.07"
            raise UnknownScaleError(msg)
        return replace(self, mm_per_px=pair, spacing=USER)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"<Mammogram {self.name}: {width} x {height} px, {self.spacing or 'no scale'}>"


def said_of(spacing: str | None) -> str:
    """What mm mean, to stand after them: ``at detector``, ``as you gave them``."""
    return "as you gave them" if spacing == USER else spacing or ""


def as_positive(mammogram: Mammogram) -> Mammogram:
    """A mammogram without a header, shown inverted if it is a negative, which a note says."""
    if not _is_negative(mammogram):
        return mammogram
    file = mammogram.name if mammogram.path is None else mammogram.path.name
    note = f"{file} is a negative (its air is bright), so it is shown inverted"
    return replace(mammogram, inverted=True, notes=(*mammogram.notes, note))


def told_if_negative(mammogram: Mammogram) -> Mammogram:
    """A mammogram that its header shows with bright air, as raw data may be, with a note that says so."""
    raw = mammogram.metadata.get("intent") == RAW
    if raw or mammogram.path is None or not _is_negative(mammogram):
        return mammogram
    note = (
        f"{mammogram.path.name} looks like a negative: as its header says how to show it, air is "
        "bright and the breast dark, where models see little; correct its photometric interpretation"
    )
    return replace(mammogram, notes=(*mammogram.notes, note))


def by_looks(mammogram: Mammogram) -> Mammogram:
    """A mammogram whose header says of high values both that they are dark and bright: air is dark."""
    inverted = mammogram.inverted != _is_negative(mammogram)
    file = mammogram.name if mammogram.path is None else mammogram.path.name
    note = (
        f"{file} says both that high values are bright and that they are dark, so it is shown with "
        f"{'dark' if inverted else 'bright'} ones; look whether its air is dark before what is found in it"
    )
    return replace(mammogram, inverted=inverted, notes=(*mammogram.notes, note))


def _is_negative(mammogram: Mammogram) -> bool:
    from napari_pathogan.mammograms.breast import looks_negative  # noqa: PLC0415 - slow to import

    return looks_negative(mammogram._small_shown())  # noqa: SLF001 - of this module


def data_range(pixels: np.ndarray) -> tuple[float, float]:
    """Least and greatest finite value; 1 apart where all are the same."""
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return low, high if high > low else low + 1
