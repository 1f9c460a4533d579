"""DICOM objects about whole slides: what they must know of the slide, and what they say of it when read.

Annotations (Microscopy Bulk Simple Annotations) and segmentations, written with highdicom (an extra) by
the tasks and read here, of this project or of others. Nothing that is read says who the slide is of.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathogan.errors import EnvironmentMismatchError, PathoganError, ResultFormatError
from napari_pathogan.mammograms.dicom.header import value, values
from napari_pathogan.mammograms.views import is_dicom
from napari_pathogan.slides import bounds
from napari_pathogan.slides.backends.dicom import (
    files_of_slide,
    header_of,
    is_folder_of_slide,
    is_whole_slide,
    slide_in,
)
from napari_pathogan.slides.backends.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pydicom import Dataset

    from napari_pathogan.slides.slide import Slide

MANUFACTURER = "napari-pathogan"
LONGEST = 64  # characters of a name or label
CHARACTERS = "ISO_IR 192"  # UTF-8: names are of all scripts
ANNOTATIONS = "1.2.840.10008.5.1.4.1.1.91.1"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_IDENTITY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_SAID_OF_PATIENTS = (  # by what highdicom copies besides
    *("PatientAge", "PatientSize", "PatientWeight", "OtherPatientIDs", "OtherPatientIDsSequence"),
    *("PatientComments", "EthnicGroup", "Occupation", "AdditionalPatientHistory", "MedicalAlerts"),
    *("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "StudyDescription"),
    *("IssuerOfAccessionNumberSequence", "AdmissionID", "IssuerOfAdmissionIDSequence"),
    *("ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName", "PatientBirthTime"),
    *("NameOfPhysiciansReadingStudy", "PhysiciansOfRecord", "PatientAddress", "Allergies"),
)
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


class DicomSlideError(PathoganError, ValueError):
    """Nothing can refer to a slide: it is no DICOM slide, or lacks what it is referred to by."""


@contextmanager
def needing_highdicom(what: str) -> Iterator[None]:
    """Say what to install where an import fails."""
    try:
        yield
    except ImportError as error:
        msg = f"{what} needs highdicom, which can't be loaded: uv pip install 'napari-pathogan[sr]'"
        raise EnvironmentMismatchError(msg) from error


def about_us() -> dict[str, Any]:
    """Who writes an object, as highdicom asks."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MANUFACTURER,
        "software_versions": metadata.version(MANUFACTURER),
        "device_serial_number": "none",
    }


def algorithm_of(model: str, parameters: dict[str, str] | None = None) -> Any:  # noqa: ANN401 - highdicom's
    """A model as highdicom names an algorithm; needs it."""
    from highdicom import AlgorithmIdentificationSequence  # noqa: PLC0415  (an extra)
    from pydicom.sr.codedict import codes  # noqa: PLC0415

    return AlgorithmIdentificationSequence(
        name=(model or "not stated")[:LONGEST],
        family=codes.DCM.ArtificialIntelligence,
        version=about_us()["software_versions"],
        parameters=parameters,
    )


def source_of(slide: Path | None, what: str, *, identifiers: bool = False) -> Dataset:
    """The header of a slide's finest image, which an object refers to.

    Parameters
    ----------
    slide
        A file of it, or its folder.
    what
        The object, for the message.
    identifiers
        Whether it may say who the slide is of; such values are empty otherwise, and what specimen
        and container are called is not the laboratory's number.

    Raises
    ------
    DicomSlideError
        If it is no DICOM slide, or lacks UIDs or geometry.
    """
    name = "the slide" if slide is None else slide.name
    file = slide if slide is None or not slide.is_dir() else _file_in(slide)
    if file is None or not is_whole_slide(file):
        raise DicomSlideError(f"{name} is no DICOM slide, so {what} has nothing to refer to")
    with quiet():
        source = _headers(file)[0]
        lacking = [one for one in _NEEDED if not value(source, one)]
        if lacking:
            msg = f"{name} has no {', '.join(lacking)}, which {what} refers to"
            raise DicomSlideError(msg)
        if placed(source) is None:
            msg = f"{name} does not say where on the glass it lies, which {what} needs"
            raise DicomSlideError(msg)
        for keyword in _IDENTITY:
            if not identifiers or keyword not in source:
                setattr(source, keyword, "")
        if not identifiers:
            for keyword in _SAID_OF_PATIENTS:
                if keyword in source:
                    delattr(source, keyword)
            _forget_specimen(source)
        source.SpecificCharacterSet = CHARACTERS
    return source


