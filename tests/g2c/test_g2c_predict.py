"""A map of a slide is what the model says of each patch by itself."""

from __future__ import annotations

import csv
import json
import shutil
from contextlib import suppress

import numpy as np
import pytest
from g2c_stand_ins import SMALL
from PIL import Image

from napari_pathogan.engine.events import Finished, Tile
from napari_pathogan.engine.models import locate
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import ModelError, NoTissueError, PathoganError, UnknownScaleError
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.virtual_stain.g2c.config import TrainConfig
from napari_pathogan.tasks.virtual_stain.g2c.crossval import learn
from napari_pathogan.tasks.virtual_stain.g2c.export import write_csv
from napari_pathogan.tasks.virtual_stain.g2c.model import G2CModel
from napari_pathogan.tasks.virtual_stain.g2c.predict import predict


def model_of(folder, pairs, place, mpp):
    run = RunFolder(place)
    run.start({})
    options = {"generators": pairs[:2], "stain": "he", "device": "cpu", "patch_mpp": mpp}
    list(learn(folder, TrainConfig(**SMALL), run, **options))
    model = G2CModel.load(place, "cpu")
    model.network.front.weight.normal_(0, 3)  # decisions that differ
    return model


@pytest.fixture
def model(folder, pairs, tmp_path):
    return model_of(folder, pairs, tmp_path / "run", 2.0)


@pytest.fixture
def pixels():
    """White, with 4 x 6 patches of 40 px at 2 um, of four shades of pink."""
    image = np.full((320, 400, 3), 250, np.uint8)
    rng = np.random.default_rng(0)
    for row in range(4):
        for col in range(6):
            shade = np.array((200, 110, 160)) - 20 * ((row + col) % 4)
            own = rng.integers(-15, 15, (40, 40, 1)) + shade
            image[40 * (row + 1) :, 40 * (col + 1) :][:40, :40] = own.clip(0, 255)
    return image


@pytest.fixture
def slide(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "slide.png")
    with Slide.open(tmp_path / "slide.png", mpp=2.0) as opened:
        yield opened


def test_a_cell_says_what_its_patch_says(slide, model, pixels, tmp_path):
    events = list(predict(slide, model))
    result = events[-1].result
    assert isinstance(events[-1], Finished)
    assert len(result.cells) == 24
    patches = [pixels[40 * r : 40 * r + 40, 40 * c : 40 * c + 40] for r, c in result.cells]
    expected = model.probability(model.logits(patches))[:, -1]
    np.testing.assert_allclose(result.probability.data[tuple(result.cells.T)], expected, atol=0.05)
    laid = np.full_like(result.probability.data, np.nan)
    for tile in (one for one in events if isinstance(one, Tile) and one.layer == "probability"):
        rows, cols = tile.data.shape
        part = laid[tile.row : tile.row + rows, tile.col : tile.col + cols]
        part[np.isfinite(tile.data)] = tile.data[np.isfinite(tile.data)]
    np.testing.assert_array_equal(laid, result.probability.data)
    assert "virtual pas, masson changed" in result.text

    write_csv(tmp_path / "map.csv", result)
    with (tmp_path / "map.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 24
    assert {"for_he", "for_pas", "for_masson"} < rows[0].keys()
    for row, (r, c) in zip(rows, result.cells, strict=True):
        assert (int(row["row"]), int(row["col"])) == (r, c)
        assert (float(row["y_px"]), float(row["x_px"])) == (40 * r + 19.5, 40 * c + 19.5)
        if row["changed_by"]:
            assert set(row["changed_by"].split("+")) <= {"pas", "masson"}
        likely = float(row["probability"]) > 0.5
        assert row["class"] == ("1" if likely else "0")
    write_csv(tmp_path / "map.csv", result)  # over its own kind


def test_a_region_is_a_part_of_the_map(slide, model):
    *_, whole = predict(slide, model)
    *_, part = predict(slide, model, region=Region(80, 80, 80, 80))
    assert len(part.result.cells) == 4
    there = tuple(part.result.cells.T)
    np.testing.assert_allclose(
        part.result.probability.data[there], whole.result.probability.data[there], atol=0.05
    )
    with pytest.raises(NoTissueError):
        list(predict(slide, model, region=Region(0, 0, 30, 30)))


def test_it_can_be_left_at_any_moment(slide, model):
    work = predict(slide, model)
    next(event for event in work if isinstance(event, Tile))
    work.close()


def test_what_has_no_scale_is_one_sentence(slide, folder, pairs, model, tmp_path):
    without = model_of(folder, pairs, tmp_path / "without", None)
    with pytest.raises(ModelError, match="does not know how large its patches are"):
        list(predict(slide, without))
    with (
        Slide.open(tmp_path / "slide.png") as unknown,
        pytest.raises(UnknownScaleError, match="--mpp"),
    ):
        list(predict(unknown, model))


@pytest.mark.parametrize("key", ["model", "sha256", "stain", "named"])
@pytest.mark.parametrize("value", [[[]], None, 3])
def test_a_card_that_names_a_generator_wrongly_is_one_sentence(tmp_path, key, value):
    folder = shutil.copytree(locate("g2c-idc", "g2c"), tmp_path / "model")
    card = json.loads((folder / "model.json").read_text())
    card["settings"]["generators"][0][key] = value
    (folder / "model.json").write_text(json.dumps(card))
    with suppress(PathoganError):
        G2CModel.load(folder, "cpu")
