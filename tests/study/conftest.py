"""Small studies of noise images, quick to make and to answer."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.study.config import make_config
from napari_pathogan.study.design import new_study
from napari_pathogan.study.layout import key_path
from napari_pathogan.study.record import Study

if TYPE_CHECKING:
    from pathlib import Path


def noise_images(folder: Path, n: int, seed: int, side: int = 16) -> Path:
    """Write ``n`` different images."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(autouse=True)
def machine_here(tmp_path_factory, monkeypatch):
    """A user data folder of the tests' own."""
    folder = tmp_path_factory.getbasetemp() / "user"
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: folder / name)


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> dict:
    """Settings of two folders with 60 images each."""
    folder = tmp_path_factory.mktemp("sources")
    real, generated = (noise_images(folder / x, 60, i) for i, x in enumerate(("real", "fake")))
    return {
        "name": "Noise",
        "real": [{"folder": real, "label": "IDC"}],
        "generated": [{"folder": generated, "label": "IDC"}],
    }


def made(settings: dict, folder: Path) -> Study:
    *_, finished = new_study(make_config(settings), folder)
    return finished.result


@pytest.fixture(scope="session")
def templates(sources, tmp_path_factory) -> dict[str, Path]:
    """One study of each mode, to be copied."""
    folder = tmp_path_factory.mktemp("templates")
    small = {"n_real": 10, "n_generated": 10}
    session = {"practice": 2, "repeats": 0.2, "controls": 2, "block": 10}
    for mode in ("yes-no", "pairs"):
        made({**sources, **small, "mode": mode, "session": session}, folder / mode)
    return {mode: folder / mode for mode in ("yes-no", "pairs")}


def copied(template: Path, folder: Path) -> Study:
    """A copy of a study with its key, as a user would copy it."""
    shutil.copytree(template, folder)
    shutil.copy(key_path(template), key_path(folder))
    return Study.open(folder)


@pytest.fixture
def study(templates, tmp_path) -> Study:
    """10 + 10 images, 2 of practice, 4 repeats, 2 controls: 28 trials."""
    return copied(templates["yes-no"], tmp_path / "study")


@pytest.fixture
def pairs(templates, tmp_path) -> Study:
    """10 pairs, 2 of practice, 2 repeats, 2 controls: 16 trials."""
    return copied(templates["pairs"], tmp_path / "study")
