"""Cutting nuclei: borders, slides of another scale, colours around them."""

from __future__ import annotations

import numpy as np
import pytest
from kinds import draw_image

from napari_pathogan.errors import UnknownScaleError
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.nuclei_classes.crops import cut, cut_from_slide, stain_around


def a_slide(image, mpp=0.55):
    return Slide.from_arrays([image], name="made up", mpp=mpp)


def test_a_crop_is_centred():
    image = np.zeros((100, 120, 3), np.uint8)
    image[50, 60] = 255
    (crop,) = cut(image, np.array([[50, 60]]))
    assert crop.shape == (40, 40, 3)
    y, x = np.argwhere(crop[..., 0])[0]
    assert abs(y - 19.5) == 0.5
    assert abs(x - 19.5) == 0.5


def test_beyond_the_border_the_image_is_mirrored():
    image = np.random.default_rng(0).integers(0, 255, (60, 70, 3), np.uint8)
    padded = np.pad(image, ((40, 40), (40, 40), (0, 0)), mode="reflect")
    for y, x in [(0, 0), (59, 69), (3, 40), (30, 68.4)]:
        top, left = (round(v - 19.5) + 40 for v in (y, x))
        (crop,) = cut(image, np.array([[y, x]]))
        assert np.array_equal(crop, padded[top : top + 40, left : left + 40])


def test_no_nucleus_is_no_crop():
    assert cut(np.zeros((50, 50, 3), np.uint8), np.empty((0, 2))).shape == (0, 40, 40, 3)
    assert cut(np.full((1, 1, 3), 7, np.uint8), np.array([[0, 0]])).tolist() == [
        [[[7] * 3] * 40] * 40
    ]


def test_cut_from_a_slide_is_cut_from_its_image():
    image = np.random.default_rng(0).integers(0, 255, (1300, 1250, 3), np.uint8)
    rng = np.random.default_rng(1)
    centres = np.concatenate([rng.uniform(0, 1249, (40, 2)), [[0, 0], [1299, 1249], [1023.6, 5]]])
    assert np.array_equal(cut_from_slide(a_slide(image), centres, 0.55), cut(image, centres))


def test_a_slide_of_another_scale_is_read_at_the_models():
    image, centres, _ = draw_image(0)
    fine = np.repeat(np.repeat(image, 2, 0), 2, 1)
    crops = cut_from_slide(a_slide(fine, 0.275), 2 * centres + 0.5, 0.55)
    assert np.array_equal(crops, cut(image, centres))


def test_a_grey_slide_becomes_rgb():
    grey = np.random.default_rng(0).integers(0, 255, (80, 80), np.uint8)
    crops = cut_from_slide(a_slide(grey), np.array([[40, 40]]), 0.55)
    assert (crops[..., 0] == crops[..., 2]).all()


def test_a_slide_without_a_scale_is_refused():
    image, centres, _ = draw_image(0)
    with pytest.raises(UnknownScaleError, match="made up does not say its um per pixel"):
        cut_from_slide(a_slide(image, None), centres, 0.55)


def test_the_colours_around_nuclei():
    image, centres, _ = draw_image(0)
    stain = stain_around(a_slide(image), centres, 0.55)
    assert np.abs(stain.mean * 255 - image[..., :].reshape(-1, 3).mean(0)).max() < 30
    white = np.full((100, 100, 3), 250, np.uint8)
    assert stain_around(a_slide(white), np.array([[50, 50]]), 0.55) is None
    assert stain_around(a_slide(image), np.empty((0, 2)), 0.55) is None
