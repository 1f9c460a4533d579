"""Which method comes closest to a style, image by image, and what the others come to.

    python benchmarks/stain_choice.py STYLE MPP IMAGES... [--pictures OUT.png]

Each image is a slide of its own. The table counts how often each method is what a view starts with,
and gives the means of what that is chosen by (``tasks/stain/closeness.py``). Pictures: each image as it
is, and by each method in the order of the table; a green line is on what was chosen.
"""

from __future__ import annotations

import argparse
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
from PIL import Image

from napari_pathogan.errors import PathoganError
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.stain.closeness import Closeness, closeness
from napari_pathogan.tasks.stain.levels import transferred
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.predict import Method, fit

SIDE = 330  # pixels of a picture
NAMES = ("distance", *(field.name for field in fields(Closeness)))


def main() -> None:
    """Measure, print, and save pictures if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("style")
    parser.add_argument("mpp", type=float)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--pictures", type=Path)
    asked = parser.parse_args()
    style = StyleModel.load(asked.style)
    chosen: dict[Method, int] = dict.fromkeys(Method, 0)
    figures: dict[str, list[tuple[float, ...]]] = {}
    rows = []
    for path in asked.images:
        image = np.asarray(Image.open(path).convert("RGB"))
        slide = Slide.from_arrays([image], name=path.name, mpp=asked.mpp)
        try:
            best = fit(slide, style)
        except PathoganError as error:
            print(f"left out: {error}")
            continue
        chosen[best.method] += 1
        own = {"as it is": closeness([image], [image], style.goal), **best.measured}
        for method, closest in own.items():
            figures.setdefault(method, []).append((closest.distance, *astuple(closest)))
        if asked.pictures:
            rows.append(row(slide, style, image, best.method))
    print("| method | chosen |", " | ".join(NAMES), "|")
    for method in ("as it is", *Method):
        if method in figures:
            means = " | ".join(f"{value:.3f}" for value in np.mean(figures[method], 0))
            print(f"| {method} | {chosen.get(method, '')} | {means} |")
    if rows:
        Image.fromarray(np.vstack(rows)).save(asked.pictures)


def row(slide: Slide, style: StyleModel, image: np.ndarray, best: Method) -> np.ndarray:
    """An image as it is and by each method, side by side."""
    parts = [thumbnail(image)]
    for method in Method:
        try:
            made = np.asarray(transferred(slide, fit(slide, style, method)).levels[0])
        except PathoganError:
            made = np.full_like(image, 90)
        parts.append(thumbnail(made))
        if method == best:
            parts[-1][:8] = (0, 180, 0)
    return np.hstack(parts)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 (SIDE, SIDE, 3)."""
    return np.array(Image.fromarray(image).resize((SIDE, SIDE)))


if __name__ == "__main__":
    main()
