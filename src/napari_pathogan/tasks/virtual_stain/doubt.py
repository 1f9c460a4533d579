"""A map of doubt as a result: what it is of, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.saved import reading
from napari_pathogan.slides.backends.ngff import read_multiscales
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.slides.imprint import Imprint
from napari_pathogan.slides.writers.ome import write_ome_zarr

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.slides.slide import Slide

KIND = "doubt of a virtual stain"


@dataclass(frozen=True, eq=False)
class DoubtMap:
    """How doubtful a virtual stain of a slide is, where it was asked.

    Attributes
    ----------
    overlay
        float32 (H, W), on the slide.
    by
        What doubt is measured by, in words.
    view
        The layer in a virtual stain that it is of.
    usual
        Median and 95th percentile in images without defects.
    slide, mpp, imprint
        The slide that was painted: its name, um per pixel (y, x), and what tells it from others.
    """

    overlay: Overlay
    by: str
    view: str
    usual: tuple[float, float]
    slide: str
    mpp: tuple[float, float]
    imprint: Imprint | None = None

    @classmethod
    def of(
        cls, overlay: Overlay, by: str, view: str, usual: tuple[float, float], slide: Slide
    ) -> DoubtMap:
        """A map of a slide that has a scale, as one that is painted has."""
        assert slide.mpp is not None
        return cls(overlay, by, view, usual, slide.name, slide.mpp, slide.imprint)


def write_zarr(path: Path, found: DoubtMap) -> None:
    """Write a map as OME-Zarr, laid on the slide in micrometres.

    Raises
    ------
    OutputError
        If it can't be written; nothing is then left behind.
    """
    about = {
        "kind": KIND,
        "by": found.by,
        "view": found.view,
        "usual": list(found.usual),
        "slide": found.slide,
        "mpp": list(found.mpp),
        "imprint": str(found.imprint or ""),
    }
    write_ome_zarr(path, {"doubt": found.overlay}, found.mpp, {"pathogan": about})


def read_zarr(path: Path) -> DoubtMap:
    """Read what :func:`write_zarr` wrote.

    Raises
    ------
    SlideFormatError, ResultFormatError
        If the folder is incomplete or holds something else.
    """
    images, attributes = read_multiscales(path)
    with reading(path, "is not a whole map of doubt"):
        about = attributes["pathogan"]
        (y, x), (low, high) = (tuple(map(float, about[key])) for key in ("mpp", "usual"))
        overlay = Overlay.from_affine(np.asarray(images[0].levels[0]), *images[0].plane, (y, x))
        return DoubtMap(
            overlay,
            str(about["by"]),
            str(about["view"]),
            (low, high),
            str(about["slide"]),
            (y, x),
            Imprint.read(about.get("imprint")),
        )
