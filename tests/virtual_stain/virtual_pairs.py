"""A pair of stains with small networks that have learnt nothing."""

from __future__ import annotations

import torch

from napari_pathogan.engine.models import ModelCard
from napari_pathogan.tasks.virtual_stain.model import TASK, save
from napari_pathogan.tasks.virtual_stain.network import Discriminator, Generator

NGF, NDF, BLOCKS = 4, 4, 2


def save_pair(folder, *, source="pas", target="masson", seed=0, mpp=1.0, **settings):
    """Write a model folder and return it; the four networks differ."""
    torch.manual_seed(seed)
    made = {
        "forth": Generator(NGF, BLOCKS),
        "reverse": Generator(NGF, BLOCKS),
        "source_judge": Discriminator(NDF),
        "target_judge": Discriminator(NDF),
    }
    card = ModelCard(
        name=folder.name, title="A pair", task=TASK, architecture="", mpp=mpp, patch_px=64,
        settings=settings, classes=(target, source),
    )  # fmt: skip
    weights = {name: network.state_dict() for name, network in made.items()}
    save(folder, card, weights, source_stain=source, target_stain=target,
         ngf=NGF, blocks=BLOCKS, ndf=NDF)  # fmt: skip
    return folder
