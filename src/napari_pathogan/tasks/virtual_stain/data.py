"""Two pools of images, one of each stain, that need not show the same tissue.

``POOL/**/*.png`` (also jpg, tif). Images of one slide belong together, and are held out together:
those whose names begin alike up to the first ``_`` (``07_3.png`` is of slide 07).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import UnidentifiedImageError

from napari_pathogan.colour.pools import SUFFIXES, stained_image
from napari_pathogan.engine.config import SettingError
from napari_pathogan.errors import DataFolderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LEAST_PX = 48


@dataclass(frozen=True, eq=False)
class Pool:
    """Images of one stain.

    Attributes
    ----------
    name
        Of the folder.
    images
        uint8 (H, W, 3) each, of any sizes from 48 px on.
    slides
        Which slide each is of.
    skipped
        One sentence for each file that was left out.
    """

    name: str
    images: tuple[np.ndarray, ...]
    slides: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Pool:
        """Read a folder.

        Raises
        ------
        DataFolderError
            If it is none, or holds fewer than two images that can be used.
        """
        if not folder.is_dir():
            msg = f"{folder} is not a folder; a pool is a folder of images of one stain"
            raise DataFolderError(msg)
        images, slides, skipped = [], [], []
        paths = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
        for path in sorted(paths):
            try:
                images.append(stained_image(path, LEAST_PX))
            except (OSError, ValueError, UnidentifiedImageError) as error:
                skipped.append(f"{path.name}: {error}")
            else:
                slides.append(path.name.partition("_")[0].partition(".")[0])
        if len(images) < 2:
            why = f" ({skipped[0]})" if skipped else ""
            number = "only one colour image" if images else "no colour image"
            msg = (
                f"{folder} holds {number} of tissue{why}; a pool takes two at the least, better 100"
            )
            raise DataFolderError(msg)
        return cls(folder.name, tuple(images), tuple(slides), tuple(skipped))

    def __len__(self) -> int:
        """Images."""
        return len(self.images)

    def select(self, keep: Sequence[bool] | np.ndarray) -> Pool:
        """Part of the pool."""
        places = np.flatnonzero(keep)
        return Pool(
            self.name,
            tuple(self.images[i] for i in places),
            tuple(self.slides[i] for i in places),
            self.skipped,
        )

    def split(self, share: float, seed: int) -> tuple[Pool, Pool]:
        """Hold out about a share of the slides (at least one); the rest comes first.

        Raises
        ------
        DataFolderError
            If there is only one slide.
        """
        names = sorted(set(self.slides))
        if len(names) < 2:
            msg = (
                f"all {len(self)} images of {self.name} are of one slide by their names; none can be "
                "held out (--holdout 0)"
            )
            raise DataFolderError(msg)
        shuffled = np.random.default_rng(seed).permutation(names)
        out = set(shuffled[: max(1, min(len(names) - 1, round(share * len(names))))])
        held = np.array([name in out for name in self.slides])
        return self.select(~held), self.select(held)


@dataclass(frozen=True, eq=False)
class Pair:
    """A pool of the source stain and one of the target stain."""

    source: Pool
    target: Pool

    @property
    def pools(self) -> tuple[Pool, Pool]:
        """Both."""
        return self.source, self.target

    @classmethod
    def read(cls, folder: Path, *, target: Path | None) -> Pair:
        """Read two folders.

        Raises
        ------
        DataFolderError
            If one of them won't do, or both hold the same image.
        SettingError
            If there is no second folder.
        """
        source = Pool.read(folder)
        if target is None:
            raise SettingError("a pair of stains is learnt from two folders: name the target's too")
        pair = cls(source, Pool.read(target))
        seen = {_fingerprint(image) for image in pair.source.images}
        same = sum(_fingerprint(image) in seen for image in pair.target.images)
        if same:
            msg = (
                f"{same} of the {len(pair.target)} images of {target} are in {folder} too: give a folder "
                "of images of the source stain and another of the target stain"
            )
            raise DataFolderError(msg)
        return pair

    def split(self, share: float, seed: int) -> tuple[Pair, Pair | None]:
        """Hold out a share of each pool's slides, as :meth:`Pool.split`; none with a share of 0."""
        if not share:
            return self, None
        (source, source_out), (target, target_out) = (
            pool.split(share, seed) for pool in self.pools
        )
        return Pair(source, target), Pair(source_out, target_out)

    def notes(self) -> Iterator[str]:
        """What was left out of the pools."""
        for pool in self.pools:
            if pool.skipped:
                yield (
                    f"{len(pool.skipped)} files of {pool.name} were left out, the first: "
                    f"{pool.skipped[0]}"
                )


def _fingerprint(image: np.ndarray) -> bytes:
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
