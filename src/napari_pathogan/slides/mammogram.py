"""A mammogram: its intensities, how they are shown, which view it is, and how large a pixel is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_pathogan.errors import MammogramFormatError, SlideFormatError, UnknownScaleError
from napari_pathogan.slides import resolution, scales
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.views import IMAGE_SUFFIXES, MAX_PIXELS, is_dicom, named_view
from napari_pathogan.slides.voi import Shape, Voi, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_DETECTOR, CALIBRATED, USER = "at detector", "calibrated", "user"
"""What lengths mean: on the detector, in the breast (a calibrated file), or as a user said."""

MOST_VIEWS = 24
"""Images without headers that a folder may hold and still be opened as one study."""

_CHEST = {"R": "right", "L": "left"}  # in a hanging: the right breast is on the left
_ROWS = {"CC": 0, "MLO": 1}
_COLUMNS = {"R": 0, "L": 1}


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
        Whether high values are shown dark (MONOCHROME1).
    window
        Contrast limits (low, high) in units of the pixels: the ends of ``voi``, else the range of
        the data.
    laterality
        "L", "R", or None where nothing says.
    view
        "CC", "MLO", ..., or None where nothing says.
    mm_per_px
        Size of a pixel (y, x), or None where nothing says.
    spacing
        What these mm are: "at detector", "calibrated", "user", or None.
    voi
        The header's curve from values to brightness; None takes ``window``.
    padded
        Bool (H, W): pixels that the header calls padding, shown as air; None where there are none.
    chest_wall
        "left" or "right" edge of the image, where the header says; ask ``chest_side``.
    path
        Where it was opened from; not for export.
    metadata
        format, and from DICOM: manufacturer, bits, compression, intent, spacings, ...
    """

    name: str
    pixels: np.ndarray
    inverted: bool = False
    window: tuple[float, float] = (0.0, 255.0)
    laterality: str | None = None
    view: str | None = None
    mm_per_px: tuple[float, float] | None = None
    spacing: str | None = None
    voi: Voi | None = None
    padded: np.ndarray | None = None
    chest_wall: str | None = None
    path: Path | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        height, width = self.pixels.shape
        return height, width

    @property
    def synthetic(self) -> bool:
        """Whether the file says that it was generated."""
        return bool(self.metadata.get("synthetic"))

    @property
    def chest_side(self) -> str:
        """The edge where the chest wall is, "left" or "right": by the header, else by the pixels."""
        if self.chest_wall is not None:
            return self.chest_wall
        columns = self.shown().mean(0)
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


@dataclass(frozen=True, eq=False)
class MammogramStudy:
    """The views of one examination; made by `open_study`.

    Attributes
    ----------
    views
        One or more, in the order of a hanging: RCC, LCC, RMLO, LMLO, then all others.
    skipped
        Files that were left out and why, one line each.
    """

    views: list[Mammogram]
    skipped: tuple[str, ...] = ()

    def hanging(self) -> dict[tuple[int, int], Mammogram]:
        """The place (row, column) of every view: RCC LCC over RMLO LMLO, others in rows below.

        Right breasts are in column 0, left ones in column 1; see ``Mammogram.mirrored``.
        """
        places: dict[tuple[int, int], Mammogram] = {}
        for one in self.views:
            columns = [_COLUMNS[one.laterality]] if one.laterality else [0, 1]
            rows = [_ROWS[one.view]] if one.laterality and one.view in _ROWS else []
            free = (
                (row, column)
                for row in (*rows, *range(len(_ROWS), len(_ROWS) + len(self.views)))
                for column in columns
                if (row, column) not in places
            )
            places[next(free)] = one
        return places


def open_mammogram(path: str | Path) -> Mammogram:
    """Open a DICOM file, or a grey PNG, PGM, TIFF or JPEG.

    Images other than DICOM are shown as they are (8 bit) or between their least and greatest value
    (16 bit); laterality and view come from the file's name (``..._R_CC.png``), the size of a pixel
    from what the user has said before.

    Raises
    ------
    MammogramFormatError
        If it is no mammogram: another modality, several frames, no pixels, colour, a damaged file.
    CodecMissingError
        If it is compressed in a way that can't be decoded here.
    SlideFormatError
        If it is missing, empty, or no image at all.
    """
    path = Path(path)
    if is_dicom(path):
        from napari_pathogan.slides.dicom import read_dicom  # noqa: PLC0415 - slow to import

        found = read_dicom(path)
    else:
        found = _read_image(path)
    if found.mm_per_px is None and (um := scales.recall(path)) is not None:
        found = found.with_spacing((um[0] / 1e3, um[1] / 1e3))
    return found


