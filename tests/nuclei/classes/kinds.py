"""Made-up tissue of three kinds of nuclei: crowded ones, dark ones on pale, drawn-out ones on pink."""

from __future__ import annotations

import numpy as np
from PIL import Image

NAMES = ("epithelial", "inflammatory", "fibroblast")
SIDE = 240  # pixels of an image
_STEP = 40


def draw_image(seed: int):
    """Return uint8 (240, 240, 3), centres (25, 2) y, x and their classes; a band of each kind."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    band = (y // 80).astype(int)
    around = np.array([(150, 110, 180), (240, 225, 238), (228, 160, 195)], float)
    image = around[band]
    image += 14 * np.sin((x + 0.3 * y) / 2)[..., None] * (band == 2)[..., None]
    centres, classes = [], []
    for row in range(6):
        for col in range(5):
            kind = row // 2
            cy, cx = np.array([_STEP * row + 20, _STEP * col + 30]) + rng.uniform(-4, 4, 2)
            dy, dx = y - cy, x - cx
            long, thin = [(8, 7), (4, 4), (9, 2.5)][kind]
            inside = (dx / long) ** 2 + (dy / thin) ** 2 < 1
            image[inside] = [(120, 80, 160), (70, 40, 110), (130, 80, 150)][kind]
            centres.append((cy, cx))
            classes.append(NAMES[kind])
    image += rng.normal(0, 6, image.shape) + rng.normal(0, 5, 3)
    return image.clip(0, 255).astype(np.uint8), np.array(centres), classes


def write_folder(folder, images: int = 6, *, others: bool = False):
    """Write images/ and points/ as the command line reads them."""
    (folder / "images").mkdir(parents=True)
    (folder / "points").mkdir()
    for i in range(images):
        image, centres, classes = draw_image(i)
        Image.fromarray(image).save(folder / "images" / f"im{i}.png")
        rows = [f"{x:.1f},{y:.1f},{c}" for (y, x), c in zip(centres, classes, strict=True)]
        if others:
            rows.append("100,100,others")
        (folder / "points" / f"im{i}.csv").write_text("\n".join(["x,y,class", *rows]) + "\n")
    return folder
