"""What TIFF files say about um per pixel: in descriptions of scanner makers, and in their tags."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from napari_pathogan.slides import resolution
from napari_pathogan.slides.resolution import UNSTATED, Scale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tifffile import TiffFile, TiffPage

_APERIO_MPP = re.compile(r"\bMPP\s*[=:]\s*([^|\r\n]+)", re.IGNORECASE)
_LIKE_APERIO = re.compile(
    r"Aperio|[^\0]*\|\s*MPP\s*="
)  # other makers list what they know as Aperio does
_APERIO_CUT = re.compile(r"(\d+)x(\d+)\s*(?:\[\s*-?\d+,\s*-?\d+\s+(\d+)x(\d+)\s*\])?")
_APERIO_TO = re.compile(r"->\s*(\d+)x(\d+)")
_VIPS = re.compile(r"<name>openslide\.(level\[0\]\.width|mpp-[xy])</name>\s*<value[^>]*>([^<]*)<")
_RESAMPLED = 1.2  # an image of the proportions of the one described, and so much smaller


def scale_of(file: TiffFile, page: TiffPage) -> Scale:
    """Um per pixel of the finest level: the first statement that can be true.

    Makers' own words come before tags, which many programs fill with anything.
    """
    stated = list(_statements(file, page))
    believed = next((scale for scale in stated if scale.mpp), None)
    return believed or next((scale for scale in stated if scale.source), UNSTATED)


def _statements(file: TiffFile, page: TiffPage) -> Iterator[Scale]:
    for read in (_ome, _aperio, _philips, _ventana, _olympus):
        yield _safely(read, file, page)
    yield _safely(_tags, file, page)
    yield _safely(_vips, file, page)


def _safely(read: Callable[[TiffFile, TiffPage], Scale], file: TiffFile, page: TiffPage) -> Scale:
    """What a maker's description says; no more than that where it is damaged."""
    try:
        return read(file, page)
    except ET.ParseError:
        return Scale(None, "something in XML that is damaged")
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        return UNSTATED


def _aperio(_: TiffFile, page: TiffPage) -> Scale:
    text = page.description
    stated = map(str.strip, _APERIO_MPP.findall(text) if _LIKE_APERIO.match(text) else [])
    found = list(filter(None, stated))
    if not found:
        return UNSTATED
    said = [resolution.stated("Aperio MPP", one, one) for one in found]
    if said[0].mpp is None or any(other.mpp != said[0].mpp for other in said):
        return Scale(None, f"Aperio MPP = {' and '.join(dict.fromkeys(found))}")
    mpp = said[0].mpp[0]
    size, described = (page.imagelength, page.imagewidth), _APERIO_CUT.search(text)
    if described is None:
        return resolution.stated("Aperio MPP", mpp, mpp)
    first = 3 if described[3] else 1
    width, height = int(described[first]), int(described[first + 1])
    made = _APERIO_TO.search(text)
    if made is not None and (int(made[2]), int(made[1])) == size:  # a coarser level by itself
        return resolution.stated("Aperio MPP", mpp * height / size[0], mpp * width / size[1])
    shrunk = height / size[0], width / size[1]
    if min(shrunk) > _RESAMPLED and max(shrunk) < 1.01 * min(shrunk):
        return Scale(None, f"Aperio MPP = {mpp:g} of an image of {width} x {height} px")
    return resolution.stated("Aperio MPP", mpp, mpp)


def _philips(file: TiffFile, _: TiffPage) -> Scale:
    if not file.philips_metadata:
        return UNSTATED
    for image in _parsed(file.philips_metadata).iter("DataObject"):
        about = {str(one.get("Name")): (one.text or "") for one in image.findall("Attribute")}
        if about.get("PIM_DP_IMAGE_TYPE") != "WSI":
            continue
        spacings = [about.get("DICOM_PIXEL_SPACING", "")]
        # of the levels, where the image itself has none: the first is the finest
        spacings += [
            str(one.text)
            for one in image.iter("Attribute")
            if one.get("Name") == "DICOM_PIXEL_SPACING"
        ]
        for spacing in spacings:
            sides = re.findall(r"[^\s\"]+", spacing)
            if len(sides) == 2:
                return resolution.from_length("Philips pixel spacing", sides[0], sides[1], "mm")
    return UNSTATED


def _ventana(_: TiffFile, page: TiffPage) -> Scale:
    text = bytes(page.tags.valueof(700) or b"").decode("utf-8", errors="replace")
    found = re.search(r"<iScan\b[^>]*\bScanRes=\"([^\"]*)\"", text)
    return resolution.stated("Ventana ScanRes", found[1], found[1]) if found else UNSTATED


def _olympus(file: TiffFile, _: TiffPage) -> Scale:
    about = file.sis_metadata or {}
    if "pixelsizex" not in about:
        return UNSTATED
    return resolution.from_length(
        "Olympus pixel size", about["pixelsizey"], about["pixelsizex"], "m"
    )


def _ome(file: TiffFile, page: TiffPage) -> Scale:
    if not file.ome_metadata:  # nor where it is cut off
        return _safely_cut(page.description)
    size, of_others = (str(page.imagelength), str(page.imagewidth)), UNSTATED
    for pixels in _parsed(file.ome_metadata).iterfind(".//{*}Image/{*}Pixels"):
        x, y = (
            (pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
            for axis in "XY"
        )
        x, y = (side if side[0] else other for side, other in ((x, y), (y, x)))
        if not x[0]:
            continue
        described = pixels.get("SizeY"), pixels.get("SizeX")
        if described == size:
            return resolution.from_length("OME PhysicalSize", y[0], x[0], y[1], x[1])
        said = f"OME PhysicalSize = {x[0]} {x[1]} of an image of {described[1]} x {described[0]} px"
        of_others = Scale(None, said)
    return of_others


def _safely_cut(text: str) -> Scale:
    damaged = "<OME" in text[:4096] and "PhysicalSize" in text
    return Scale(None, "a PhysicalSize in OME-XML that is damaged") if damaged else UNSTATED


def _parsed(text: str) -> ET.Element:
    return ET.fromstring(text.encode())  # noqa: S314 - expat bounds its entities


def _tags(file: TiffFile, page: TiffPage) -> Scale:
    x, y = (
        tag.value[0] / tag.value[1] if tag is not None and tag.value[1] else None
        for tag in (page.tags.get(282), page.tags.get(283))  # XResolution, YResolution
    )
    x, y = x or y, y or x
    if x is None or y is None:
        return UNSTATED
    x_unit = y_unit = {2: "inch", 3: "cm", 4: "mm", 5: "um"}.get(int(page.tags.valueof(296, 2)), "")
    who = "NDPI resolution" if file.is_ndpi else "TIFF resolution"
    if not x_unit and file.imagej_metadata:
        x_unit = _imagej_unit(file.imagej_metadata.get("unit", ""))
        y_unit = _imagej_unit(file.imagej_metadata.get("yunit", "")) or x_unit
        who = "ImageJ resolution"
    return resolution.from_resolution(who, y, x, y_unit, x_unit)


def _imagej_unit(unit: object) -> str:
    return str(unit).replace("\\u00B5", "µ").replace("\\u00b5", "µ")


def _vips(_: TiffFile, page: TiffPage) -> Scale:
    """What libvips kept of the slide that it copied, if this is the whole of it."""
    about = dict(_VIPS.findall(page.description))
    if about.get("level[0].width") != str(page.imagewidth):
        return UNSTATED
    return resolution.stated("OpenSlide, by libvips", about.get("mpp-y"), about.get("mpp-x"))
