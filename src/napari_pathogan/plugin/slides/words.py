"""What the Slides dock says of an image: its scale and size, and what is to know of it."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan import files
from napari_pathogan.mammograms.mammogram import Mammogram
from napari_pathogan.plugin.viewer.layers import file_of
from napari_pathogan.slides.names import SYNTHETIC, short
from napari_pathogan.slides.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Layer

    from napari_pathogan.plugin.viewer.opened import Opened

_NUMBERED = re.compile(r" \[\d+\]$")  # as napari calls a second layer of one name
_NAMED = 3  # results that are named where no dock says what was found
_WHOSE = {
    "user": "as you gave it",
    "user (remembered)": "as you gave it",
    "layer": "as its layer has it",
}


def title(one: Opened) -> str:
    """What the image is called; of an examination its views: ``Mammograms: RCC, LCC [synthetic]``."""
    if not one.mammograms:
        return str(one.first.name)
    names = [image.name.removesuffix(SYNTHETIC) for image in one.images]
    numbers, views = zip(*(name.rpartition(": ")[::2] for name in names), strict=True)
    first = f"Examination {numbers[0]}" if numbers[0] else "Mammograms"
    drawn = all(image.name.endswith(SYNTHETIC) for image in one.images)
    return f"{first}: {', '.join(views)}" + SYNTHETIC * drawn


def told_apart(opened: Sequence[Opened]) -> list[str]:
    """What each image is called; with the folders of those whose files are called alike: ``scan.svs (case 7)``."""
    titles = [title(one) for one in opened]
    places = {
        at: path
        for at, one in enumerate(opened)
        if not one.mammograms
        and (path := one.first.metadata.get("path") or file_of(one.first)) is not None
    }
    names = [path.name for path in {*places.values()}]
    alike = {at: path for at, path in places.items() if names.count(path.name) > 1}
    called = files.told_apart(alike.values(), suffixes=True) if alike else {}
    for at, path in alike.items():
        folders = called[path].rpartition("/")[0]
        titles[at] = f"{_NUMBERED.sub('', titles[at])} ({folders})"
    return titles


def scale_text(image: Image) -> str:
    """``0.25 µm/px (Aperio MPP), 12.3 x 8.1 mm``; ``No scale`` where nobody knows."""
    height, width = image.extent.data[1, -2:] + 1
    mpp, whose = _scale(image)
    if mpp is None:
        return f"No scale, {width:,.0f} x {height:,.0f} px"
    (y, x), unit = (mpp, "µm") if np.mean(mpp) < 20 else (np.divide(mpp, 1000), "mm")
    high, wide = height * mpp[0] / 1000, width * mpp[1] / 1000
    digits = 1 if max(high, wide) < 100 else 0
    said = f" ({whose})" if whose else ""
    return f"{np.mean((y, x)):.3g} {unit}/px{said}, {wide:.{digits}f} x {high:.{digits}f} mm"


def results_text(found: Sequence[str], results: Sequence[Layer]) -> str:
    """What docks have found in an image, as they say it; else what lies on it. HTML."""
    if found:
        return "; ".join(found)
    names = [short(one.name).partition(" (")[0] for one in results]
    more = len(names) - _NAMED
    return escape(", ".join(names[:_NAMED])) + (f" and {more} more" if more > 0 else "")


def _scale(image: Image) -> tuple[tuple[float, float] | None, str]:
    """µm a pixel (y, x), and who says so."""
    mammogram, slide = image.metadata.get("mammogram"), image.metadata.get("slide")
    if isinstance(mammogram, Mammogram):
        size = mammogram.mm_per_px
        whose = _WHOSE.get(mammogram.spacing or "", mammogram.spacing or "")
        return (None if size is None else (1e3 * size[0], 1e3 * size[1])), whose
    if isinstance(slide, Slide):
        return slide.mpp, _WHOSE.get(slide.mpp_source, slide.mpp_source)
    return None, ""
