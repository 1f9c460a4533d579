"""The embedded styles on real images of the other laboratory."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathogan.colour.baselines import Reinhard
from napari_pathogan.tasks.stain.config import RECIPES, TrainConfig
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.evaluate import METHODS, evaluate
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


@pytest.mark.parametrize(("name", "least"), [("stain-hamamatsu", 1.5), ("stain-aperio", 0.2)])
def test_the_scanner_styles_beat_what_is_simple(name, least):
    """Their cards say so, of cases left out: the linear map between moments, and the rest."""
    card = StyleModel.load(name, "cpu").card
    psnr = {k.removesuffix("_psnr"): m.value for k, m in card.metrics.items() if "_psnr" in k}
    assert set(psnr) == set(METHODS)
    assert max(psnr, key=psnr.get) == "scanner"
    assert psnr["scanner"] > psnr["linear"] + least
    assert card.metrics["psnr"] == card.metrics["scanner_psnr"]
    assert all("MITOS-ATYPIA-14" in data.terms for data in card.training_data)
    assert f"stain_pairs.py PAIRS {name.removeprefix('stain-')}" in card.measured_by


@pytest.mark.parametrize(
    ("name", "source"), [("stain-hamamatsu", "aperio"), ("stain-aperio", "hamamatsu")]
)
def test_slides_of_the_other_scanner_begin_with_the_map(data, name, source):
    style = StyleModel.load(name, "cpu")
    assert style.scanner is not None
    for room, whose in ((source, True), (name.removeprefix("stain-"), False)):
        pool = StylePool.read(data / "stain_pairs" / room)
        for case in set(pool.patients):
            part = pool.select([p == case for p in pool.patients])
            assert style.scanner.covers(Reinhard.fit(part.tissue()), style.reinhard) == whose
    breast = Reinhard.fit(StylePool.read(data / "tnbc/images").tissue())
    assert not style.scanner.covers(breast, style.reinhard)
    greys = np.repeat(np.arange(0, 250, 10, dtype=np.uint8)[:, None], 3, 1)
    assert (np.diff(style.scanner(greys).astype(int), axis=0) >= 0).all()  # tones stay in order
