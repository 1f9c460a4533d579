"""Choosing images for a study: readable, no two the same, no real one among the generated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_pathogan.errors import StudyError
from napari_pathogan.study.blocks import StudyImage
from napari_pathogan.study.layout import Truth
from napari_pathogan.study.pictures import Album, Fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from napari_pathogan.study.sources import Picture


@dataclass(eq=False)
class Sieve:
    """Lets good images of one source through, and counts the others.

    Attributes
    ----------
    real
        Whether they are real; else they are generated.
    pool
        All real images that were looked at, chosen or not.
    chosen
        Images of this kind, of any source, that went through.
    """

    real: bool
    pool: Album
    chosen: Album
    _unreadable: list[str] = field(default_factory=list)
    _doubles: list[str] = field(default_factory=list)
    _copies: list[str] = field(default_factory=list)

    def take(self, found: Picture, *, enough: bool) -> StudyImage | None:
        """Give the image with its truth, or None if it is not good, or not needed any more.

        Raises
        ------
        StudyError
            If a generated image has the very pixels of a real one.
        """
        if found.image is None:
            self._unreadable.append(f"{found.origin} {found.problem}")
            return None
        mark = Fingerprint.of(found.image)
        if self.real:
            self.pool.add(found.origin, mark)
        elif twin := self.pool.same(mark):
            msg = (
                f"{found.origin} among the generated images is the real image {twin}; take it out "
                "and make sure that no other folder is mixed"
            )
            raise StudyError(msg)
        if enough or not self._new(found.origin, mark):
            return None
        self.chosen.add(found.origin, mark)
        return self._drawn(found, found.image)

    def _new(self, origin: str, mark: Fingerprint) -> bool:
        if not self.real and (like := self.pool.near(mark)):
            self._copies.append(f"{origin} is like {like}")
            return False
        if like := self.chosen.same(mark) or self.chosen.near(mark):
            self._doubles.append(f"{origin} is like {like}")
            return False
        return True

    def _drawn(self, found: Picture, image: np.ndarray) -> StudyImage:
        source = found.source
        truth = Truth(real=self.real, source=source.name, origin=found.origin, label=source.label)
        return StudyImage(image, truth)

    def left_out(self) -> Iterator[str]:
        """What was left out and why, one line a reason, with the first of each."""
        reasons = (
            (self._unreadable, "unreadable"),
            (self._doubles, "duplicates, or nearly so"),
            (self._copies, "generated ones that nearly copy a real image"),
        )
        for which, why in reasons:
            if which:
                yield f"{len(which)} left out as {why} (the first: {which[0]})"
