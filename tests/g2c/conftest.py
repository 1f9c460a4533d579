"""Fixtures of the classifier's tests."""

from __future__ import annotations

import pytest
from g2c_stand_ins import images, pair

from napari_pathogan.engine.devices import choose_device
from napari_pathogan.tasks.virtual_stain.g2c.data import read_folder


@pytest.fixture
def data(tmp_path):
    return images(tmp_path / "data")


@pytest.fixture
def folder(data):
    return read_folder(data)


@pytest.fixture
def pairs(tmp_path):
    """Three pairs of stains from H&E; the last one was trained the other way round."""
    ends = (("he", "pas"), ("he", "masson"), ("pasm", "he"))
    return [pair(tmp_path / "pairs", *one, seed=n) for n, one in enumerate(ends)]


@pytest.fixture
def exactly():
    return choose_device("cpu", "float32")
