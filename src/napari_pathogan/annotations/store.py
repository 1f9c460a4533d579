"""Where annotations of an image lie: beside it, or in the user's data folder."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock, Timeout

from napari_pathogan import addresses
from napari_pathogan.annotations import geojson, merging
from napari_pathogan.errors import DataFolderError, OutputError
from napari_pathogan.files import data_folder, output_error
from napari_pathogan.kinds import OURS, ROOM
from napari_pathogan.slides.imprint import Imprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.annotations.merging import Known

_PACKAGE = Path(__file__).parents[1]
_NO_IMAGE = {
    "", ".geojson", ".npy", ".json", ".xml", ".csv", ".tsv", ".txt", ".parquet", ".h5ad", ".xlsx", ".pdf",
    ".html", ".md", ".log", ".zip", ".gz", ".db", ".qpproj", ".qpdata", ".backup", ".tmp",
}  # fmt: skip
_DOUBLE = (".ome",)  # before the suffix proper
ASIDE = ".differs-"  # in names of files with what could not be taken in
_WAIT_S = 30.0  # for another process that writes
_SAME = (
    "grid",
    "shape",
    "sha256",
    "model_sha256",
)  # what must be the same in two files that become one


@dataclass(frozen=True)
class AnnotationStore:
    """The annotations of one image, of one kind.

    Attributes
    ----------
    image
        The image's file; it may be missing where only annotations lie.
    suffix
        Behind the image's name in that of the annotations, such as ``.nuclei.geojson``.
    by_stem
        A file beside it that is named after its stem, as QuPath does; if a folder was searched.
    alike
        Images that this file could be of as well as each other; empty where it is plain.
    """

    image: Path
    suffix: str
    by_stem: Path | None = None
    alike: tuple[Path, ...] = ()

    @property
    def beside(self) -> Path:
        """Beside the image."""
        return self.image.with_name(self.image.name + self.suffix)

    @property
    def elsewhere(self) -> Path:
        """In the user's data folder, in a folder that a hash of the image's path or address names."""
        distant = addresses.is_address(self.image)
        place = str(self.image if distant else self.image.resolve())
        digest = hashlib.sha256(place.encode()).hexdigest()[:16]
        return data_folder() / "corrections" / digest / self.beside.name

    @property
    def places(self) -> tuple[Path, ...]:
        """Where they may lie, the preferred place first; sample data and addresses stay as they are."""
        apart = _PACKAGE in self.image.parents or addresses.is_address(self.image)
        return (self.elsewhere,) if apart else (self.beside, self.elsewhere)

    @property
    def path(self) -> Path:
        """Where they lie, the newer of two; the preferred place where there are none.

        Raises
        ------
        DataFolderError
            If nobody can say which image they are of.
        """
        if self.by_stem and self.alike:
            names = [image.name for image in self.alike]
            msg = (
                f"{self.by_stem.name} may be of {' or '.join(names)}: call it "
                f"{' or '.join(name + self.suffix for name in names)}"
            )
            raise DataFolderError(msg)
        there = [path for path in (*self.places, self.by_stem) if path and path.is_file()]
        return max(there, key=lambda path: path.stat().st_mtime) if there else self.places[0]

    def write(
        self,
        annotations: Callable[[], Iterable[Annotation]],
        about: Mapping[str, Any],
        known: Known | None = None,
    ) -> Path:
        """Write all annotations of the image, whole or not at all; returns where.

        What others have written since the file was ``known`` is taken in: ``known.annotations``
        says what the file holds then. What can't be taken in, since it says something else of the same
        objects or is of another image, is kept beside; ``known.note`` says so.

        Parameters
        ----------
        annotations
            Gives them, from the first one on, for each place that is tried.
        about
            What the file says of itself, plain JSON.
        known
            What the writer knows of the file, which becomes what it knows then; None replaces
            whatever is there.

        Raises
        ------
        OutputError
            If no place can be written; what was there stays as it was.
        ResultFormatError
            If others have written something there that can't be read; it stays as it was.
        """
        *others, last = self.places
        for place in others:
            try:
                return self._write(place, annotations, about, known)
            except _BusyError:
                raise
            except OutputError:
                continue
        return self._write(last, annotations, about, known)

    def _write(
        self,
        place: Path,
        annotations: Callable[[], Iterable[Annotation]],
        about: Mapping[str, Any],
        known: Known | None,
    ) -> Path:
        with _alone(place):
            there = self.path
            if known is None:
                geojson.write(place, annotations(), about, OURS)
            elif not there.is_file() or merging.stamp(there) == known.stamp:
                own: dict[bytes, str] = {}
                every = chain(annotations(), known.hidden)
                geojson.write(place, _noted(every, own), about, OURS)
                known.stamp, known.said = merging.stamp(place), own
                known.annotations, known.note = None, ""
            else:
                self._merge(place, there, [*annotations(), *known.hidden], about, known)
        return place

    def _merge(
        self,
        place: Path,
        there: Path,
        own: list[Annotation],
        about: Mapping[str, Any],
        known: Known,
    ) -> None:
        """Write what others have written into ``there`` and what is said here, in one."""
        copy = None
        theirs, said = geojson.read(there, about.get("origin", (0.0, 0.0)))
        if why := _differs(said, about):
            copy = self._aside(there)
            geojson.write(copy, theirs, said, OURS)
            merged, note = (
                own,
                f"{there.name} was written by another window, {why}: that is in {copy.name}",
            )
        else:
            merged, clashing = merging.merge(own, theirs, known.said)
            note = f"{there.name} was changed by another window too: both are kept"
            if clashing:
                copy = self._aside(there)
                geojson.write(copy, clashing, said, OURS)
                note += f". Of {len(clashing)} it says something else, which is in {copy.name}"
        geojson.write(place, merged, about, OURS)
        known.said, known.written = merging.said(own), merging.stamp(place)
        known.stamp = known.annotations = None
        known.note = note
        if merging.said(merged) != known.said:
            known.annotations = tuple(merged)
        elif copy is None:  # others have changed nothing but the file's date
            known.stamp, known.note = known.written, ""

    def _aside(self, there: Path) -> Path:
        """A name beside a file that nothing has, for what can't be taken in."""
        stem = there.name.removesuffix(".geojson")
        names = (there.with_name(f"{stem}{ASIDE}{number}.geojson") for number in count(1))
        return next(path for path in names if not path.exists())

    @classmethod
    def in_folder(cls, folder: Path, suffix: str, *, below: bool = False) -> list[AnnotationStore]:
        """All images of a folder that have annotations in either place, in order of their names.

        What lies beside an image may be named after its stem too (``case.geojson`` of
        ``case.svs``, as QuPath has it). Where several images have that stem, the store has no path.

        Parameters
        ----------
        below
            Whether subfolders count too.
        """
        files = sorted((folder.rglob if below else folder.glob)("*"))
        stems: dict[Path, list[Path]] = {}
        for file in sorted(files, key=lambda file: _dots(file.name)):
            if file.suffix.lower() not in _NO_IMAGE:
                for stem in _stems(file.name):
                    stems.setdefault(file.with_name(stem), []).append(file)
        stores: dict[Path, AnnotationStore] = {}
        for file in files:
            if not file.name.endswith(suffix):
                continue
            named = file.with_name(file.name.removesuffix(suffix))
            if named.suffix.lower() not in _NO_IMAGE and named.exists():
                stores.setdefault(named, cls(named, suffix))
                continue
            images = stems.get(named, [named])
            alike = [one for one in images if _dots(one.name) == _dots(images[0].name)]
            image = alike[0] if len(alike) == 1 else named
            by_stem = None if image == named and len(alike) == 1 else file
            stores.setdefault(image, cls(image, suffix, by_stem, tuple(alike[1:] and alike)))
        names = {file.name for file in data_folder().glob(f"corrections/*/*{suffix}")}
        for store in (cls(file, suffix) for file in files if file.name + suffix in names):
            if store.elsewhere.is_file():
                stores.setdefault(store.image, store)
        return [stores[image] for image in sorted(stores)]


