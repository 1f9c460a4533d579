"""Which view a DICOM header says: side, projection, modifiers, raw or not, the size of a pixel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_pathogan.mammograms.dicom.header import numbers, stated, text, value, values
from napari_pathogan.mammograms.mammogram import (
    AT_DETECTOR,
    CALIBRATED,
    CORRECTED,
    MAGNIFICATION,
    MAGNIFIED,
)
from napari_pathogan.mammograms.views import SIDES, VIEWS, named_view
from napari_pathogan.slides import resolution

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_CALIBRATIONS = {"GEOMETRY", "FIDUCIAL"}
_RAW_CLASSES = {  # "... for processing"
    f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("1.2.1", "1.1.1", "13.1.5")
}
_RAW_INTENTS = "FOR PROCESSING", "RAW"
_TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
_SPACINGS = "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"  # the last: of film
_LATERALITIES = "ImageLaterality", "FrameLaterality", "Laterality"  # the last: of the series
_SQUARE = 0.02
_DETECTORS = 0.005, 2.0  # mm per pixel; such as 70 is in micrometres
_FACTOR = "EstimatedRadiographicMagnificationFactor"
_DISTANCES = "DistanceSourceToDetector", "DistanceSourceToPatient"
_NO_FACTOR = 5  # from here on it is something else: no stand is so high
_CONTACT = 1.25  # magnification up to which a breast may lie on the detector's cover
_VIEW_CODES = {  # PS3.16 CID 4014, SNOMED RT and CT
    **dict.fromkeys(("R-10242", "399162004"), "CC"),
    **dict.fromkeys(("R-10226", "399368009"), "MLO"),
    **dict.fromkeys(("R-10224", "399260004"), "ML"),
    **dict.fromkeys(("R-10228", "399352003"), "LM"),
    **dict.fromkeys(("R-10230", "399099002"), "LMO"),
    **dict.fromkeys(("R-10244", "399006006", "399196006"), "FB"),
    **dict.fromkeys(("R-102D0", "399188001"), "SIO"),
    **dict.fromkeys(("R-40AAA", "441555000"), "ISO"),
    **dict.fromkeys(("R-102CF", "399265009"), "XCC"),
    **dict.fromkeys(("R-1024A", "Y-X1770", "399192008"), "XCCL"),
    **dict.fromkeys(("R-1024B", "Y-X1771", "399101009"), "XCCM"),
}
_MODIFIERS = {  # CID 4015: codes, and what is written beside a view
    MAGNIFICATION: ("R-102D6", "399163009", "M", "MAG"),
    "spot compression": ("R-102D7", "399055006", "S", "SPOT"),
    "implant displaced": ("R-102D5", "399209000", "ID"),
    "rolled lateral": ("R-102D3", "399197002", "RL"),
    "rolled medial": ("R-102D4", "399226006", "RM"),
    "rolled inferior": ("R-102CA", "414493004", "RI"),
    "rolled superior": ("R-102C9", "415670009", "RS"),
    "tangential": ("R-102C2", "399110001", "TAN"),
    "cleavage": ("R-102D2", "399161006"),
    "axillary tail": ("R-102D1", "399011000"),
    "axillary tissue": ("R-40AB2", "442580003"),
    "nipple in profile": ("R-40AB3", "442581004", "NP"),
    "infra-mammary fold": ("R-40ABE", "442593008", "IMF"),
    "anterior compression": ("P2-00161", "441752004", "AC"),
}
_BY_CODE = {code: word for word, codes in _MODIFIERS.items() for code in (*codes, word.upper())}
_LABEL = re.compile(rf"([RL]?)([MS]?)({'|'.join(sorted(VIEWS, key=len, reverse=True))})([A-Z]*)")
_OTHER = "modified"
_OF_TOMOSYNTHESIS = {  # PS3.3 C.8.21.1.1: what image and frame types call it, and what it is
    "TOMOSYNTHESIS": "tomosynthesis slice",
    "TOMO_PROJ": "tomosynthesis projection",
}
_SYNTHESISED, _TYPES = "GENERATED_2D", ("ImageType", "FrameType")


def view_name(header: Dataset) -> str:
    """``RCC``, ``LMLO magnification``, ``LCC raw``; "mammogram" where nothing says."""
    name = f"{laterality_of(header) or ''}{view_of(header) or ''}" or "mammogram"
    more = (*modifiers_of(header), *(["raw"] * is_raw(header)))
    return f"{name} {', '.join(more)}" if more else name


def laterality_of(header: Dataset) -> str | None:
    """The side of the image, else of its frame, else of its series: "R", "L" or None."""
    said = (text(header, one) for one in _LATERALITIES)
    return next((SIDES[one] for one in said if one in SIDES), None)


def says_both_sides(header: Dataset) -> bool:
    """Whether image, frame, series and the view's label do not all say one side."""
    given = (str(side) for one in _LATERALITIES for side in values(header, one))
    said = {SIDES.get(side.strip().upper()) for side in given}
    said |= {SIDES.get(word) for word in _position(header)}
    return {"R", "L"} <= said


def view_of(header: Dataset) -> str | None:
    """A projection, such as "CC" or "MLO"; None where nothing says."""
    for item in values(header, "ViewCodeSequence")[:1]:
        if (view := _VIEW_CODES.get(text(item, "CodeValue"))) is not None:
            return view
    return named_view(" ".join(_position(header)))[1]


