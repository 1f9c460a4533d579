"""Slides and a model of the toy task, for batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from napari_pathogan import tasks
from napari_pathogan.engine.models import ModelCard, save_model
from napari_pathogan.tasks import registered


@pytest.fixture
def toy(monkeypatch):
    """The toy task, registered as any other."""
    monkeypatch.setattr(tasks, "PACKAGES", [*tasks.PACKAGES, "toy_task"])
    return registered()["toy"]


@pytest.fixture
def model(tmp_path):
    """A model of it: the darker, the surer."""
    card = ModelCard(
        name="toy-own",
        title="Dark pictures",
        task="toy",
        architecture="linear",
        mpp=1.0,
        patch_px=8,
        classes=("light", "dark"),
        training_data=(),
        metrics={},
    )
    weights = {"weight": torch.tensor([[-8.0]]), "bias": torch.tensor([4.0])}
    save_model(tmp_path / "toy-own", card, weights)
    return tmp_path / "toy-own"


@pytest.fixture
def picture():
    """Save a slide of one grey with a little noise; each name has its own."""

    def save(path):
        rng = np.random.default_rng(list(path.name.encode()))
        level = int(rng.integers(20, 220))
        pixels = rng.integers(level, level + 20, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return save


@pytest.fixture
def slides(tmp_path, picture):
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png", "d.png"):
        picture(folder / name)
    return folder
