"""Other scanners: what a detector sees does not hang on LUTs, and films can be simulated."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_pathogan.tasks.masses.augment import Augment, crop
from napari_pathogan.tasks.masses.films import film
from napari_pathogan.tasks.masses.frame import Frame, ranked

AIR = 0.02
CURVES = {
    "gamma up": lambda x: x**2.2,
    "gamma down": lambda x: x**0.5,
    "sigmoid": lambda x: 1 / (1 + np.exp(-8 * (x - 0.4))),
    "faint": lambda x: 0.1 + 0.2 * x,
    "lookup": lambda x: np.interp(x, [0, 0.3, 0.5, 1], [0, 0.6, 0.7, 1]),
}


@pytest.fixture
def mammogram():
    """A breast of smooth noise with a bright disc, chest wall left; air is 0."""
    y, x = np.mgrid[:320, :200]
    inside = ((y - 160) / 140) ** 2 + (x / 150) ** 2 < 1
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((320, 200)), 4)
    grey = 0.4 + 0.1 * noise / noise.std() + 0.3 * (np.hypot(y - 150, x - 60) < 18)
    return np.where(inside, grey.clip(0.1, 1), 0).astype(np.float32)


@pytest.mark.parametrize("curve", CURVES.values(), ids=list(CURVES))
def test_a_rising_curve_of_greys_changes_no_ranks(mammogram, curve):
    breast = mammogram > 0
    bent = curve(mammogram.astype(float)).astype(np.float32)
    before, after = ranked(mammogram, breast), ranked(bent, breast)
    assert np.abs(before - after).max() < 0.02
    assert np.abs(before - after).mean() < 0.001


@pytest.mark.parametrize("curve", CURVES.values(), ids=list(CURVES))
def test_a_frame_of_ranks_is_that_of_any_display(mammogram, curve):
    """Also where the breast has to be found first, and greys are averaged before they are ranked."""
    frames = [Frame.of(image, 160, "ranks") for image in (mammogram, curve(mammogram))]
    assert frames[0].box == pytest.approx(frames[1].box, abs=4)
    shape = tuple(min(frame.pixels.shape[i] for frame in frames) for i in (0, 1))
    a, b = (frame.pixels[: shape[0] - 4, : shape[1] - 20] for frame in frames)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95


def test_ranks_are_in_order_and_nothing_is_beside_the_breast(mammogram):
    breast = mammogram > 0
    got = ranked(mammogram, breast)
    assert (got[~breast] == 0).all()
    order = np.argsort(mammogram[breast], kind="stable")
    assert (np.diff(got[breast][order]) >= -1e-6).all()
    assert got[breast].min() >= 0.05
    assert got.max() <= 0.95
    assert np.median(got[breast]) == pytest.approx(0.45, abs=0.01)


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_breast_of_one_grey_has_one_rank(grey):
    pixels = np.full((20, 10), grey, np.float32)
    assert np.unique(ranked(pixels, pixels >= 0)).tolist() == pytest.approx([0.45])
    assert not ranked(pixels, pixels > 2).any()


def test_a_film_is_the_same_for_its_seed_and_another_for_others(mammogram):
    first, again, other = film(mammogram, 1), film(mammogram, 1), film(mammogram, 2)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert first.dtype == np.float32
    assert first.shape == mammogram.shape
    assert 0 <= first.min() <= first.max() <= 1


@pytest.mark.parametrize("seed", range(8))
def test_a_film_shows_the_same_breast_with_a_veil_over_its_air(mammogram, seed):
    shown = film(mammogram, seed)
    inside = ndimage.binary_erosion(mammogram > 0, iterations=8)
    inside[:10] = False
    assert np.corrcoef(shown[inside], mammogram[inside])[0, 1] > 0.7
    assert (shown == 0).mean() < 0.3
    assert Frame.of(shown, 160).box == pytest.approx(Frame.of(mammogram, 160).box, abs=16)


def test_a_film_of_nothing_is_no_error():
    assert np.isfinite(film(np.zeros((40, 30), np.float32), 0)).all()


@pytest.mark.parametrize("how", [{"tone": 0.9}, {"sharpness": 0.9}, {"noise": 0.05, "tone": 0.5}])
def test_crops_vary_in_tone_sharpness_and_grain(mammogram, how):
    still = {"rotate": 0, "scale": 1, "flip": 0}
    image, masks = torch.from_numpy(mammogram), torch.zeros(0, *mammogram.shape)
    torch.manual_seed(0)
    plain, _ = crop(image, masks, (160, 100), (320, 200), Augment(**still))
    varied = [
        crop(image, masks, (160, 100), (320, 200), Augment(**still, **how))[0] for _ in range(4)
    ]
    assert all(one.shape == plain.shape and 0 <= one.min() <= one.max() <= 1 for one in varied)
    assert all((one - plain).abs().mean() > 1e-4 for one in varied)
    assert (varied[0] - varied[1]).abs().mean() > 1e-4


def test_a_tone_keeps_the_order_of_greys():
    image = torch.linspace(0, 1, 64).view(8, 8)
    torch.manual_seed(1)
    bent, _ = crop(
        image, torch.zeros(0, 8, 8), (4, 4), (8, 8), Augment(rotate=0, scale=1, flip=0, tone=1.0)
    )
    assert (bent.flatten().diff() >= 0).all()
    assert bent.flatten()[0] == 0
