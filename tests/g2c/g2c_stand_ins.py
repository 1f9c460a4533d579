"""Small stand-ins: images of two classes, and pairs of stains that learnt nothing."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from napari_pathogan.engine.models import ModelCard
from napari_pathogan.tasks.virtual_stain.model import save
from napari_pathogan.tasks.virtual_stain.network import Discriminator, Generator

SMALL = {"width": 4, "side": 32, "batch": 4, "epochs": 2, "freeze": 1}


def pair(folder, source="he", target="pas", seed=0):
    """The folder of a pair of stains, named after them, with random weights."""
    torch.manual_seed(seed)
    networks = {
        "forth": Generator(2, 1),
        "reverse": Generator(2, 1),
        "source_judge": Discriminator(2),
        "target_judge": Discriminator(2),
    }
    name = f"{source}-{target}"
    card = ModelCard(name=name, title=name, task="virtual-stain", architecture="cyclegan")
    save(
        folder / name,
        card,
        {part: network.state_dict() for part, network in networks.items()},
        source_stain=source,
        target_stain=target,
        ngf=2,
        blocks=1,
        ndf=2,
    )
    return str(folder / name)


def images(folder, patients=("ann", "bob", "cid"), classes=("0", "1"), count=4, side=40):
    """``<patient>/<class>/<n>.png``: the later the class, the darker."""
    rng = np.random.default_rng(0)
    for who in patients:
        for number, label in enumerate(classes):
            place = folder / who / label
            place.mkdir(parents=True)
            for n in range(count):
                pixels = rng.integers(0, 40, (side, side, 3)) + 180 - 60 * number
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{n}.png")
    return folder
