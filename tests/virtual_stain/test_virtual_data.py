"""Pools of two stains: what is learnt from, and what is refused in a sentence."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.engine.config import SettingError
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.virtual_stain.config import TrainConfig
from napari_pathogan.tasks.virtual_stain.data import Pair, Pool
from napari_pathogan.tasks.virtual_stain.learn import check
from tiny_data import save, tissue, two_pools


@pytest.fixture
def folders(tmp_path):
    two_pools(tmp_path / "source")
    return tmp_path / "source", tmp_path / "target"


def test_images_of_a_slide_are_held_out_together(folders):
    inside, outside = Pair.read(folders[0], target=folders[1]).split(0.5, 0)
    for one, other in ((inside.source, outside.source), (inside.target, outside.target)):
        assert (len(one), len(other)) == (2, 2)
        assert not {*one.slides} & {*other.slides}


def test_sub_folders_belong_to_a_pool(tmp_path):
    for number in range(2):
        save(tissue(number), tmp_path / "a" / f"{number}" / "x_1.png")
    assert len(Pool.read(tmp_path / "a")) == 2


def grey(folder):
    for number in range(2):
        Image.fromarray(tissue(number)[..., 0]).save(folder / f"{number}.png")


def grey_in_colour(folder):
    for number in range(2):
        save(tissue(number)[..., :1].repeat(3, 2), folder / f"{number}.png")


def fluorescence(folder):
    for number in range(2):
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[20:40, 20:40, number] = 200
        save(pixels, folder / f"{number}.png")


def one_image(folder):
    save(tissue(0), folder / "a_1.png")


def small(folder):
    for number in range(2):
        save(tissue(number, 40), folder / f"{number}.png")


def glass(folder):
    for number in range(2):
        save(np.full((64, 64, 3), (245, 240, 225 - number), np.uint8), folder / f"{number}.png")


def no_image(folder):
    (folder / "a.png").write_bytes(b"no image")


@pytest.mark.parametrize(
    ("lay", "why"),
    [
        (grey, "it is grey"),
        (grey_in_colour, "it is grey"),
        (fluorescence, "fluorescence"),
        (one_image, "only one colour image"),
        (small, "smaller than 48 px"),
        (glass, "hardly any tissue|grey"),
        (no_image, "no colour image"),
    ],
)
@pytest.mark.parametrize("which", ["source", "target"])
def test_a_pool_that_will_not_do_is_one_sentence(folders, tmp_path, lay, why, which):
    bad = tmp_path / "bad"
    bad.mkdir()
    lay(bad)
    source, target = (bad, folders[1]) if which == "source" else (folders[0], bad)
    with pytest.raises(DataFolderError, match=why) as caught:
        Pair.read(source, target=target)
    assert "\n" not in str(caught.value)


def test_two_folders_with_the_same_images_are_told(folders, tmp_path):
    save(np.asarray(Image.open(folders[0] / "Mustermann_0.png")), folders[1] / "again_1.png")
    with pytest.raises(DataFolderError, match="1 of the 5 images"):
        Pair.read(folders[0], target=folders[1])
    with pytest.raises(DataFolderError, match="4 of the 4 images"):
        Pair.read(folders[0], target=folders[0])


def test_what_is_left_out_is_told(folders):
    Image.fromarray(tissue(0)[..., 0]).save(folders[0] / "grey.png")
    pair = Pair.read(folders[0], target=folders[1])
    assert len(pair.source) == 4
    assert [*pair.notes()] == [
        "1 files of source were left out, the first: grey.png: it is grey, and a stain is colours"
    ]


@pytest.mark.parametrize("stains", [(None, "he"), ("pas", None), ("", ""), ("pas", "pas")])
def test_stains_are_said_and_never_guessed(folders, stains):
    pair = Pair.read(folders[0], target=folders[1])
    with pytest.raises(SettingError, match="--source-stain"):
        check(pair, TrainConfig(), source_stain=stains[0], target_stain=stains[1])


def test_a_second_folder_is_needed(folders):
    with pytest.raises(SettingError, match="two folders"):
        Pair.read(folders[0], target=None)


def test_one_slide_can_not_be_held_out(folders):
    pair = Pair.read(folders[0], target=folders[1])
    alone = Pool("alone", pair.source.images, ("a",) * 4)
    with pytest.raises(DataFolderError, match="--holdout 0"):
        check(Pair(alone, pair.target), TrainConfig(), holdout=0.2, source_stain="pas",
              target_stain="he")  # fmt: skip
    check(Pair(alone, pair.target), TrainConfig(), source_stain="pas", target_stain="he")
