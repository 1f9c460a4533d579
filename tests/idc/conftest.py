"""Small made-up patches: IDC is dark and speckled, healthy is pale; each patient has a tint."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.tasks.idc.data import PatchFolder


def draw_patches(patients: int = 4, each: int = 12, seed: int = 0) -> PatchFolder:
    """``each`` patches per patient on a 4-wide grid, the left half IDC."""
    rng = np.random.default_rng(seed)
    images, labels, names, xy = [], [], [], []
    for patient in range(patients):
        tint = rng.normal(0, 8, 3)
        for i in range(each):
            idc = i % 4 < 2
            colour = np.array([150, 90, 160] if idc else [225, 170, 200]) + tint
            speckle = rng.normal(0, 30 if idc else 12, (50, 50, 1))
            pixels = colour + speckle + rng.normal(0, 6, (50, 50, 3))
            images.append(pixels.clip(0, 255).astype(np.uint8))
            labels.append(int(idc))
            names.append(f"p{patient}")
            xy.append((1 + 50 * (i % 4), 1 + 50 * (i // 4)))
    return PatchFolder(np.stack(images), np.array(labels, np.int8), np.array(names), np.array(xy))


def write_patches(folder: Path, patches: PatchFolder) -> Path:
    """Write patches in the public layout."""
    for image, label, name, (x, y) in zip(
        patches.images, patches.labels, patches.patients, patches.xy, strict=True
    ):
        file = folder / name / str(label) / f"{name}_idx5_x{x}_y{y}_class{label}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return folder


@pytest.fixture
def patches() -> PatchFolder:
    """Four patients with 12 patches each."""
    return draw_patches()


@pytest.fixture(scope="session")
def draw():
    """The function that draws patches."""
    return draw_patches


@pytest.fixture
def write():
    """The function that writes patches to a folder."""
    return write_patches


@pytest.fixture(scope="session")
def real_patches() -> Path:
    """The folder of real patches; skips where it is not."""
    root = Path(os.environ.get("PATHOGAN_DATA", Path(__file__).parents[3] / "shared" / "data"))
    folder = root / "idc" / "patches"
    if not folder.is_dir():
        pytest.skip("no real patches here (set PATHOGAN_DATA)")
    return folder
