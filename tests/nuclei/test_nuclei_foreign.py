"""Ink and folds are no nuclei, whatever the network says."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest
from scipy import ndimage
from slides_of_nuclei import PURPLE, DarkIsNucleus, found, slide

from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei.foreign import foreign
from napari_pathogan.tasks.nuclei.model import NucleiModel
from napari_pathogan.tasks.nuclei.predict import UNetSegmenter

INKS = {
    "black": (25, 24, 28),
    "blue": (35, 55, 175),
    "green": (25, 150, 110),
    "red": (205, 25, 45),
}
STAINED = {"haematoxylin": PURPLE, "dense": (60, 30, 90), "dab": (120, 70, 40)}


@pytest.mark.parametrize("name", [*INKS, *STAINED])
def test_a_nucleus_is_judged_by_its_mean_colour(name):
    labels = np.zeros((30, 30), np.int32)
    labels[4:14, 4:14], labels[18:24, 18:24] = 2, 3
    image = np.full((30, 30, 3), 240, np.uint8)
    image[labels == 2] = (INKS | STAINED)[name]
    image[labels == 3] = PURPLE
    image[4:14, 4] = 230  # its edge is paler
    assert foreign(labels, image, 0.0625).tolist() == [False, False, name in INKS, False]


@pytest.mark.parametrize("name", [*INKS, *STAINED])
def test_what_is_mostly_ink_is_no_nucleus_whatever_its_rest(name):
    labels = np.zeros((30, 30), np.int32)
    labels[4:14, 4:14] = 1
    image = np.full((30, 30, 3), 240, np.uint8)
    image[4:14, 4:10] = (INKS | STAINED)[name]  # of ten columns six
    assert foreign(labels, image, 0.0625).tolist() == [False, name in INKS]


def test_nothing_is_foreign_where_nothing_is():
    assert not foreign(np.zeros((5, 5), np.int32), np.zeros((5, 5, 3), np.uint8), 0.0625).any()


def test_what_is_far_too_large_is_left_out():
    image = np.full((300, 600, 3), (222, 150, 190), np.uint8)
    image[40:110, 40:110] = PURPLE  # 306 um2: a giant cell's
    image[50:250, 200:450] = PURPLE  # a fold
    result = found(slide(image), DarkIsNucleus())
    assert result.table["area_um2"].tolist() == [70 * 70 / 16]


@pytest.fixture(scope="module")
def phantom():
    """A field of the phantom at 40x, and its nuclei as the embedded network finds them."""
    path = resources.files("napari_pathogan.plugin") / "sample_data" / "he_phantom_40x.ome.tif"
    with Slide.open(str(path)) as opened:
        image = opened.read(Region(0, 0, 360, 480), size=(360, 480))
    segmenter = UNetSegmenter(NucleiModel.load(device="cpu"))
    return image, segmenter, found(slide(image), segmenter)


@pytest.mark.parametrize("ink", INKS)
def test_ink_drawn_over_tissue_holds_no_nuclei(phantom, ink):
    image, segmenter, clean = phantom
    stroke = np.zeros(image.shape[:2])
    stroke[:, 200:280] = 1
    share = 0.9 * ndimage.gaussian_filter(stroke, 4)[..., None]
    marked = (image * (1 - share) + np.array(INKS[ink]) * share).astype(np.uint8)
    result = found(slide(marked), segmenter)
    x = result.table["x_px"].to_numpy()
    assert not ((x > 205) & (x < 275)).any()
    away = (np.arange(image.shape[1]) < 150) | (np.arange(image.shape[1]) > 330)
    agree = ((result.labels > 0) == (clean.labels > 0))[:, away]
    assert clean.labels[:, away].any()
    assert agree.mean() > 0.95  # ink changes what colours the slide is taken to have
