"""The smallest data that each task learns from, of two patients, and the quickest way to learn from it."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMES = ("Mustermann", "Musterfrau")


@dataclass(frozen=True)
class Tiny:
    """Data of a task and how it is trained.

    Attributes
    ----------
    make
        Lays the data into a folder.
    options
        Of a training that takes a second, by name; ``settings`` are those of the recipe.
    image
        One of the images, to predict on; empty where nothing is predicted.
    asked
        Options of a prediction.
    export
        A suffix that its result is saved under.
    beside
        Further folders that it learns from, by option: ``make`` lays them beside the first.
    """

    make: Callable[[Path], None]
    options: dict[str, Any]
    image: str = ""
    asked: dict[str, Any] = field(default_factory=dict)
    export: str = ""
    beside: tuple[str, ...] = ()

    def folders(self, data: Path) -> list[Path]:
        """All folders that it learns from."""
        return [data, *(data.parent / name for name in self.beside)]

    def words(self, **more: object) -> Iterator[str]:
        """The options as they are typed."""
        for name, value in (self.options | more).items():
            for one in value if name == "settings" else (value,):
                flag = "--set" if name == "settings" else f"--{name.replace('_', '-')}"
                yield from (flag, str(one))


def tissue(seed: int, side: int = 64) -> np.ndarray:
    """Dark squares on pink, 16 px apart."""
    pixels = np.full((side, side, 3), (225, 170, 200), float)
    for y in range(4, side - 8, 16):
        for x in range(4, side - 8, 16):
            pixels[y : y + 8, x : x + 8] = (110, 70, 150)
    noise = np.random.default_rng(seed).normal(0, 4, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def save(pixels: np.ndarray, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def patches(data):
    for name in NAMES:
        for label in (0, 1):
            for x in range(4):
                file = f"{name}_idx5_x{50 * x + 1}_y{200 * label + 1}_class{label}.png"
                save(tissue(x + label, 50) // (1 + label), data / name / str(label) / file)


def masks(data):
    for name in NAMES:
        pixels = tissue(0)
        save(pixels, data / "images" / f"{name}_1.png")
        save((pixels[..., 0] < 170).astype(np.uint8) * 255, data / "masks" / f"{name}_1.png")


def points(data):
    (data / "points").mkdir(parents=True)
    for name in NAMES:
        save(tissue(0, 240), data / "images" / f"{name}.png")
        lines = [
            f"{x},{y},{'ab'[y % 32 > 8]}" for x in range(8, 232, 16) for y in range(8, 232, 16)
        ]
        (data / "points" / f"{name}.csv").write_text("\n".join(["x,y,class", *lines]))


def pool(data):
    for name in NAMES:
        for number in range(2):
            save(tissue(number), data / f"{name}_{number}.png")


def two_pools(data):
    """Images of two stains, each in a folder of its own: ``data``, and ``target`` beside it."""
    for name in NAMES:
        for number in range(2):
            pixels = tissue(number, 96)
            save(pixels, data / f"{name}_{number}.png")
            save(pixels[..., ::-1], data.parent / "target" / f"{name}_{number}.png")


def mammograms(data):
    y, x = np.mgrid[:96, :72]
    (data / "images").mkdir(parents=True)
    with (data / "images.csv").open("w") as one, (data / "boxes.csv").open("w") as other:
        images, boxes = csv.writer(one), csv.writer(other)
        images.writerow(("file", "patient", "laterality", "view"))
        boxes.writerow(("file", "type", "xmin", "ymin", "xmax", "ymax"))
        for name in NAMES:
            image = np.where((y - 48) ** 2 / 46**2 + x**2 / 65**2 < 1, 90, 0)
            image[(x - 30) ** 2 + (y - 50) ** 2 <= 49] = 220
            Image.fromarray(image.astype(np.uint8)).save(data / "images" / f"{name}.png")
            images.writerow((f"{name}.png", name, "L", "CC"))
            boxes.writerow((f"{name}.png", "mass", 23, 43, 37, 57))


def healthy(data):
    """Mammograms with a mass, and of each patient one without."""
    mammograms(data)
    with (data / "images.csv").open("a") as file:
        for name in NAMES:
            pixels = np.asarray(Image.open(data / "images" / f"{name}.png"))
            save(np.where(pixels > 90, 90, pixels), data / "images" / f"{name}_R.png")
            csv.writer(file).writerow((f"{name}_R.png", name, "R", "CC"))


QUICK = {"recipe": "quick", "epochs": 1}
TINY = {
    "idc": Tiny(
        patches,
        {**QUICK, "width": 0.1, "folds": 2, "settings": ("batch=2",)},
        f"{NAMES[0]}/0/{NAMES[0]}_idx5_x1_y1_class0.png",
        {"mpp": 4.0},
        ".csv",
    ),
    "nuclei": Tiny(
        masks,
        {**QUICK, "width": 2, "folds": 2, "settings": ("batch=2", "crop=32")},
        f"images/{NAMES[0]}_1.png",
        {"mpp": 0.5},
        ".geojson",
    ),
    "nuclei-classes": Tiny(points, {"epochs": 1, "settings": ("width=4", "batch=20")}),
    "masses": Tiny(
        mammograms,
        {
            **QUICK,
            "arm": "real",
            "folds": 2,
            "settings": (
                *("batch=2", "steps=1", "procedural_epochs=0", "width=8", "long_side=96"),
                "crop=[64,64]",
            ),
        },
        f"images/{NAMES[0]}.png",
        {"mm": 0.5},
        ".json",
    ),
    "masses-blending": Tiny(
        healthy,
        {
            "epochs": 1,
            "width": 2,
            "method": "adversarial",
            "settings": ("steps=1", "batch=1", "crop=64"),
        },
    ),
    "stain": Tiny(
        pool,
        {**QUICK, "width": 0.1, "settings": ("batch=2", "steps=2", "crop=32")},
        f"{NAMES[0]}_0.png",
        {"mpp": 0.5, "method": "cnn"},
        ".ome.zarr",
    ),
    "virtual-stain": Tiny(
        two_pools,
        {
            **QUICK,
            "source_stain": "pas",
            "target_stain": "masson",
            "holdout": 0.0,
            "settings": ("ngf=4", "ndf=4", "blocks=1", "steps=2", "crop=32", "decay_epochs=1"),
        },
        f"{NAMES[0]}_0.png",
        {"mpp": 0.5, "source_stain": "pas"},
        ".ome.zarr",
        beside=("target",),
    ),
    "g2c": Tiny(
        patches,
        {
            "epochs": 1,
            "arm": "source",
            "backend": "alexnet",
            "folds": 2,
            "patch_mpp": 4.0,
            "settings": ("width=4", "batch=2", "side=32"),
        },
        f"{NAMES[0]}/0/{NAMES[0]}_idx5_x1_y1_class0.png",
        {"mpp": 4.0},
        ".g2c.csv",
    ),
}
