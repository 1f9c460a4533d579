"""A case on disk: which images are open, what was found in them and drawn, how all of it is seen.

``NAME.pathogan.json`` says it, and ``NAME.pathogan/`` beside it holds results and drawings, which
it names. Images stay where they are. The JSON is written last, so that a kill leaves the case of before.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_pathogan import addresses
from napari_pathogan.errors import OutputError, ResultFormatError
from napari_pathogan.files import output_error, write_text
from napari_pathogan.kinds import OURS, record
from napari_pathogan.plugin.viewer.reader import CASE_SUFFIX
from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

KIND = "pathogan case"
CASE = record(KIND)
_ROOM = ".pathogan"  # the folder's, in place of the suffix
_OWN = re.compile(r"(\d+)-(\d+)-[a-z-]+\.[a-z.]+")  # names of what lies in it
_MOST = 10_000  # images, results, layers


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True)


class ImageIn(_Part):
    """An image that was open.

    Attributes
    ----------
    file
        From the case's folder on where it lies below it, else absolute.
    imprint
        Of its pixels, to tell whether it is still the same; empty where nobody took it.
    mammogram
        Whether it hung with the views of its examination.
    um_per_px
        The size of a pixel that the user gave; None where the file says it, or nobody.
    scale, translate
        Of its layer (y, x): where it lay.
    """

    file: str
    name: str = ""
    imprint: str = ""
    mammogram: bool = False
    um_per_px: float | None = Field(default=None, gt=0)
    scale: tuple[float, float] | None = None
    translate: tuple[float, float] | None = None


class ResultIn(_Part):
    """What a dock found in an image, or a layer that was drawn on it (``task`` is empty then)."""

    image: int | None = Field(default=None, ge=0, le=_MOST)
    task: str = ""
    file: str


class LookIn(_Part):
    """How a layer was shown: an image by its number, since its reader may name it otherwise; all else by name."""

    image: int | None = Field(default=None, ge=0, le=_MOST)
    name: str
    visible: bool = True
    opacity: float = Field(default=1.0, ge=0, le=1)


class CameraIn(_Part):
    """What was in view."""

    centre: tuple[float, float]
    zoom: float = Field(gt=0)


class Case(_Part):
    """All of it."""

    kind: Literal["pathogan case"] = "pathogan case"
    version: Literal[1] = 1
    program: str = f"napari-pathogan {__version__}"
    images: tuple[ImageIn, ...] = Field(default=(), max_length=_MOST)
    results: tuple[ResultIn, ...] = Field(default=(), max_length=_MOST)
    others: tuple[str, ...] = Field(default=(), max_length=_MOST)
    looks: tuple[LookIn, ...] = Field(default=(), max_length=_MOST)
    docks: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=100)
    camera: CameraIn | None = None


def room_of(path: Path) -> Path:
    """The folder with the results of a case."""
    return path.with_name(path.name.removesuffix(CASE_SUFFIX) + _ROOM)


def named(path: Path) -> Path:
    """The path with the suffix that cases have."""
    name = path.name.removesuffix(".json").removesuffix(".pathogan")
    return path.with_name(name + CASE_SUFFIX)


def write(
    path: Path, case: Case, results: Sequence[tuple[ResultIn, Callable[[Path], None]]]
) -> Case:
    """Write a case, its results first; what it held before goes once the new one is whole.

    Parameters
    ----------
    case
        Without results.
    results
        What each is of, its ``file`` being how its name ends, and what writes it.

    Raises
    ------
    OutputError
        If something can't be written, or the folder beside it holds what is not ours.
    """
    room = room_of(path)
    number = _next(room)
    written = []
    try:
        for at, (one, write_it) in enumerate(results):
            file = f"{number}-{at}-{one.file}"
            write_it(room / file)
            written.append(one.model_copy(update={"file": file}))
        whole = case.model_copy(update={"results": tuple(written)})
        write_text(path, whole.model_dump_json(indent=1), CASE)
    except BaseException:
        _clear(room, lambda own: own == number)
        raise
    _clear(room, lambda own: own != number)
    return whole


def read(path: Path) -> Case:
    """Read a case.

    Raises
    ------
    ResultFormatError
        If it is none, or damaged.
    """
    try:
        case = Case.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join(map(str, first["loc"])) or "its content"
        msg = f"{path.name} is no case of PathoGAN, or damaged: {where}: {first['msg']}"
        raise ResultFormatError(msg) from error
    except OSError as error:
        raise ResultFormatError(f"can't read {path.name}: {error.strerror}") from error
    if not {"kind", "version"} <= case.model_fields_set:
        msg = f"{path.name} is no case of PathoGAN, or damaged: it does not say what it is"
        raise ResultFormatError(msg)
    return case


def place(file: Path, case: Path) -> str:
    """How a case calls a file: from its own folder on where it lies there, else by its whole path or address."""
    if addresses.is_address(file):
        return addresses.shown(file)
    file, folder = file.absolute(), case.absolute().parent
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)


def find(file: str, case: Path) -> Path:
    """Where a file lies that a case names; beside the case if it is gone from its place."""
    if addresses.is_address(file):
        return addresses.place_of(file)
    told = case.parent / file  # an absolute one stays as it is
    beside = case.parent / Path(file).name
    return told if told.exists() or not beside.exists() else beside


def write_arrays(path: Path, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a drawn layer: what it says of itself, plain JSON, and its arrays.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    from napari_pathogan.files import written  # noqa: PLC0415

    with written(path, OURS) as beside, beside.open("wb") as stream:
        said = np.array(json.dumps(about, default=str))
        np.savez_compressed(stream, allow_pickle=False, about=said, **arrays)


def read_arrays(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a drawn layer.

    Raises
    ------
    ResultFormatError
        If it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name != "about"}
            about = json.loads(str(stored["about"]))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ResultFormatError(f"{path.name} of the case is damaged: {error}") from error
    return about, arrays


def _next(room: Path) -> int:
    """A number that no file of the folder has.

    Raises
    ------
    OutputError
        If something in it is not of a case.
    """
    if not room.exists():
        return 1
    if not room.is_dir():
        raise OutputError(f"{room.name} is a file, where a folder is to come; choose another name")
    names = [one.name for one in room.iterdir() if not one.name.startswith(".")]
    foreign = next((name for name in names if not _OWN.fullmatch(name)), None)
    if foreign is not None:
        msg = f"the folder {room.name} holds {foreign}, which is no case's; choose another name"
        raise OutputError(msg)
    return 1 + max((int(name.partition("-")[0]) for name in names), default=0)


def _clear(room: Path, old: Callable[[int], bool]) -> None:
    """Take results away that no case names any more."""
    for one in room.iterdir() if room.is_dir() else ():
        found = _OWN.fullmatch(one.name)
        if found is not None and old(int(found[1])):
            try:
                shutil.rmtree(one) if one.is_dir() else one.unlink()
            except OSError as error:
                raise output_error(one, error) from error
