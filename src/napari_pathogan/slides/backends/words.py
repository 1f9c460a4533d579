"""What TIFF files say of their channels: OME-XML, ImageJ, PerkinElmer's QPTIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

import tifffile

from napari_pathogan.slides.channels import ChannelInfo, names_dye

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

_DYE = ("Fluor", "EmissionWavelength", "ExcitationWavelength")
_SHOWN = {"red": "FF0000", "green": "00FF00", "blue": "0000FF"}
_THROUGH = ("brightfield", "transmitted")


def ome_pixels(file: TiffFile, page: TiffPage) -> dict[str, Any]:
    """The element Pixels of the OME image that has the size of a page; empty where there is none."""
    images = _listed(_parsed(file.ome_metadata or "", "OME").get("Image"))
    shape = page.imagelength, page.imagewidth
    found = (image.get("Pixels") for image in images if isinstance(image, dict))
    sized = (one for one in found if isinstance(one, dict))
    return next((one for one in sized if (one.get("SizeY"), one.get("SizeX")) == shape), {})


def channels(file: TiffFile, series: TiffPageSeries, page: TiffPage) -> list[ChannelInfo]:
    """What the file says of each channel; nothing where one has red, green and blue of a stained slide.

    Red, green and blue of a dye, as cameras in colour save it, are a channel each.
    """
    if series.kind == "ome":
        listed = _listed(ome_pixels(file, page).get("Channel"))
        channels = [one for one in listed if isinstance(one, dict)]
        first = channels[0] if channels else {}
        if page.samplesperpixel == 3 and (len(channels) == 1 or first.get("SamplesPerPixel") == 3):
            said = _ome(first)
            if not (said.fluoresces or (names_dye(said.name) and not _lit(first))):
                return []
            return [
                ChannelInfo(f"{said.name} {name}".strip(), colour, fluoresces=True)
                for name, colour in _SHOWN.items()
            ]
        return [_ome(one) for one in channels if one.get("SamplesPerPixel", 1) == 1]
    if series.kind == "imagej" and file.imagej_metadata:
        return _imagej(file.imagej_metadata)
    if series.kind == "qpi":
        pages = [each.aspage() for each in series.pages if each is not None]
        return [_qptiff(each.description) for each in pages]
    return []


def _ome(channel: dict[str, Any]) -> ChannelInfo:
    colour = channel.get("Color", -1)
    shown = f"{(colour >> 8) & 0xFFFFFF:06X}" if isinstance(colour, int) else ""
    dyed = any(channel.get(key) for key in _DYE) or any("fluorescence" in w for w in _ways(channel))
    return ChannelInfo(str(channel.get("Name", "")), shown, dyed and not _lit(channel))


def _ways(channel: dict[str, Any]) -> list[str]:
    return [str(channel.get(key, "")).lower() for key in ("ContrastMethod", "IlluminationType")]


def _lit(channel: dict[str, Any]) -> bool:
    """Whether light is said to have gone through."""
    return any(way in _THROUGH for way in _ways(channel))


def _imagej(about: dict[str, Any]) -> list[ChannelInfo]:
    count = about.get("channels", 1)
    labels, tables = _listed(about.get("Labels")), _listed(about.get("LUTs"))
    said = []
    for number in range(count if isinstance(count, int) and count > 1 else 0):
        name = str(labels[number]) if number < len(labels) else ""
        table = tables[number] if number < len(tables) else None
        brightest = () if table is None else [int(values[-1]) for values in table]
        said.append(ChannelInfo(name, "".join(f"{value:02X}" for value in brightest)))
    return said


def _qptiff(description: str) -> ChannelInfo:
    about = _parsed(description, "PerkinElmer-QPI-ImageDescription")
    shares = about.get("Color")  # parsed to a tuple
    rgb = shares if isinstance(shares, tuple) and len(shares) == 3 else ()
    colour = "".join(f"{min(max(int(share), 0), 255):02X}" for share in rgb)
    return ChannelInfo(str(about.get("Name", "")), colour)


def _parsed(text: str, root: str) -> dict[str, Any]:
    """What an XML text holds; empty where it is damaged or another's: the image may be whole."""
    try:
        about = tifffile.xml2dict(text).get(root)
    except (ParseError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _listed(found: Any) -> list[Any]:  # noqa: ANN401 - parsed XML and ImageJ's metadata
    if found is None:
        return []
    return list(found) if isinstance(found, list | tuple) else [found]
