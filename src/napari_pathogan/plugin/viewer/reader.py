"""napari reader: whole slides as raw zarr pyramids, mammograms in their hanging, saved results."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathogan.addresses import is_address, place_of
from napari_pathogan.errors import (
    FluorescenceError,
    PathoganError,
    ResultFormatError,
    SlideFormatError,
)
from napari_pathogan.kinds import is_zarr
from napari_pathogan.mammograms.views import IMAGE_SUFFIXES, is_dicom, is_ome_zarr, named_view
from napari_pathogan.plugin.viewer.saved import (
    RESULT_SUFFIXES,
    is_layer_table,
    layers_in,
    saved_in,
    zarr_layers,
)
from napari_pathogan.slides.backends.dicom import (
    is_folder_of_slide,
    is_whole_slide,
    one_of_each,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[str | list[str]], list[tuple[Any, dict[str, Any], str]]]

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG"
_PICTURES = (_PNG, _JPEG, b"GIF8", b"BM", b"P1", b"P3", b"P4", b"P6", b"P7")  # under another name
# suffix -> how such a file begins
_HEADERS: dict[str, tuple[bytes, ...]] = {
    **dict.fromkeys(
        (".svs", ".ndpi", ".scn", ".bif", ".tif", ".tiff", ".btf", ".tf8", ".qptiff"), _TIFF
    ),
    ".png": (_PNG,),
    **dict.fromkeys((".jpg", ".jpeg", ".mrxs"), (_JPEG,)),
    **dict.fromkeys((".vms", ".vmu"), (b"[Virtual Microscope", b"[Uncompressed Virtual")),
    ".svslide": (b"SQLite format 3",),
    ".pgm": (b"P5", b"P2"),
}
_OF_DICOM = (".dcm", ".dicom")
_OPEN_TO_ALL = (".tif", ".tiff", ".btf", ".tf8", ".pgm")  # not of one maker of scanners
SUFFIXES = (*_HEADERS, ".zarr")
CASE_SUFFIX = ".pathogan.json"
_NOTHING: list[Any] = [(None,)]  # how napari is told that a reader was left
_MOST_FILES = 500  # of a folder that are looked at before it is left to other readers


def get_reader(path: str | list[str]) -> Reader | None:
    """Give the reader of slides, mammograms and saved results, or None for what is none of these.

    Decided by the first bytes of the files; nothing is decoded. napari's own tables (CSV) of
    points and shapes, and pictures that it shows as well or better, get napari's reader: whoever is
    chosen for CSV, TIFF, PGM, Zarr and folders opens both. Tables and JSON that nobody can read are
    refused in words.
    """
    paths = [path] if isinstance(path, str) else path
    if any(map(is_address, paths)):
        return read_or_say if all(map(_is_slide_address, paths)) else None
    if len(paths) == 1 and paths[0].endswith(CASE_SUFFIX):
        return _open_case
    if paths and all(is_layer_table(Path(p)) or _is_naparis(Path(p)) for p in paths):
        from napari_builtins.io import napari_get_reader  # noqa: PLC0415  (slow to import)

        theirs: Reader = napari_get_reader(path if len(paths) > 1 else paths[0])
        return theirs
    ours = paths and all(_is_ours(Path(p)) or _is_nobodys(Path(p)) for p in paths)
    return read_or_say if ours else None


def read_or_say(path: str | list[str]) -> list[tuple[Any, dict[str, Any], str]]:
    """Open as `read` does; what can't be opened is said in the window, and nothing is.

    An error would let napari offer its own reader, which shows what was refused as something else.
    """
    from napari import current_viewer  # noqa: PLC0415  (slow to import)
    from napari.utils.notifications import show_error  # noqa: PLC0415

    try:
        return read(path)
    except PathoganError as error:
        if current_viewer() is None:
            raise
        show_error(str(error))
        return _NOTHING


def read(path: str | list[str], *, ask: bool = True) -> list[tuple[Any, dict[str, Any], str]]:
    """Open slides or mammograms as image layers; the user chooses among several examinations.

    What was saved (heat maps, nuclei, outlines, tables, masses) comes back on its image.

    Parameters
    ----------
    path
        One or several files or folders.
    ask
        Whether the user is asked about several examinations, or another than that which is open;
        all are opened otherwise, each for itself.

    Raises
    ------
    SlideFormatError, ResultFormatError
        If a file can't be opened; says why.
    """
    from napari import current_viewer  # noqa: PLC0415  (slow to import)

    from napari_pathogan.plugin.viewer.use import begin  # noqa: PLC0415

    begin(current_viewer())
    paths = [place_of(p) for p in ([path] if isinstance(path, str) else path)]
    kinds = {p: saved_in(p) for p in paths}
    for p, kind in kinds.items():
        if kind is None and p.suffix.lower() in RESULT_SUFFIXES and not is_dicom(p):
            msg = (
                f"{p.name} is none of the tables and outlines that PathoGAN, QuPath or napari save"
            )
            raise ResultFormatError(msg)
    layers = [one for p, kind in kinds.items() if kind is not None for one in layers_in(p, kind)]
    images = [p for p, kind in kinds.items() if kind is None]
    parts = {p for p in images if is_whole_slide(p)}
    images = [p for p in images if p not in parts.difference(one_of_each(sorted(parts)))]
    if images and all(_is_of_study(p) for p in images):
        return [*_read_study(images, ask=ask), *layers] or _NOTHING
    return [*_apart([one for p in images for one in _read_image(p)]), *layers] or _NOTHING


def _open_case(path: str | list[str]) -> list[Any]:
    """Let the Slides dock open a case, once napari has done with its file."""
    from napari import current_viewer  # noqa: PLC0415  (slow to import)

    from napari_pathogan.plugin.viewer.canvas import window_of  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.keys import dock_of, once_all_came  # noqa: PLC0415

    file = Path(path if isinstance(path, str) else path[0])
    viewer = current_viewer()
    if viewer is None:
        msg = f"{file.name} is a case, which napari's window opens"
        raise SlideFormatError(msg)

    def open_it() -> None:
        dock: Any = dock_of(window, "Slides")
        once_all_came(window, lambda: dock.open_case(file))

    window = window_of(viewer)
    once_all_came(window, open_it)
    return _NOTHING


def _is_of_study(path: Path) -> bool:
    """Whether DICOM, or a folder, that is no slide."""
    if path.is_dir():
        return not (is_zarr(path) or path.suffix == ".zarr" or is_folder_of_slide(path))
    return is_dicom(path) and not is_whole_slide(path)


def _may_be_view(path: Path) -> bool:
    """Whether a file is a mammogram by its header, or by its name."""
    named = path.suffix.lower() in IMAGE_SUFFIXES and None not in named_view(path.stem)
    return named or (_is_of_study(path) and saved_in(path) is None)


def _read_image(path: Path) -> list[tuple[Any, dict[str, Any], str]]:
    if is_ome_zarr(path) and (layers := zarr_layers(path)) is not None:
        return layers
    try:
        return _read_one(path)
    except FluorescenceError:
        return _read_channels(path)


def _read_channels(path: Path) -> list[tuple[Any, dict[str, Any], str]]:
    from napari import current_viewer  # noqa: PLC0415  (slow to import)

    from napari_pathogan.plugin.viewer.layers import channel_layers, prepare  # noqa: PLC0415
    from napari_pathogan.slides.slide import Slide  # noqa: PLC0415

    viewer, channels = current_viewer(), Slide.open_channels(path)
    if viewer is not None:
        prepare(viewer, [channels[0][1]])
    return channel_layers(channels, viewer)


def _read_study(paths: list[Path], *, ask: bool) -> list[tuple[Any, dict[str, Any], str]]:
    from napari import current_viewer  # noqa: PLC0415  (slow to import)
    from napari.utils.notifications import show_warning  # noqa: PLC0415

    from napari_pathogan.mammograms.study import examinations  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.mammogram_choice import chosen_of  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.mammogram_layers import prepare_mammograms, study_layers  # noqa: PLC0415

    found = chosen_of(paths, _may_be_view) if ask else examinations(paths)
    studies = [one.open() for one in found]
    if not studies:
        return []
    if (viewer := current_viewer()) is not None:
        prepare_mammograms(viewer, [view for study in studies for view in study.views])
    for line in (line for study in studies for line in study.skipped):
        show_warning(line)
    return study_layers(*studies, viewer=viewer)


def _apart(layers: list[tuple[Any, dict[str, Any], str]]) -> list[tuple[Any, dict[str, Any], str]]:
    """Grey images of several examinations do not hang as one."""
    from napari import current_viewer  # noqa: PLC0415  (slow to import)

    from napari_pathogan.plugin.viewer.mammogram_groups import hung_apart  # noqa: PLC0415

    return hung_apart(layers, current_viewer())


def _read_one(path: Path) -> list[tuple[Any, dict[str, Any], str]]:
    """A slide, or any grey image; one whose name says side and view is a mammogram, if it is chosen."""
    from napari import current_viewer  # noqa: PLC0415  (slow to import)

    from napari_pathogan.mammograms.study import mammogram_in, says_mammogram  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.layers import prepare, slide_layer  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.mammogram_choice import chosen_of  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.mammogram_layers import mammogram_layer, prepare_mammograms  # noqa: PLC0415
    from napari_pathogan.plugin.viewer.placing import stain_view  # noqa: PLC0415
    from napari_pathogan.slides.slide import Slide  # noqa: PLC0415

    viewer = current_viewer()
    with ExitStack() as opened:
        slide = opened.enter_context(Slide.open(path))
        if not says_mammogram(slide):
            if viewer is not None:
                prepare(viewer, [slide])
            data, kwargs, kind = slide_layer(slide, viewer)
            more = stain_view(viewer, slide)
            kwargs |= more | {"metadata": kwargs["metadata"] | more.get("metadata", {})}
            opened.pop_all()  # the layer reads from it
            return [(data, kwargs, kind)]
        mammogram = mammogram_in(slide)
    for one in (found := chosen_of([path], _may_be_view)):
        mammogram = replace(mammogram, examination=one.fingerprint)
    if not found:
        return []
    if viewer is not None:
        prepare_mammograms(viewer, [mammogram])
    return [mammogram_layer(mammogram)]


def _is_naparis(path: Path) -> bool:
    """Whether a PGM, TIFF, Zarr or folder is rather napari's: no slide, no mammogram by its name, nothing of ours.

    Stacks of planes, grey pictures, arrays without OME-Zarr's metadata, folders of pictures.
    """
    suffix = path.suffix.lower()
    if suffix == ".zarr" and path.is_dir():
        from napari_pathogan.slides.backends.ngff import is_array, is_bare_picture  # noqa: PLC0415

        return not _is_ours(path) or (is_array(path) and not is_bare_picture(path))
    if path.is_dir():
        return not _is_ours(path)
    if suffix not in _OPEN_TO_ALL or not path.is_file():
        return False
    if not _is_ours(path):
        with path.open("rb") as stream:
            return stream.read(8).startswith(_PICTURES)
    if None not in named_view(path.stem) or is_dicom(path):
        return False
    from napari_pathogan.slides.backends.tiff import is_stack_or_grey  # noqa: PLC0415  (slow to import)

    return suffix == ".pgm" or any(is_stack_or_grey(path))


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return is_ome_zarr(path) or _is_study(path)
    if is_dicom(path) or saved_in(path) is not None:
        return True
    starts = _HEADERS.get(path.suffix.lower())
    if starts is None or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(32).startswith(starts)


def _is_nobodys(path: Path) -> bool:
    """Whether a file that is called like one of ours, and is none, which no other plugin reads."""
    suffix = path.suffix.lower()
    if suffix not in {*RESULT_SUFFIXES, *_HEADERS, *_OF_DICOM} or not path.is_file():
        return False
    if suffix in _OPEN_TO_ALL and _is_naparis(path):
        return False
    import npe2  # noqa: PLC0415

    from napari_pathogan.plugin.viewer.keys import PLUGIN  # noqa: PLC0415

    readers = npe2.PluginManager.instance().iter_compatible_readers([path])
    return {one.plugin_name for one in readers} <= {PLUGIN, "napari"}


def _is_slide_address(text: str) -> bool:
    """Whether something is an address that may be a slide's, by its suffix or as it has none."""
    name = place_of(text).name.lower()
    kinds = (*_HEADERS, ".zarr", "")
    return is_address(text) and (Path(name).suffix in kinds or ".zarr/" in text.lower())


def _is_study(path: Path) -> bool:
    """Whether a folder holds DICOM files, or images whose names all say a view (``..._R_CC.png``)."""
    files = [one for one in islice(path.rglob("*"), _MOST_FILES) if one.is_file()]
    if any(is_dicom(one) for one in files):
        return True
    images = [one for one in files if one.suffix.lower() in IMAGE_SUFFIXES]
    return bool(images) and all(None not in named_view(one.stem) for one in images)
