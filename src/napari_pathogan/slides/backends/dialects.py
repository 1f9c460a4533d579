"""TIFF of makers whose pictures have to be put together, which tifffile does not do."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from napari_pathogan.errors import SlideFormatError, SlideReadError
from napari_pathogan.slides.backends.tiff import check_page, tiff_file

if TYPE_CHECKING:
    from pathlib import Path

    from tifffile import TiffFile

    from napari_pathogan.slides.backends.remote import RemoteFile

_MOST_PAGES = 1000


def put_together(path: Path, distant: RemoteFile | None = None) -> str:
    """What has to be put together in a TIFF of some makers, in a few words; "" in any other.

    Raises
    ------
    SlideFormatError
        If such a file claims what it can't hold: OpenSlide would end the process.
    """
    try:
        file = tiff_file(path, distant)
    except SlideReadError:
        raise
    except Exception:  # noqa: BLE001 - what is wrong with it, its reader will say
        return ""
    with file:
        try:
            what = _what(file)
            if what:
                for number in range(min(len(file.pages), _MOST_PAGES)):
                    check_page(path.name, file.pages[number].aspage())
        except (SlideFormatError, SlideReadError):
            raise
        except Exception as error:  # tifffile has no common error for what broken files do to it
            raise SlideFormatError(
                f"{path.name} is damaged, its directory can't be read; copy it again from where it came"
            ) from error
    return what


def _what(file: TiffFile) -> str:
    if not len(file.pages):
        return ""
    page = file.pages.first
    if file.is_bif:
        return "overlapping tiles (Ventana BIF)"
    if page.software.startswith("MedScan"):
        return "overlapping tiles (Trestle)"
    if file.is_scn and (areas := _areas(page.description)) > 1:
        return f"{areas} scanned areas (Leica SCN)"
    return ""


def _areas(text: str) -> int:
    """How many areas of a slide Leica's description lists, apart from the picture of all of it."""
    try:
        about = ET.fromstring(text.encode())  # noqa: S314 - expat bounds its entities
    except ET.ParseError:
        return 0
    collection = about.find("{*}collection")
    if collection is None:
        return 0
    whole = collection.get("sizeX"), collection.get("sizeY")
    views = [image.find("{*}view") for image in collection.iterfind("{*}image")]
    sizes = [(view.get("sizeX"), view.get("sizeY")) for view in views if view is not None]
    return sum(size != whole for size in sizes)
