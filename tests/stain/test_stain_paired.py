"""Pairs of the same tissue: figures that are known, and folders that are no pairs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity
from stain_phantoms import two_stains

from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.paired import evaluate_paired

METHODS = {"none", "macenko", "reinhard", "reinhard_bounded", "lut", "cnn", "cnn_own_lightness"}


@pytest.fixture(scope="module")
def style():
    return StyleModel.load("stain-tnbc", "cpu")


def folders(place, names, change=lambda image: image, others=None):
    """Two folders of pictures of these names, the second changed."""
    for room, own in (("source", names), ("target", others or names)):
        (place / room).mkdir()
        for number, name in enumerate(own):
            image = np.clip(two_stains(96, number), 30, 200)
            image = image if room == "source" else change(image)
            Image.fromarray(image).save(place / room / name)
    return place / "source", place / "target"


def measured(pair, style):
    return evaluate_paired(*(StylePool.read(folder) for folder in pair), style)


@pytest.mark.parametrize("offset", [0, 5, 20])
def test_psnr_and_ssim_of_a_known_difference(style, tmp_path, offset):
    names = ["a_1.png", "a_2.png", "b_1.png"]
    pair = folders(tmp_path, names, lambda image: image + np.uint8(offset))
    found = measured(pair, style).metrics
    wanted = 20 * np.log10(255 / offset) if offset else 100
    assert found["none_psnr"].value == pytest.approx(wanted)
    ssim = [
        structural_similarity(
            *(np.asarray(Image.open(p / name)) for p in pair), channel_axis=-1, data_range=255
        )
        for name in names
    ]
    assert found["none_ssim"].value == pytest.approx(np.mean(ssim))
    assert {name.rpartition("_")[0] for name in found} == METHODS | {""}
    assert found["psnr"] == found["cnn_psnr"]
    assert found["none_psnr"].low is not None


def test_a_table_says_whose_images_they_are(style, tmp_path):
    pair = folders(tmp_path, ["030_0.png", "031_0.png", "040_0.png"])
    assert measured(pair, style).counts["n_patients"] == 3
    (tmp_path / "pairs.csv").write_text("pair,case\n030_0,03\n031_0,03\n040_0,04\n")
    assert StylePool.read(pair[0]).patients == ("03", "03", "04")
    assert measured(pair, style).counts["n_patients"] == 2
    (tmp_path / "pairs.csv").write_text("left,right\n1,2\n")
    assert StylePool.read(pair[0]).patients == ("030", "031", "040")
    (tmp_path / "pairs.csv").write_text('pair,case\n"' + "x" * 200_000)
    with pytest.raises(DataFolderError, match="can't be read"):
        StylePool.read(pair[0])


def test_one_image_has_no_interval(style, tmp_path):
    found = measured(folders(tmp_path, ["a_1.png"]), style)
    assert found.metrics["psnr"].low is None
    assert any("one patient" in note for note in found.notes)


def test_images_without_a_partner_are_left_out_and_counted(style, tmp_path):
    pair = folders(tmp_path, ["a_1.png", "b_1.png"], others=["a_1.tif", "c_1.png", "d_1.png"])
    found = measured(pair, style)
    assert found.counts["n_images"] == 1
    assert any(note.startswith("3 images were left out") for note in found.notes)


def cut(image):
    return image[:90]


WRONG = {
    "names": ({"others": ["x_1.png"]}, "no image of SOURCE has the name of one of TARGET"),
    "sizes": ({"change": cut}, "a_1 has 96 x 96 px in SOURCE and 96 x 90 in TARGET"),
    "twice": ({"others": ["a_1.png", "a_1.tif"]}, "TARGET has several images called a_1"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_pairs_is_said_in_a_sentence(style, tmp_path, what):
    how, sentence = WRONG[what]
    with pytest.raises(DataFolderError, match=sentence):
        measured(folders(tmp_path, ["a_1.png"], **how), style)


@pytest.mark.parametrize("what", ["right", *WRONG])
def test_the_command(tmp_path, pathogan, what):
    how, sentence = WRONG.get(what, ({}, ""))
    pair = folders(tmp_path, ["a_1.png"], **how)
    asked = ("stain", "evaluate", *pair, "--paired", "--device", "cpu")
    code, out, err = pathogan(*asked, "--style", "stain-tnbc", "--json")
    assert bool(code) == bool(sentence)
    if sentence:
        assert "Traceback" not in err
        assert sentence.split()[0] in err
    else:
        assert {"psnr", "ssim", "none_psnr"} <= json.loads(out).keys()