def modifiers_of(header: Dataset) -> tuple[str, ...]:
    """How a view differs from the plain one of its name: magnified, spot, a tomosynthesis slice, ..."""
    items = values(_where(header), "ViewModifierCodeSequence")
    codes = [
        {text(item, "CodeValue"), text(item, "CodeMeaning")} & _BY_CODE.keys() or {_OTHER}
        for item in items
    ]
    said = [_BY_CODE.get(min(one), _OTHER) for one in codes]
    said += [_BY_CODE[word] for word in _position(header) if word in _BY_CODE]
    if "ViewModifierCodeSequence" not in _where(header) and _is_magnified(header):
        said.append(MAGNIFICATION)
    types = {str(one).strip().upper() for key in _TYPES for one in values(header, key)}
    if _SYNTHESISED not in types:
        said += [word for kind, word in _OF_TOMOSYNTHESIS.items() if kind in types]
    return tuple(dict.fromkeys(said))


def _position(header: Dataset) -> list[str]:
    """The words of the view's position; those that ACR's labels join are apart: RMCCID -> R, M, CC, ID."""
    words: list[str] = []
    said = text(header, "ViewPosition")
    if (spaced := re.sub(r"[\s_-]+", "", said)) in VIEWS:
        return [spaced]
    for word in re.split(r"[\s_-]+", said):
        joined = _LABEL.fullmatch(word)
        words += [word] if joined is None or word in VIEWS else filter(None, joined.groups())
    return words


def is_raw(header: Dataset) -> bool:
    """Whether an image is data of the detector, not made to be looked at."""
    intent = " ".join(re.split(r"[\s_-]+", text(header, "PresentationIntentType")))
    return intent in _RAW_INTENTS or str(value(header, "SOPClassUID")) in _RAW_CLASSES


def spacing_of(header: Dataset) -> tuple[tuple[float, float] | None, str | None]:
    """Mm per pixel (y, x) and what they mean (PS3.3 10.7.1.1 and 10.7.1.3).

    PixelSpacing holds in the breast only where the image was computed from tomosynthesis, or the
    file says how it was calibrated; otherwise it repeats ImagerPixelSpacing, or was copied from it by older devices.
    """
    given, imager, scanned = (_plausible(header, one) for one in _SPACINGS)
    computed = value(header, "SOPClassUID") == _TOMOSYNTHESIS
    calibrated = computed or text(header, "PixelSpacingCalibrationType") in _CALIBRATIONS
    if given is not None and calibrated:
        return given, CALIBRATED
    found = imager or given or scanned
    if found is None:
        return None, None
    if MAGNIFICATION not in modifiers_of(header) and not _is_magnified(header):
        return found, AT_DETECTOR
    factor = _factor(
        header,
        (_FACTOR,),
        _DISTANCES,
    )
    if factor <= 1:
        return found, MAGNIFIED
    return (found[0] / factor, found[1] / factor), CORRECTED


def says_no_size(header: Dataset) -> bool:
    """Whether a size of a pixel is stated that no detector has or nobody can read, and no other."""
    return any(stated(header, one) for one in _SPACINGS) and spacing_of(header)[0] is None


def stretch_of(header: Dataset) -> float | None:
    """How much higher than wide pixels are (spacing, else PixelAspectRatio); None for square ones."""
    pair = spacing_of(header)[0] or resolution.positive(
        *(numbers(header, "PixelAspectRatio", 2) or (None, None))
    )
    ratio = 1.0 if pair is None else pair[0] / pair[1]
    return None if abs(ratio - 1) < _SQUARE else ratio


def _plausible(header: Dataset, keyword: str) -> tuple[float, float] | None:
    """Mm per pixel (y, x) that a detector or scanner can have."""
    pair = resolution.positive(*(numbers(header, keyword, 2) or (None, None)))
    least, most = _DETECTORS
    return pair if pair is not None and all(least <= mm <= most for mm in pair) else None


def _where(header: Dataset) -> Dataset:
    """What holds the view's modifiers: its code, or the header itself in older files."""
    codes = values(header, "ViewCodeSequence")[:1]
    return next((one for one in codes if "ViewModifierCodeSequence" in one), header)


def _is_magnified(header: Dataset) -> bool:
    """Whether the factor says so; an empty sequence of modifiers says nothing about lengths."""
    return _factor(header, (_FACTOR,)) > _CONTACT


def says_magnified_by_distances(header: Dataset) -> float | None:
    """How much a view is magnified by its distances, where nothing else says that it is; None where not."""
    factor = _factor(header, _DISTANCES)
    said = MAGNIFICATION in modifiers_of(header) or _is_magnified(header)
    return factor if factor > _CONTACT and not said else None


def _factor(header: Dataset, *ways: tuple[str, ...]) -> float:
    """A magnification, by the first element above 0 or ratio of two; 0 where none says a plausible one."""
    for way in ways:
        parts = [numbers(header, one) for one in way]
        if all(one is not None and one[0] > 0 for one in parts):
            first, *rest = (one[0] for one in parts if one is not None)
            factor = first / rest[0] if rest else first
            return factor if factor < _NO_FACTOR else 0.0
    return 0.0