def no_dicom(source: Slide) -> str:
    """Why an object can't refer to a slide, in a few words; empty if it can."""
    if find_spec("highdicom") is None:
        return "needs highdicom, uv pip install 'napari-pathogan[sr]'"
    path = source.path
    file = _file_in(path) if path is not None and path.is_dir() else path
    return "" if file is not None and is_whole_slide(file) else f"{source.name} is no DICOM slide"


def headers_of(slide: Path) -> list[Dataset]:
    """Headers of all images of a DICOM slide, finest first; none where it is no DICOM slide, or damaged."""
    try:
        file = slide if not slide.is_dir() else _file_in(slide)
        if file is None or not is_whole_slide(file):
            return []
        with quiet():
            return _headers(file)
    except PathoganError:
        return []


def _headers(file: Path) -> list[Dataset]:
    """The largest image comes first; labels and overviews are left out where there is another."""
    headers = [header_of(one) for one in files_of_slide(file, header_of(file))]
    scans = [one for one in headers if "VOLUME" in values(one, "ImageType")] or headers
    return sorted(scans, key=lambda one: -int(value(one, "TotalPixelMatrixColumns") or 0))


def _file_in(folder: Path) -> Path | None:
    return slide_in(folder) if is_folder_of_slide(folder) else None


def _forget_specimen(source: Dataset) -> None:
    """Numbers of specimen and glass name a case in a laboratory: UIDs stay, which nobody reads."""
    from pydicom import Dataset  # noqa: PLC0415  (slow to import)
    from pydicom.uid import generate_uid  # noqa: PLC0415

    said = values(source, "SpecimenDescriptionSequence")[:1]
    specimen = Dataset()
    specimen.SpecimenIdentifier = "withheld"
    specimen.SpecimenUID = str(value(said[0], "SpecimenUID") or "") if said else ""
    specimen.SpecimenUID = specimen.SpecimenUID or generate_uid()
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    specimen.SpecimenPreparationSequence = []
    source.ContainerIdentifier = "withheld"
    source.IssuerOfTheContainerIdentifierSequence = []
    source.SpecimenDescriptionSequence = [specimen]
    for keyword in ("AlternateContainerIdentifierSequence", "ContainerComponentSequence"):
        if keyword in source:
            delattr(source, keyword)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the total pixel matrix of an image lies on the glass.

    Attributes
    ----------
    origin
        Its upper left corner (the centre of its first pixel) in mm: x, y.
    along
        (2, 2): unit vectors on the glass along rows (to the right) and along columns (down).
    spacing
        mm from pixel to pixel (y, x).
    """

    origin: tuple[float, float]
    along: np.ndarray
    spacing: tuple[float, float]

    def pixel_of(self, x_mm: float, y_mm: float) -> tuple[float, float]:
        """A place on the glass in pixels (y, x) from the centre of the first."""
        right, down = self.along @ (np.array([x_mm, y_mm]) - self.origin)
        return float(down / self.spacing[0]), float(right / self.spacing[1])

    def mm_of(self, y: float, x: float) -> tuple[float, float]:
        """A pixel (y, x), from the centre of the first, on the glass: x, y in mm."""
        at = np.array([x * self.spacing[1], y * self.spacing[0]]) @ self.along + self.origin
        return float(at[0]), float(at[1])


def placed(header: Dataset) -> Placed | None:
    """Where an image says that it lies; None where it does not."""
    corner = values(header, "TotalPixelMatrixOriginSequence")[:1]
    shared = values(header, "SharedFunctionalGroupsSequence")[:1]
    measures = values(shared[0], "PixelMeasuresSequence")[:1] if shared else []
    try:
        x, y = (
            float(value(corner[0], f"{axis}OffsetInSlideCoordinateSystem") or 0.0) for axis in "XY"
        )
        ways = np.array(values(header, "ImageOrientationSlide"), float).reshape(2, 3)[:, :2]
        rows, columns = (float(one) for one in values(measures[0], "PixelSpacing"))
    except (IndexError, ValueError, TypeError):
        return None
    sides = (*ways.ravel(), x, y, rows, columns)
    if not all(map(math.isfinite, sides)) or min(rows, columns) <= 0:
        return None
    straight = np.allclose(ways @ ways.T, np.eye(2), atol=1e-3)
    return Placed((x, y), ways, (rows, columns)) if straight else None


def kind_of(path: Path) -> str:
    """The SOP class of a DICOM file, where it is one of annotations or a segmentation; else empty."""
    from pydicom.filereader import read_file_meta_info  # noqa: PLC0415  (slow to import)

    if not is_dicom(path):
        return ""
    try:
        with quiet():
            kind = str(read_file_meta_info(path).get("MediaStorageSOPClassUID", ""))
    except Exception:  # noqa: BLE001 - pydicom raises many kinds
        return ""
    return kind if kind in {ANNOTATIONS, SEGMENTATION} else ""


def is_own(path: Path, *, modality: str) -> bool:
    """Whether a file is a DICOM object of this modality ("SR", "PR", "ANN", "SEG") that we wrote."""
    if not is_dicom(path):
        return False
    from pydicom import dcmread  # noqa: PLC0415  (slow to import)

    with quiet():
        try:
            about = dcmread(
                path,
                stop_before_pixels=True,
                force=True,
                specific_tags=["Manufacturer", "Modality"],
            )
        except Exception:  # noqa: BLE001 - pydicom raises many kinds, and their words quote the header
            return False
        said = (value(about, "Manufacturer"), value(about, "Modality"))
    return said == (MANUFACTURER, modality)


@dataclass(frozen=True, eq=False)
class AnnotationGroup:
    """Outlines of one kind.

    Attributes
    ----------
    label, colour
        What the group is called, and the colour it asks for as ``#rrggbb``; empty where it asks for none.
    outlines
        (K, 2) y, x each, in pixels of the image that they refer to, from its upper left corner, not
        closed; one or two points where such were drawn.
    measurements
        Name -> (N,), NaN where nothing was measured.
    by
        What made them.
    """

    label: str
    outlines: list[np.ndarray]
    colour: str = ""
    measurements: Mapping[str, np.ndarray] = ()  # type: ignore[assignment]
    by: str = ""


@dataclass(frozen=True, eq=False)
class SlideAnnotations:
    """What an annotation object draws on a slide.

    Attributes
    ----------
    series, image
        UIDs of the slide's series and of the image whose pixels count.
    """

    series: str
    image: str
    groups: tuple[AnnotationGroup, ...]


@dataclass(frozen=True, eq=False)
class Segments:
    """What a segmentation says of a slide.

    Attributes
    ----------
    series
        UID of the slide's series; empty where the object does not say.
    names
        Of the segments.
    planes
        (H, W) each: float32 of 0 to 1 where it is fractional, else uint8 of 0 and 1.
    place
        Where they lie on the glass.
    """

    series: str
    names: tuple[str, ...]
    planes: tuple[np.ndarray, ...]
    place: Placed


def read_annotations(path: Path) -> SlideAnnotations:
    """Read an annotation object.

    Raises
    ------
    EnvironmentMismatchError
        If highdicom is not installed.
    ResultFormatError
        If it is damaged, or drawn in mm rather than in pixels of an image.
    """
    with needing_highdicom("a DICOM annotation object"):
        import highdicom.ann  # noqa: PLC0415  (an extra)
    return _read(path, lambda: _annotations(path, highdicom.ann.annread(path)))


def _annotations(path: Path, found: Any) -> SlideAnnotations:  # noqa: ANN401 - highdicom's
    from highdicom.color import CIELabColor  # noqa: PLC0415  (an extra)

    if found.AnnotationCoordinateType != "2D":
        msg = f"{path.name} is drawn in mm on the glass, which can't be laid on a slide; export it in pixels"
        raise ResultFormatError(msg)
    (series,) = found.ReferencedSeriesSequence[:1]
    (image,) = found.ReferencedImageSequence[:1]
    groups = []
    for group in found.AnnotationGroupSequence:
        names, table, _ = group.get_measurements()
        rings = [np.asarray(one, float)[:, 1::-1] for one in group.get_graphic_data("2D")]
        if not all(np.isfinite(ring).all() for ring in rings):
            msg = "an outline that is nowhere"
            raise ValueError(msg)
        asked = values(group, "RecommendedDisplayCIELabValue")
        colour = CIELabColor.from_dicom_value(asked).to_rgb(clip=True) if len(asked) == 3 else None
        algorithm = values(group, "AnnotationGroupAlgorithmIdentificationSequence")[:1]
        groups.append(
            AnnotationGroup(
                str(group.label),
                rings,
                "#{:02x}{:02x}{:02x}".format(*colour) if colour is not None else "",
                {name.meaning: table[:, k] for k, name in enumerate(names)},
                str(value(algorithm[0], "AlgorithmName") or "") if algorithm else "",
            )
        )
    return SlideAnnotations(
        str(series.SeriesInstanceUID), str(image.ReferencedSOPInstanceUID), tuple(groups)
    )


def read_segments(path: Path) -> Segments:
    """Read a segmentation of a slide.

    Raises
    ------
    EnvironmentMismatchError
        If highdicom is not installed.
    ResultFormatError
        If it is damaged, of no slide, or too large.
    """
    with needing_highdicom("a DICOM segmentation"):
        import highdicom.seg  # noqa: PLC0415  (an extra)
    return _read(path, lambda: _segments(path, highdicom.seg.segread(path)))


def _segments(path: Path, found: Any) -> Segments:  # noqa: ANN401 - highdicom's
    place = placed(found)
    if place is None or "TotalPixelMatrixRows" not in found:
        msg = f"{path.name} is a segmentation of no slide, or does not say where on it it lies"
        raise ResultFormatError(msg)
    shape = int(found.TotalPixelMatrixRows), int(found.TotalPixelMatrixColumns)
    numbers = list(found.segment_numbers)
    if math.prod(shape) * len(numbers) * 4 > bounds.MOST_AT_ONCE:
        msg = f"{path.name} has {shape[0]} x {shape[1]} px and {len(numbers)} segments: too much to show"
        raise ResultFormatError(msg)
    pixels = found.get_total_pixel_matrix(combine_segments=False, rescale_fractional=True)
    planes = np.moveaxis(np.asarray(pixels), -1, 0)
    names = [str(found.get_segment_description(n).segment_label) for n in numbers]
    if planes.dtype.kind == "f":
        planes = planes.astype(np.float32)
    series = values(found, "ReferencedSeriesSequence")[:1]
    return Segments(
        str(value(series[0], "SeriesInstanceUID") or "") if series else "",
        tuple(names),
        tuple(planes),
        place,
    )


def _read(path: Path, how: Callable[[], Any]) -> Any:  # noqa: ANN401 - as it is read
    """Read; errors in words of our own: those of libraries may quote a name."""
    try:
        with quiet():
            return how()
    except PathoganError:
        raise
    except Exception as error:  # noqa: BLE001 - pydicom and highdicom raise many kinds
        msg = f"{path.name} is damaged ({type(error).__name__}); export it again"
        raise ResultFormatError(msg) from None
