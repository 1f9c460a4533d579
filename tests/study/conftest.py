"""Small studies of noise images, quick to make and to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from study_makers import copied, made, noise_images

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.study.record import Study


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


@pytest.fixture(scope="session")
def templates(sources, tmp_path_factory) -> dict[str, Path]:
    """One study of each mode, to be copied."""
    folder = tmp_path_factory.mktemp("templates")
    small = {"n_real": 10, "n_generated": 10}
    session = {"practice": 2, "repeats": 0.2, "controls": 2, "block": 10}
    for mode in ("yes-no", "pairs"):
        made({**sources, **small, "mode": mode, "session": session}, folder / mode)
    return {mode: folder / mode for mode in ("yes-no", "pairs")}


@pytest.fixture
def study(templates, tmp_path) -> Study:
    """10 + 10 images, 2 of practice, 4 repeats, 2 controls: 28 trials."""
    return copied(templates["yes-no"], tmp_path / "study")


@pytest.fixture
def pairs(templates, tmp_path) -> Study:
    """10 pairs, 2 of practice, 2 repeats, 2 controls: 16 trials."""
    return copied(templates["pairs"], tmp_path / "pairs")
