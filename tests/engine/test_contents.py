"""Which images a model has learnt from is told by their pixels, whatever they are called, and only by digests."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.engine import contents
from napari_pathogan.engine.contents import digest_of, noted
from napari_pathogan.engine.models import ModelCard, TrainingData
from napari_pathogan.mammograms.study import open_mammogram
from napari_pathogan.slides.imprint import Imprint
from napari_pathogan.slides.slide import Slide


def image(path, seed=0, channels=(3,)):
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 255, (12, 10, *channels), np.uint8)
    Image.fromarray(cells.repeat(16, 0).repeat(16, 1)).save(path)
    return path


def card_of(data):
    return ModelCard(
        name="own",
        title="",
        task="idc",
        architecture="",
        training_data=(TrainingData(name="old"), data),
    )


def of(files, data=TrainingData(name="slides")):  # noqa: B008 - frozen
    """What is noted of some files."""
    work = noted(data, files)
    try:
        while True:
            next(work)
    except StopIteration as end:
        return end.value


def test_the_same_pixels_are_known_under_another_name_and_others_are_not(tmp_path):
    first, other = image(tmp_path / "Mustermann.png"), image(tmp_path / "b.png", 1)
    copy = shutil.copy(first, tmp_path / "case 7.png")
    Image.open(first).save(tmp_path / "again.tif")
    card = card_of(of([first]))
    assert card.tells_images
    for path in (copy, tmp_path / "again.tif"):
        with Slide.open(path) as slide:
            assert card.has_seen(slide.imprint.digest)
    assert not card.has_seen(digest_of(other))
    assert "Mustermann" not in card.model_dump_json()
    assert ModelCard.model_validate_json(card.model_dump_json()) == card


def test_grey_images_are_mammograms_and_masks_and_damaged_files_are_passed_over(tmp_path):
    grey = image(tmp_path / "grey.png", channels=())
    (tmp_path / "text.png").write_text("no image")
    data = of([grey, tmp_path / "text.png"])
    assert data.images == (open_mammogram(grey).imprint.digest,)


@pytest.mark.parametrize("imprint", [Imprint((9, 9)), Imprint((9, 9), bytes([255] * 36))])
def test_what_is_blank_or_unknown_is_no_image_of_any_model(imprint):
    assert not imprint.digest
    assert not card_of(TrainingData(name="x", images=("",))).has_seen(imprint.digest)


def test_patches_by_the_thousand_are_not_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "MOST", 1)
    files = [image(tmp_path / f"{seed}.png", seed) for seed in range(2)]
    assert of(files).images == ()
    assert len(of(files[:1]).images) == 1


def test_digests_stay_when_patients_are_named():
    data = TrainingData(name="x", images=("0123456789abcdef",))
    assert data.of(["Mustermann"], 3).images == data.pseudonymous().images == data.images
