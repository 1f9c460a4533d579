"""Where annotations of an image lie: beside it, or in the user's data folder."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from napari_pathogan import addresses
from napari_pathogan.annotations import geojson
from napari_pathogan.errors import DataFolderError, OutputError
from napari_pathogan.files import data_folder
from napari_pathogan.kinds import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from napari_pathogan.annotations.geojson import Annotation

_PACKAGE = Path(__file__).parents[1]
_NO_IMAGE = {
    "", ".geojson", ".npy", ".json", ".xml", ".csv", ".tsv", ".txt", ".parquet", ".h5ad", ".xlsx", ".pdf",
    ".html", ".md", ".log", ".zip", ".gz", ".db", ".qpproj", ".qpdata", ".backup", ".tmp",
}  # fmt: skip
_DOUBLE = (".ome",)  # before the suffix proper


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
        self, annotations: Callable[[], Iterable[Annotation]], about: Mapping[str, Any]
    ) -> Path:
        """Write all annotations of the image, whole or not at all; returns where.

        Parameters
        ----------
        annotations
            Gives them, from the first one on, for each place that is tried.
        about
            What the file says of itself, plain JSON.

        Raises
        ------
        OutputError
            If no place can be written; what was there stays as it was.
        """
        *others, last = self.places
        for place in others:
            with suppress(OutputError):
                geojson.write(place, annotations(), about, OURS)
                return place
        geojson.write(last, annotations(), about, OURS)
        return last

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


def _dots(name: str) -> int:
    """How many there are but for those that belong to a suffix: in ``case.ome.tif`` one."""
    return name.count(".") - any(f"{double}." in name.lower() for double in _DOUBLE)


def _stems(name: str) -> list[str]:
    """``case.ome.tif`` -> ``case.ome``, ``case``."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]
