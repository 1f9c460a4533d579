"""What a nucleus model has forgotten: figures on a fixed set of drawn tiles, whose nuclei are all known.

They are cut from the H&E phantom of the samples, which shows no tissue of any patient and lies beside the
program; no training of ours knows them.
"""

from __future__ import annotations

import csv
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.before_after import compared
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei.data import NucleiFolder, NucleiImage
from napari_pathogan.tasks.nuclei.evaluate import figures, predicted_images, score

if TYPE_CHECKING:
    from napari_pathogan.engine.report import Value
    from napari_pathogan.tasks.nuclei.model import NucleiModel

_NAME = "he_phantom_40x"
_SIDE, _TILES = 256, 8
_FIGURES = "dice", "pq"
NOTE = (
    "reference: drawn tiles of a phantom, the same for every model, which none has learnt from; what it falls by is "
    "forgotten"
)


def drawn_tiles() -> NucleiFolder:
    """Tiles of the phantom with every nucleus numbered; those with the most nuclei."""
    folder = resources.files("napari_pathogan") / "plugin" / "sample_data"
    with (
        resources.as_file(folder / f"{_NAME}.ome.tif") as path,
        Slide.open(path) as slide,
    ):
        assert slide.mpp is not None
        pixels, mpp = np.asarray(slide.levels[0][:]), slide.mpp[0]
    rows = list(csv.DictReader((folder / f"{_NAME}.csv").read_text().splitlines()))
    mask = np.zeros(pixels.shape[:2], np.int32)
    for number, row in enumerate(rows, 1):
        _draw(mask, number, {k: float(v) for k, v in row.items() if k != "class"}, mpp)
    high, wide = np.array(mask.shape) // _SIDE
    corners = [(r * _SIDE, c * _SIDE) for r in range(high) for c in range(wide)]
    parts = {(y, x): (slice(y, y + _SIDE), slice(x, x + _SIDE)) for y, x in corners}
    most = sorted(corners, key=lambda at: -len(np.unique(mask[parts[at]])))[:_TILES]
    return NucleiFolder(
        tuple(
            NucleiImage(f"{_NAME} {y} {x}", _NAME, pixels[parts[y, x]], mask[parts[y, x]], mpp)
            for y, x in sorted(most)
        ),
        outlined=True,
    )


def forgotten(old: NucleiModel, new: NucleiModel) -> dict[str, Value]:
    """Dice and PQ of two models on the drawn tiles, with intervals over tiles."""
    tiles = drawn_tiles()
    scored = [
        [
            score(image, planes, model.threshold, instances_known=True)
            for image, planes in predicted_images(tiles, model)
        ]
        for model in (old, new)
    ]
    found: dict[str, Value] = {}
    for figure in _FIGURES:

        def of(which: np.ndarray, figure: str = figure) -> tuple[float, float] | None:
            one, two = (
                figures([side[i] for i in which], np.ones(len(which))).get(figure)
                for side in scored
            )
            return None if one is None or two is None else (one, two)

        found |= compared(f"reference_{figure}", of, np.arange(len(tiles)))
    return found


def _draw(mask: np.ndarray, number: int, of: dict[str, float], mpp: float) -> None:
    """Number the pixels of an ellipse."""
    long, short = of["long_um"] / mpp / 2, of["short_um"] / mpp / 2
    top, left = (max(0, int(of[axis] - long)) for axis in "yx")
    rows, cols = np.mgrid[top : int(of["y"] + long) + 2, left : int(of["x"] + long) + 2]
    here = mask[top : int(of["y"] + long) + 2, left : int(of["x"] + long) + 2]
    dy, dx = (axis[: here.shape[0], : here.shape[1]] for axis in (rows - of["y"], cols - of["x"]))
    cos, sin = np.cos(of["angle"]), np.sin(of["angle"])
    here[((dx * cos + dy * sin) / long) ** 2 + ((dy * cos - dx * sin) / short) ** 2 <= 1] = number
