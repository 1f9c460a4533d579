"""Which reader opens what: by the first bytes of a file and its maker's mark, not by its name.

=============================  ==================================================================
Kind                           Reader
=============================  ==================================================================
Aperio SVS, Philips, Olympus   tifffile
Hamamatsu NDPI                 tifffile; of several planes of focus, the one nearest to offset 0
Leica SCN, one area            tifffile; the scan, not the picture of the whole slide
Leica SCN, several areas       OpenSlide, which puts them where they lie on the slide
Ventana BIF, Trestle           OpenSlide, which joins tiles that overlap
OME-TIFF, ImageJ, other TIFF   tifffile
MRXS, VMS, VMU, svslide, CZI   OpenSlide
DICOM whole slides             OpenSlide; a file of them, or the folder of one slide; wsidicom for what
                               OpenSlide does not read: JPEG-LS, HTJ2K, RLE, concatenations
OME-Zarr, bioformats2raw       zarr; of several images the scan, not the macro
PNG, JPEG, BMP, GIF, PGM       Pillow
a series of a DICOMweb archive  wsidicom, frame by frame
at an address (https, s3)      TIFF by tifffile, OME-Zarr by zarr, images by Pillow, tile by tile;
                               what OpenSlide has to read, or DICOM, must be downloaded
=============================  ==================================================================

One reader has the say on a file. What it refuses is refused: another would open it as something
else, or die of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan import addresses
from napari_pathogan.errors import SlideFormatError, SlideReadError
from napari_pathogan.slides.backends.dicom import (
    beyond_openslide,
    header_of,
    is_folder_of_slide,
    is_whole_slide,
    slide_in,
)
from napari_pathogan.slides.backends.images import open_image
from napari_pathogan.slides.backends.openslide import open_vendor
from napari_pathogan.slides.backends.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.slides.source import Source

SUFFIXES = (
    *(".svs", ".ndpi", ".scn", ".bif", ".mrxs", ".vms", ".vmu", ".svslide", ".qptiff"),
    *(".tif", ".tiff", ".btf", ".tf8", ".png", ".jpg", ".jpeg"),
)
"""Of files that are taken for slides where a folder is named; what a file is decides its content."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WITH_PARTS = (".mrxs", ".vms")  # they begin like a JPEG, or name one, but are more than that
_IMAGE = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8", b"P2", b"P5")  # the last two: PGM


def open_source(path: Path) -> Source:
    """Open a file or an OME-Zarr folder, or what lies at an address, with the reader that fits.

    Raises
    ------
    SlideFormatError
        If it is missing, unreadable, empty, or not a slide; says which and what to do.
    SlideReadError
        If it lies at an address that can't be reached, or gives nothing.
    """
    if addresses.is_address(path):
        return _open_address(path)
    _check_place(path)
    try:
        if path.is_dir() and is_folder_of_slide(path):
            return _open_dicom(slide_in(path))
        if path.is_dir():
            from napari_pathogan.slides.backends.ngff import open_ngff  # noqa: PLC0415  (zarr is slow to import)

            with quiet():
                return open_ngff(path)
        with path.open("rb") as stream:
            head = stream.read(16)
    except FileNotFoundError as error:
        raise SlideFormatError(f"there is no file {path}; check the name and the folder") from error
    except PermissionError as error:
        raise SlideFormatError(f"{path} may not be read; ask for permission to the file") from error
    except OSError as error:
        raise SlideFormatError(f"{path} can't be read: {error.strerror or error}") from error
    if not head:
        raise SlideFormatError(f"{path.name} is empty (0 bytes); copy it again from where it came")
    if head.startswith(_TIFF):
        return _open_tiff(path)
    if head.startswith(_IMAGE) and path.suffix.lower() not in _WITH_PARTS:
        return open_image(path)
    return _open_dicom(path) if is_whole_slide(path) else open_vendor(path)


def state_at(place: Path) -> str:
    """What the server says now of the state of the slide at an address.

    Raises
    ------
    SlideFormatError, SlideReadError
        If there is none, or it can't be read.
    """
    open_source(place).close()
    return addresses.identity(place)


def _check_place(path: Path) -> None:
    if not path.exists() and (scheme := addresses.foreign(path)):
        raise SlideFormatError(
            f"{scheme}:// addresses can't be read, only https:// and s3://; download the slide"
        )
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would keep us waiting
        raise SlideFormatError(f"{path.name} is neither a file nor a folder; choose a slide")


def _open_dicom(path: Path) -> Source:
    with quiet():
        header = header_of(path)
        why = beyond_openslide(header)
        if not why:
            return open_vendor(path)
        from napari_pathogan.slides.backends.wsidicom import open_wsidicom  # noqa: PLC0415  (slow to import)

        return open_wsidicom(path, header, why)


def _open_tiff(path: Path) -> Source:
    from napari_pathogan.slides.backends.dialects import put_together  # noqa: PLC0415  (tifffile is slow to import)
    from napari_pathogan.slides.backends.tiff import open_tiff  # noqa: PLC0415

    what = put_together(path)
    return open_vendor(path, what) if what else open_tiff(path)


def _open_address(path: Path) -> Source:
    from napari_pathogan.slides.backends.dicomweb import is_series, open_dicomweb  # noqa: PLC0415  (an extra)
    from napari_pathogan.slides.backends.remote import open_file  # noqa: PLC0415  (an extra)

    if is_series(path):
        return open_dicomweb(path)
    if ".zarr" in str(path).lower():
        return _open_distant_zarr(path)
    try:
        distant = open_file(path)
    except SlideReadError:
        if path.suffix:
            raise
        distant = None  # a folder, which servers refuse in ways of their own
    if distant is None:
        return _open_distant_zarr(path)
    head = distant.read_at(0, 512)
    if head.startswith(_TIFF):
        from napari_pathogan.slides.backends.dialects import put_together  # noqa: PLC0415  (tifffile is slow to import)
        from napari_pathogan.slides.backends.tiff import open_tiff  # noqa: PLC0415

        if what := put_together(path, distant):
            raise SlideFormatError(
                f"{path.name} has {what}, which only OpenSlide puts together, from files on this "
                "computer; download it"
            )
        return open_tiff(path, distant)
    if head.startswith(_IMAGE) and path.suffix.lower() not in _WITH_PARTS:
        return open_image(path, distant)
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise SlideFormatError(
            f"there is a web page at {addresses.shown(path)}, not a slide; give the address of the "
            "slide's file itself"
        )
    raise SlideFormatError(
        f"{path.name} can't be read at an address: only TIFF of all kinds (SVS, NDPI, OME-TIFF), "
        "OME-Zarr, PNG and JPEG can; download it and open the file"
    )


def _open_distant_zarr(path: Path) -> Source:
    from napari_pathogan.slides.backends.ngff import open_ngff  # noqa: PLC0415  (zarr is slow to import)
    from napari_pathogan.slides.backends.remote_zarr import RemoteStore  # noqa: PLC0415  (an extra)

    store = RemoteStore(path)
    if not store.holds_zarr():
        raise SlideFormatError(
            f"there is no slide at {addresses.shown(path)}; check the address for its spelling"
        )
    with quiet():
        return open_ngff(path, store)