class _BusyError(OutputError):
    """Somebody else writes there: no reason to write elsewhere."""


class _Opened(Protocol):
    """A slide, or a mammogram."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> Path | None: ...


def file_of(image: _Opened) -> Path:
    """The file of an open image, beside which annotations are kept.

    Raises
    ------
    OutputError
        If it is none.
    """
    if image.path is None:
        msg = f"{image.name} is no file, so nothing can be kept with it: save it and open it again"
        raise OutputError(msg)
    return image.path


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Let nobody else write a file of annotations between its reading and its writing."""
    lock = FileLock(
        place.with_name(f"{ROOM}{place.name}.lock"), timeout=_WAIT_S, thread_local=False
    )
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise _BusyError(f"another program has been writing {place} for long; try again") from None
    except OSError as error:
        raise output_error(place, error) from error
    try:
        yield
    finally:
        with suppress(OSError):  # before it is let go of: who waits for it takes another then
            Path(lock.lock_file).unlink()
        lock.release()


def _noted(annotations: Iterable[Annotation], said: dict[bytes, str]) -> Iterator[Annotation]:
    """The same, and what is said of each in a dictionary."""
    for key, one in merging.keyed(annotations):
        said[key] = merging.words(one)
        yield one


def _differs(theirs: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Why two files can't be one, in words; empty if they can."""
    before, now = (Imprint.read(about.get("imprint")) for about in (theirs, own))
    if before is not None and now is not None and before.contradicts(now):
        return "for another image of this name"
    if any(theirs.get(k) and own.get(k) and _plain(theirs[k]) != _plain(own[k]) for k in _SAME):
        return "after another run"
    return ""


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    return json.loads(json.dumps(value))


def _dots(name: str) -> int:
    """How many there are but for those that belong to a suffix: in ``case.ome.tif`` one."""
    return name.count(".") - any(f"{double}." in name.lower() for double in _DOUBLE)


def _stems(name: str) -> list[str]:
    """``case.ome.tif`` -> ``case.ome``, ``case``."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]
