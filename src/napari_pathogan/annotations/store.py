"""Where annotations of an image lie: beside it, or in the user's data folder."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathogan.annotations import geojson
from napari_pathogan.engine.places import data_folder
from napari_pathogan.errors import OutputError
from napari_pathogan.kinds import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from napari_pathogan.annotations.geojson import Annotation

_PACKAGE = Path(__file__).parents[1]
_NO_IMAGE = {"", ".geojson", ".npy", ".json"}


@dataclass(frozen=True)
class AnnotationStore:
    """The annotations of one image, of one kind.

    Attributes
    ----------
    image
        The image's file; it may be missing where only annotations lie.
    suffix
        Behind the image's name in that of the annotations, such as ``.nuclei.geojson``.
    """

    image: Path
    suffix: str

    @property
    def beside(self) -> Path:
        """Beside the image."""
        return self.image.with_name(self.image.name + self.suffix)

    @property
    def elsewhere(self) -> Path:
        """In the user's data folder, in a folder that a hash of the image's path names."""
        digest = hashlib.sha256(str(self.image.resolve()).encode()).hexdigest()[:16]
        return data_folder() / "corrections" / digest / self.beside.name

    @property
    def places(self) -> tuple[Path, ...]:
        """Where they may lie, the preferred place first; sample data stay as they are."""
        return (
            (self.elsewhere,) if _PACKAGE in self.image.parents else (self.beside, self.elsewhere)
        )

    @property
    def path(self) -> Path:
        """Where they lie, the newer of two; the preferred place where there are none."""
        by_stem = self.image.with_name(self.image.stem + self.suffix)
        there = [path for path in (*self.places, by_stem) if path.is_file()]
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
        ``case.svs``, as QuPath has it).

        Parameters
        ----------
        below
            Whether subfolders count too.
        """
        files = sorted((folder.rglob if below else folder.glob)("*"))
        stems = {f.with_suffix(""): f for f in reversed(files) if f.suffix not in _NO_IMAGE}
        named = (f.with_name(f.name.removesuffix(suffix)) for f in files if f.name.endswith(suffix))
        images = {image if image.exists() else stems.get(image, image) for image in named}
        names = {f.name for f in data_folder().glob(f"corrections/*/*{suffix}")}
        others = (cls(file, suffix) for file in files if file.name + suffix in names)
        images |= {store.image for store in others if store.elsewhere.is_file()}
        return [cls(image, suffix) for image in sorted(images)]
