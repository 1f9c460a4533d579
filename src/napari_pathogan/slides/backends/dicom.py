"""Whole slides in DICOM files (VL Whole Slide Microscopy), told at a glance from other DICOM."""

from __future__ import annotations

import re
import zlib
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from napari_pathogan.errors import SlideFormatError
from napari_pathogan.slides.backends.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

_HEAD = 8192
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_LONG = {
    b"OB",
    b"OW",
    b"SQ",
    b"UN",
    b"UT",
    b"UC",
    b"UR",
    b"OD",
    b"OF",
    b"OL",
}  # VRs of 4 bytes of length
_AT_ONCE, _MOST_UNFOLDED = 1 << 20, 1 << 28  # bytes
_NAMED = 5  # slides that a message names
_MOST_FILES = 2000  # of a folder that are looked at
_OF_OPENSLIDE = {  # transfer syntaxes: uncompressed, JPEG, JPEG 2000
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"),
    *("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"),
}
_CLASS = re.compile(  # (0002,0002) or (0008,0016): what it is an image of
    rb"[\x02\x08]\0[\x02\x16]\0(UI..|....)1\.2\.840\.10008\.5\.1\.4\.1\.1\.77\.1\.6(?![.0-9])",
    re.DOTALL,
)


def is_whole_slide(path: Path) -> bool:
    """Whether a file is one of the files of a DICOM whole slide; False where it can't be read."""
    return _CLASS.search(_head(path)) is not None


def is_folder_of_slide(path: Path) -> bool:
    """Whether a folder holds files of DICOM whole slides, and no other DICOM files beside them."""
    if not path.is_dir():
        return False
    heads = [_head(file) for file in islice(sorted(path.iterdir()), _MOST_FILES)]
    slides = [_CLASS.search(head) is not None for head in heads]
    others = [head[128:132] == b"DICM" for head in heads]
    return any(slides) and not any(o and not s for o, s in zip(others, slides, strict=True))


def slide_in(folder: Path) -> Path:
    """One file of the slide in a folder: the others are found by it.

    Raises
    ------
    SlideFormatError
        If there are several slides: names a file of each.
    """
    files = [file for file in islice(sorted(folder.iterdir()), _MOST_FILES) if is_whole_slide(file)]
    each = one_of_each(files)
    if len(each) == 1:
        return each[0]
    more = ", ..." if len(each) > _NAMED else ""
    raise SlideFormatError(
        f"{folder.name} holds {len(each)} slides; open a file of the one you want: "
        f"{', '.join(file.name for file in each[:_NAMED])}{more}"
    )


def header_of(path: Path) -> Dataset:
    """The header of a whole slide, its frames left out.

    Raises
    ------
    SlideFormatError
        If it is damaged.
    """
    import pydicom  # noqa: PLC0415 - slow to import

    try:
        with path.open("rb") as stream:
            check_unfolded(stream)
            return pydicom.dcmread(stream, stop_before_pixels=True, force=True)
    except Exception:  # noqa: BLE001 - pydicom has no common error, and what it says may be private
        raise SlideFormatError(
            f"{path.name} is a DICOM slide whose header can't be read; copy it again from where it came"
        ) from None


def check_unfolded(stream: BinaryIO) -> None:
    """Check how much a deflated file holds, which pydicom unfolds whole whatever it is asked for.

    Parameters
    ----------
    stream
        At the preamble, or at the first element of a file without one; it is left there.

    Raises
    ------
    ValueError
        If it is more than any has.
    """
    start = stream.tell()
    if stream.read(132)[128:] != b"DICM":
        stream.seek(start)
    meta, at = b"", stream.tell()
    while (element := stream.read(12))[:2] == b"\x02\0":
        long = element[4:6] in _LONG
        size, header = (element[8:12], 12) if long else (element[6:8], 8)
        stream.seek(at + header)
        meta, at = meta + stream.read(min(int.from_bytes(size, "little"), _HEAD)), at + header
        at += int.from_bytes(size, "little")
        stream.seek(at)
    if _DEFLATED in meta:
        stream.seek(at)
        inflate, unfolded = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while data := inflate.unconsumed_tail or stream.read(_HEAD):
            unfolded += len(inflate.decompress(data, _AT_ONCE))
            if unfolded > _MOST_UNFOLDED:
                msg = "it unfolds to more than any image has"
                raise ValueError(msg)
    stream.seek(start)


def files_of_slide(path: Path, header: Dataset) -> list[Path]:
    """All files of the slide of which one is given: those of its series in its folder."""
    series = _said(header, "SeriesInstanceUID")
    around = islice(sorted(path.parent.iterdir()), _MOST_FILES)
    files = [file for file in around if file == path or is_whole_slide(file)]
    return [
        file
        for file in files
        if file == path or _said(header_of(file), "SeriesInstanceUID") == series
    ]


def beyond_openslide(header: Dataset) -> str:
    """Why OpenSlide does not read a slide, in a few words; "" where it does."""
    from pydicom.uid import UID  # noqa: PLC0415 - slow to import

    syntax = UID(_said(header.file_meta, "TransferSyntaxUID"))
    if syntax and syntax not in _OF_OPENSLIDE:
        known = syntax.name != str(syntax)
        return f"compressed as {syntax.name if known else 'nobody knows what'}"
    if _said(header, "ConcatenationUID"):
        return "in files that are parts of one image (a concatenation)"
    return ""


def _said(header: Dataset, keyword: str) -> str:
    """An element's value; "" where it is missing, damaged or several."""
    try:
        found = header.get(keyword, "")
    except Exception:  # noqa: BLE001 - pydicom converts on access, with errors of any kind
        return ""
    return found if isinstance(found, str) else ""


def one_of_each(files: list[Path]) -> list[Path]:
    """Of files of whole slides, the first of each slide (series of images in one folder)."""
    if len(files) < 2:
        return files
    series: dict[tuple[Path, str], Path] = {}
    for file in files:
        try:
            with quiet():
                key = _said(header_of(file), "SeriesInstanceUID")
        except SlideFormatError:
            key = file.name
        series.setdefault((file.parent, key), file)
    return list(series.values())


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe would never end
            return b""
        with path.open("rb") as stream:
            return stream.read(_HEAD)
    except OSError:
        return b""
