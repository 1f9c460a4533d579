"""A folder of drawn mammograms, and a recipe small enough to train on it."""

from __future__ import annotations

import numpy as np
import pytest
from breast_phantoms import SHAPE, disc, mammogram

from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.blending.config import TrainConfig
from napari_pathogan.tasks.masses.data import MassImage, read_mass_folder, write_mass_folder

MASSES = {"a": (170, 80, 14), "b": (200, 60, 10)}


@pytest.fixture(scope="session")
def mass_images(tmp_path_factory):
    """Where the folder is: two patients with a mass, three without (one of them MLO)."""
    path = tmp_path_factory.mktemp("masses") / "set"
    with write_mass_folder(path) as add:
        for seed, patient in enumerate("abcde"):
            own = [MASSES[patient]] if patient in MASSES else []
            view = "MLO" if patient == "e" else "CC"
            pixels = mammogram(10 * seed, masses=own, muscle=view == "MLO")
            mask = np.array([disc(SHAPE, m[:2], m[2]) for m in own], bool).reshape(-1, *SHAPE)
            boxes = [(x - r, y - r, x + r + 1, y + r + 1) for y, x, r in own]
            boxes = np.array(boxes, np.float32).reshape(-1, 4)
            add(MassImage(f"{patient}1", patient, pixels, boxes, mask, "L", view, synthetic=False))
    return path


@pytest.fixture(scope="session")
def folder(mass_images):
    return read_mass_folder(mass_images)


@pytest.fixture
def tiny():
    return TrainConfig(width=4, judge=4, epochs=2, steps=2, batch=2, crop=64)


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.start({})
    return run
