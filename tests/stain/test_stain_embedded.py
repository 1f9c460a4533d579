"""The embedded styles on real images of the other laboratory."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathogan.tasks.stain.config import RECIPES, TrainConfig
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.evaluate import evaluate
from napari_pathogan.tasks.stain.finish import KNOTS
from napari_pathogan.tasks.stain.model import StyleModel


@pytest.mark.parametrize("name", ["stain-tnbc", "stain-crc"])
def test_the_styles_are_there_and_say_what_they_are(name):
    card = StyleModel.load(name, "cpu").card
    assert card.mpp in {0.25, 0.55}
    assert card.metrics["ssim_lightness"].value > 0.99
    assert card.training_data[0].terms
    command = card.measured_by.replace("--epochs ", "--set epochs=")  # either gives the same
    assert TrainConfig(**card.recipe).typed(RECIPES) + f" --mpp {card.mpp}" in command
    assert card.settings["student_error_lab"] < 5
    assert len(card.settings["tint"]["mean"]) == len(KNOTS)


def test_the_network_comes_closer_and_keeps_structure(data):
    style = StyleModel.load("stain-tnbc", "cpu")
    source = StylePool.read(data / "crc_nuclei/images")
    source = source.select(np.arange(len(source)) % 8 == 0)
    target = StylePool.read(data / "tnbc/images")
    target = target.select([p in {"04", "06"} for p in target.patients])
    figures = evaluate(source, target, style).to_dict()
    for measure, sign in (("euclidean", 1), ("correlation", -1), ("hellinger", 1)):
        cnn = figures[f"cnn_{measure}"]["value"] * sign
        for other in ("none", "macenko", "reinhard", "reinhard_bounded", "cnn_own_lightness"):
            assert cnn < figures[f"{other}_{measure}"]["value"] * sign, (measure, other)
    assert figures["cnn_ssim"]["value"] >= 0.99
    assert figures["reinhard_ssim"]["value"] < 0.97
