"""No training writes a patient's, slide's or image's name; evaluations know whom a model knows."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.engine.models import CARD
from napari_pathogan.engine.patients import pseudonym

NAMES = ("Mustermann", "Musterfrau")
ONCE = ("--recipe", "quick", "--epochs", "1", "--set", "batch=2")
SMALL = tuple(
    word
    for one in ("steps=1", "procedural_epochs=0", "width=8", "long_side=96", "crop=[64,64]")
    for word in ("--set", one)
)


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


TRAININGS = {
    "idc": (patches, (*ONCE, "--width", "0.1", "--folds", "2")),
    "nuclei": (masks, (*ONCE, "--width", "2", "--set", "crop=32", "--folds", "2")),
    "nuclei classes": (points, ("--epochs", "1", "--set", "width=4", "--set", "batch=20")),
    "stain": (pool, (*ONCE, "--width", "0.1", "--set", "steps=2", "--set", "crop=32")),
    "masses": (mammograms, (*ONCE, "--arm", "real", *SMALL, "--folds", "2")),
}


@pytest.mark.parametrize("task", TRAININGS)
def test_no_name_is_written_and_evaluations_know_whom_a_model_knows(pathogan, tmp_path, task):
    make, settings = TRAININGS[task]
    data, run, words = tmp_path / "data", tmp_path / "run", task.split()
    make(data)
    code, _, said = pathogan(*words, "train", data, "-o", run, "--device", "cpu", *settings)
    assert code == 0, said
    for path in run.rglob("*"):
        assert "muster" not in path.name.lower()
        assert path.is_dir() or b"muster" not in path.read_bytes().lower(), path

    card = run / "model" / CARD
    content = json.loads(card.read_text())
    (learnt,) = content["training_data"]
    assert learnt["patients"]
    also = (data,) if task == "stain" else ()
    asked = (*words, "evaluate", data, *also, "--style" if also else "--model", run, "--json")
    for older in (False, True):
        if older:
            whose = {pseudonym(name): name for name in (*NAMES, *(f"{n}.png" for n in NAMES))}
            learnt["patients"] = [whose[name] for name in learnt["patients"]]
            del learnt["pseudonyms"]
            card.write_text(json.dumps(content))
        code, out, said = pathogan(*asked)
        assert code == 0, said
        notes = json.loads(out)["notes"]
        assert any("2 of these 2" in note or "from 2 of the target's" in note for note in notes)
