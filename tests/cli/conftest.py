"""What is shared by tests of the commands that look at slides: small models, sections, how they refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.models import ModelCard
from napari_pathogan.tasks.idc import model as idc_models
from napari_pathogan.tasks.idc.calibrate import Calibration
from napari_pathogan.tasks.idc.context import Context
from napari_pathogan.tasks.idc.network import Discriminator
from napari_pathogan.tasks.nuclei import model as nuclei_models
from napari_pathogan.tasks.nuclei.network import UNet

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Command:
    """A command, a small model for it, and a section that does not say how large its pixels are."""

    words: tuple[str, str]
    model: Path
    section: Path
    mpp: float

    def on(self, *slides, model=None):
        """The command with these slides, or the section, the model and a scale."""
        return (
            *self.words,
            *(slides or [self.section]),
            *("--model", model or self.model),
            *self.scale,
        )

    @property
    def scale(self):
        return ("--mpp", self.mpp)


def noisy(path, image, seed, low, high):
    """Save an image with noise."""
    noise = np.random.default_rng(seed).integers(low, high, image.shape)
    Image.fromarray((image + noise).clip(0, 254).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def idc(tmp_path_factory):
    """A network that has learned nothing, and pink tissue on glass."""
    folder = tmp_path_factory.mktemp("idc")
    torch.manual_seed(0)
    calibration = Calibration(1.0, 0.0, 0.5, 0.5)
    card = ModelCard(name="small", title="Small", task="idc", architecture="discriminator")
    idc_models.save(
        folder / "small",
        card,
        Discriminator(0.1, spectral=False),
        width=0.1,
        reference=SlideColours(np.array([0.8, 0.6, 0.7]), np.eye(3) * 0.01),
        share=0.5,
        calibration=calibration,
        context=Context((0.0, 1.0), (0.5, 0.5), calibration),
    )
    image = np.full((700, 900, 3), 245, np.uint8)
    image[100:600, 100:800] = (215, 140, 185)
    section = noisy(folder / "section.png", image, 0, -9, 9)
    return Command(("idc", "predict"), folder / "small", section, 4)


@pytest.fixture(scope="session")
def nuclei(tmp_path_factory):
    """A network by hand that calls what is dark a nucleus, and pink tissue with nine nuclei."""
    folder = tmp_path_factory.mktemp("nuclei")
    network = UNet(2, normalised=False)
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
        network.down[0].conv0.weight[0, :, 1, 1] = 1 / 3  # grey, 1 for white
        network.down[0].conv0.bias[0] = 1  # above 0, so that the rectifier leaves it
        network.down[0].conv1.weight[0, 0, 1, 1] = 1
        network.mix[-1].conv0.weight[0, 0, 1, 1] = 1
        network.mix[-1].conv1.weight[0, 0, 1, 1] = 1
        network.head.weight[:, 0, 0, 0] = torch.tensor([20.0, -20.0, 0.0])
        network.head.bias[:] = torch.tensor([-24.0, 24.0, -30.0])
    card = ModelCard(name="small", title="Small", task="nuclei", architecture="unet")
    nuclei_models.save(folder / "small", card, network, threshold=0.5)
    image = np.full((300, 420, 3), (225, 180, 205))
    for y in (60, 150, 240):
        for x in (70, 210, 350):
            image[y - 12 : y + 12, x - 10 : x + 10] = (100, 60, 130)
    section = noisy(folder / "section.png", image, 0, -6, 7)
    return Command(("nuclei", "segment"), folder / "small", section, 0.25)


@pytest.fixture
def refused(pathogan, tmp_path):
    """Check that a command says one line of what is wrong, and leaves nothing."""

    def check(message, *arguments):
        before = sorted(tmp_path.rglob("*"))
        code, out, err = pathogan(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("pathogan: ")
        assert err.count("\n") == 1, err
        assert message in err
        assert sorted(tmp_path.rglob("*")) == before

    return check