def open_study(folder_or_files: str | Path | Sequence[str | Path]) -> MammogramStudy:
    """Open the mammograms of one examination: a folder (with its subfolders), or files.

    DICOM files of a folder that are no mammograms are left out and told of in ``skipped``; a
    folder without DICOM files is searched for other images.

    Raises
    ------
    MammogramFormatError
        If there is no mammogram, or those of more than one examination.
    SlideFormatError
        If one of the files that were given can't be opened.
    """
    if not isinstance(folder_or_files, str | Path):
        views = [open_mammogram(path) for path in folder_or_files]
        if not views:
            raise MammogramFormatError("no files were given; give the mammograms of a study")
        return MammogramStudy(sorted(views, key=_rank))
    folder = Path(folder_or_files)
    if not folder.is_dir():
        return MammogramStudy([open_mammogram(folder)])
    views, skipped = [], []
    for path in _files_of_one_study(folder):
        try:
            views.append(open_mammogram(path))
        except SlideFormatError as error:
            skipped.append(str(error))
    if not views:
        raise MammogramFormatError(
            f"{folder.name} holds no mammogram that can be opened: {skipped[0]}"
        )
    return MammogramStudy(sorted(views, key=_rank), tuple(skipped))


def can_be_mammogram(slide: Slide) -> bool:
    """Whether an image is grey and of a size that a mammogram can have."""
    return not slide.is_rgb and slide.shape[0] * slide.shape[1] <= MAX_PIXELS


def _read_image(path: Path) -> Mammogram:
    with Slide.open(path) as slide:
        if slide.shape[0] * slide.shape[1] > MAX_PIXELS:
            raise MammogramFormatError(
                f"{path.name} has {slide.shape[1]} x {slide.shape[0]} px, more than a mammogram can "
                "have; open it as a slide"
            )
        pixels = slide.read(Region(0, 0, *slide.shape))
        if slide.damaged:
            raise MammogramFormatError(
                f"{slide.damaged[0]}: copy {path.name} again from its source"
            )
        kind = slide.metadata.get("format")
    if pixels.ndim == 3:
        if not (pixels == pixels[..., :1]).all():
            raise MammogramFormatError(
                f"{path.name} is a colour image; a mammogram is grey: open the DICOM file or a grey "
                "PNG, PGM or TIFF"
            )
        pixels = pixels[..., 0]
    laterality, view = named_view(path.stem)
    metadata: dict[str, Any] = {"format": kind}
    if _says_synthetic(path):
        metadata["synthetic"] = True
    return Mammogram(
        path.stem,
        np.ascontiguousarray(pixels),
        window=(0.0, 255.0) if pixels.dtype == np.uint8 else data_range(pixels),
        laterality=laterality,
        view=view,
        path=path,
        metadata=metadata,
    )


def data_range(pixels: np.ndarray) -> tuple[float, float]:
    """Least and greatest finite value; at least 1 apart."""
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return low, max(high, low + 1)


def _says_synthetic(path: Path) -> bool:
    """Whether the text of a PNG marks it as generated."""
    with Image.open(path) as image:
        return str(image.info.get("synthetic", "")).lower() in {"true", "1", "yes"}


def _rank(one: Mammogram) -> tuple[int, int]:
    return _ROWS.get(one.view or "", len(_ROWS)), _COLUMNS.get(one.laterality or "", len(_COLUMNS))


def _files_of_one_study(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    dicom = [path for path in files if is_dicom(path)]
    if dicom:
        from napari_pathogan.slides.dicom import study_of  # noqa: PLC0415 - slow to import

        if len({study_of(path) for path in dicom} - {None}) > 1:
            raise MammogramFormatError(
                f"{folder.name} holds the mammograms of several examinations; open the folder of "
                "one, or choose its files"
            )
        return dicom
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise MammogramFormatError(
            f"{folder.name} holds no mammograms; choose a folder of DICOM, PNG, PGM or TIFF files"
        )
    if len(images) > MOST_VIEWS:
        raise MammogramFormatError(
            f"{folder.name} holds {len(images)} images, more than a study has; choose the files of "
            "one patient"
        )
    return images
