from __future__ import annotations

import numpy as np
import pytest
from stain_phantoms import two_stains

from napari_pathogan.colour.histograms import (
    correlation,
    euclidean,
    hellinger,
    histogram,
    structure,
)


def test_a_histogram_sums_to_one_a_channel():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :, 0] = 255
    found = histogram([image], tissue=False)
    assert found.shape == (3, 64)
    assert found.sum(1) == pytest.approx([1, 1, 1])
    assert found[0, [0, 63]] == pytest.approx([0.5, 0.5])


def test_images_count_alike_whatever_their_size():
    dark, bright = np.zeros((2, 2, 3), np.uint8), np.full((20, 20, 3), 255, np.uint8)
    assert histogram([dark, bright], tissue=False)[0, 0] == pytest.approx(0.5)


def test_the_ideal_is_0_1_0():
    own = histogram([two_stains()])
    assert euclidean(own, own) == pytest.approx(0, abs=1e-9)
    assert correlation(own, own) == pytest.approx(1)
    assert hellinger(own, own) == pytest.approx(0, abs=1e-6)


def test_nothing_in_common_is_root_two_below_zero_and_1():
    a, b = np.zeros((3, 64)), np.zeros((3, 64))
    a[:, :32], b[:, 32:] = 1 / 32, 1 / 32
    assert euclidean(a, b) == pytest.approx(2**0.5)
    assert correlation(a, b) == pytest.approx(-1)
    assert hellinger(a, b) == pytest.approx(1)


def test_hellinger_of_a_worked_example():
    a, b = np.tile([0.5, 0.5], (3, 1)), np.tile([0.9, 0.1], (3, 1))
    assert hellinger(a, b) == pytest.approx((1 - (0.45**0.5 + 0.05**0.5)) ** 0.5)


def test_structure_sees_blur_and_not_colour():
    image = two_stains()
    assert structure(image, image) == pytest.approx(1)
    blurred = np.roll(image, 5, 0)
    assert structure(image, blurred) < 0.7
