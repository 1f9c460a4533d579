"""Nuclei of six made-up images, and a class model that knows nothing yet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kinds import NAMES, draw_image, write_folder

from napari_pathogan.engine.devices import Device
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei_classes import crossval
from napari_pathogan.tasks.nuclei_classes.config import TrainConfig
from napari_pathogan.tasks.nuclei_classes.data import join, nuclei_of
from napari_pathogan.tasks.nuclei_classes.network import Critic, Generator
from napari_pathogan.tasks.nuclei_classes.stain import Stain
from napari_pathogan.tasks.nuclei_classes.train import Trained

MPP = 0.55


@pytest.fixture(scope="session")
def nuclei():
    """Six images of 30 nuclei each, ten of a kind."""
    parts = []
    for i in range(6):
        image, centres, classes = draw_image(i)
        slide = Slide.from_arrays([image], name=f"im{i}", mpp=MPP)
        parts.append(nuclei_of(slide, centres, classes, MPP))
    return join(parts)


@pytest.fixture
def points(tmp_path):
    """The same images as a folder, with nuclei of a fourth class."""
    return write_folder(tmp_path / "data", others=True)


@pytest.fixture
def raw_model():
    """A model of random weights whose classes are called as the made-up ones."""
    torch.manual_seed(0)
    config = TrainConfig(width=4)
    colours = Stain(np.full(3, 0.6), 0.02 * np.eye(3), np.array([[0.5] * 3, [0.3] * 3]))
    trained = Trained(Critic(3, 4).eval(), Generator(3, 4).eval(), colours)
    for network in (trained.critic, trained.generator):
        network.requires_grad_(requires_grad=False)
    return crossval.assemble(trained, config, MPP, "cpu").renamed(NAMES)


@pytest.fixture
def cpu():
    """Where the tests compute."""
    return Device("cpu", torch.float32)
