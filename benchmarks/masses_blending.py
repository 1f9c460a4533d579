"""How well lesions are blended: ``python benchmarks/masses_blending.py DIR``.

Lesions of a folder are grown in its healthy images by every method, at the same places. With
``--fold`` only images of that fold's patients are used, as ``pathogan masses train --folds`` makes
them: give the network that was trained without them (``RUN/folds/<fold>/blending``). Prints a
Markdown table; with ``--pictures`` also writes a picture (keep those of real patients to yourself).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.tasks.blending.blend import Blended, blend, loss_maps
from napari_pathogan.tasks.blending.lesions import windowed
from napari_pathogan.tasks.blending.model import TASK, BlendModel
from napari_pathogan.tasks.blending.synthesise import Placement, plans
from napari_pathogan.tasks.masses.data import read_mass_folder

COLUMNS = ("seam", "background", "contrast", "texture", "LS", "s an image")
SHOWN, SHOWN_PX = 8, 256


def step_across(image: np.ndarray, region: np.ndarray) -> float:
    """Mean difference between neighbours on both sides of a region's border."""
    steps = []
    for axis in (0, 1):
        crossing = np.diff(region.astype(int), axis=axis) != 0
        steps.append(np.abs(np.diff(image, axis=axis))[crossing])
    return float(np.concatenate(steps).mean())


def contrast(image: np.ndarray, made: Blended) -> float:
    """Lesion against the rim around it."""
    return float(image[made.mask].mean() - image[made.region & ~made.mask].mean())


def texture(image: np.ndarray, made: Blended) -> float:
    """Standard deviation of what is finer than 2 px, in the lesion."""
    return float((image - ndimage.gaussian_filter(image, 2))[made.mask].std())


def figures(image: np.ndarray, plan: Placement, made: Blended) -> dict[str, float]:
    """What a method did, for one image; sums are divided later."""
    y0, y1, x0, x1 = made.window
    patch = np.zeros_like(plan.image)
    top, left, bottom, right = max(0, y0), max(0, x0), *np.minimum((y1, x1), patch.shape)
    patch[top:bottom, left:right] = made.stage.e[top - y0 : bottom - y0, left - x0 : right - x0]
    near = ndimage.binary_dilation(made.region, iterations=16) & ~made.region
    maps = loss_maps(made, image)
    return {
        "seam": step_across(image, made.region),
        "seam of X": step_across(plan.image, made.region),
        "background": 255 * float(np.abs(image - plan.image)[near].mean()),
        "contrast": contrast(image, made) - contrast(plan.image, made),
        "contrast of E": contrast(patch, made),
        "texture": texture(image, made),
        "texture of E": texture(patch, made),
        "LS": 255**2 * float(maps["seamless"].sum() / made.region.sum()),
    }


def row(name: str, found: list[dict[str, float]], seconds: float) -> str:
    """One method's line of the table."""
    mean = {key: np.mean([one[key] for one in found]) for key in found[0]}
    values = (
        f"{mean['seam'] / mean['seam of X']:.2f}",
        f"{mean['background']:.2f}",
        f"{mean['contrast'] / mean['contrast of E']:.2f}",
        f"{mean['texture'] / mean['texture of E']:.2f}",
        f"{mean['LS']:.1f}",
        f"{seconds:.2f}" if seconds else "",
    )
    return f"| {name} | {' | '.join(values)} |"


def main() -> None:
    """Blend, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=TASK, help="of the method blending")
    parser.add_argument("--adversarial", help="a network trained without prior knowledge")
    parser.add_argument("--fold", type=int, help="use the patients of this fold only")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("-n", type=int, default=60)
    parser.add_argument("--pictures", type=Path, help="PNG to write: X and the methods below")
    asked = parser.parse_args()
    folder = read_mass_folder(asked.folder)
    if asked.fold is not None:
        folder = folder.subset(patient_folds(folder.patients, asked.folds) == asked.fold)
    models = {"poisson": None, "blending": BlendModel.load(asked.model, "cpu")}
    if asked.adversarial:
        models["adversarial"] = BlendModel.load(asked.adversarial, "cpu")
    found: dict[str, list[dict[str, float]]] = {}
    seconds = dict.fromkeys(models, 0.0)
    pictures = []
    for number, plan in enumerate(plans(folder, asked.n, seed=0)):
        pose = {"scale": plan.scale, "angle": plan.angle, "seed": number}
        column = [plan.image]
        for method, model in models.items():
            start = time.process_time()
            made = blend(plan.image, plan.lesion, plan.centre, method=method, model=model, **pose)
            seconds[method] += time.process_time() - start
            found.setdefault(method, []).append(figures(made.image, plan, made))
            column.append(made.image)
        found.setdefault("pasted", []).append(figures(made.pasted, plan, made))
        if number < SHOWN:
            corners = [int(c) - SHOWN_PX // 2 for c in plan.centre]
            window = tuple((c, c + SHOWN_PX) for c in corners)
            column.insert(1, made.pasted)
            pictures.append(np.concatenate([windowed(part, window) for part in column]))
    print(f"| method | {' | '.join(COLUMNS)} |")
    print(f"| {' | '.join(['---'] * (len(COLUMNS) + 1))} |")
    for method, values in found.items():
        print(row(method, values, seconds.get(method, 0.0) / asked.n))
    if asked.pictures:
        grey = np.concatenate(pictures, 1).clip(0, 1)
        Image.fromarray(np.round(255 * grey).astype(np.uint8)).save(asked.pictures)


if __name__ == "__main__":
    main()
