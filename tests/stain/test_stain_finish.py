"""The last touch: lightness and colours of a slide, brought towards its style's."""

from __future__ import annotations

import numpy as np
import pytest
from stain_phantoms import two_stains

from napari_pathogan.colour.histograms import euclidean, histogram, structure
from napari_pathogan.colour.lab import joined, lightness, to_lab
from napari_pathogan.tasks.stain.finish import KNOTS, Finish, Tint
from napari_pathogan.tasks.stain.light import LEAST_SSIM, LightCurve, tissue_quantiles

OTHER = {"vectors": ((0.65, 0.70, 0.29), (0.30, 0.90, 0.30)), "amount": (1.4, 0.8)}


@pytest.fixture(scope="module")
def pool():
    return [two_stains(160, seed) for seed in range(4)]


@pytest.fixture(scope="module")
def slide():
    return [two_stains(160, seed, **OTHER) for seed in range(4, 7)]


def finish_of(tiles, colours, pool):
    return Finish.fit(tiles, colours, tissue_quantiles(pool), Tint.of(pool))


def pale(tiles):
    """A network that paints half of the colour that is there."""
    return [to_lab(tile)[..., 1:] / 2 for tile in tiles]


def test_pale_colours_come_closer_to_the_pools(slide, pool):
    finish, goal = finish_of(slide, pale(slide), pool), histogram(pool)
    for tile, colour in zip(slide, pale(slide), strict=True):
        change, made = finish(tile, colour)
        before = joined(lightness(tile), colour, tile)
        after = joined(lightness(tile) + change, made, tile)
        assert euclidean(histogram([after]), goal) < 0.9 * euclidean(histogram([before]), goal)
        assert structure(tile, after) > LEAST_SSIM - 0.01


def test_a_slide_of_the_pools_own_colours_stays_as_it_is(pool):
    colours = [to_lab(image)[..., 1:] for image in pool]
    change, made = finish_of(pool, colours, pool)(pool[0], colours[0])
    assert np.abs(change).mean() < 0.2
    assert np.abs(made - colours[0]).mean() < 0.3


def test_glass_stays_and_noise_is_hardly_amplified(slide, pool):
    finish = finish_of(slide, [c / 10 for c in pale(slide)], pool)
    white = np.full((40, 40, 3), 245, np.uint8)
    change, made = finish(white, np.zeros((40, 40, 2), np.float32))
    assert np.abs(change).max() < 0.01
    assert np.abs(joined(lightness(white) + change, made, white).astype(int) - white).max() <= 1
    flat = np.full((40, 40, 3), (190, 120, 170), np.uint8)
    noise = np.random.default_rng(0).normal(0, 1, (40, 40, 2)).astype(np.float32)
    assert (
        finish(flat, noise)[1].std((0, 1)).max() <= 1.35
    )  # 1 + share x (most gain - 1), 1.3 at most


def test_almost_no_tissue_gives_numbers(slide, pool):
    finish = finish_of(slide, pale(slide), pool)
    speck = np.full((40, 40, 3), 244, np.uint8)
    speck[20, 20] = (90, 40, 120)
    black = np.zeros((16, 16, 3), np.uint8)
    for image in (speck, black):
        change, made = finish(image, np.zeros((*image.shape[:2], 2), np.float32))
        assert np.isfinite(change).all()
        assert np.isfinite(made).all()
    assert np.abs(finish(speck, np.zeros((40, 40, 2), np.float32))[0][:5]).max() < 0.01


def test_a_blurred_curve_goes_further_for_the_same_structure(slide, pool):
    target = tissue_quantiles(pool) - 6
    sharp, blurred = (LightCurve.fit(slide, target, blur=blur) for blur in (0.0, 3.0))
    assert blurred.share > sharp.share
    kept = [structure_of(tile, blurred(tile)) for tile in slide]
    assert np.mean(kept) >= LEAST_SSIM


def structure_of(tile, light):
    from skimage.metrics import structural_similarity

    return structural_similarity(lightness(tile), light, data_range=100)


def test_colours_at_each_lightness():
    light = np.linspace(10, 99, 30_000)
    colour = np.stack([light / 4, np.where(np.arange(30_000) % 2, 8.0, 12.0)], 1)
    tint = Tint.measure(light, colour)
    assert tint.mean[:, 0] == pytest.approx(KNOTS / 4, abs=1.1)
    assert tint.mean[:, 1] == pytest.approx(10, abs=0.1)
    assert tint.spread[:, 1] == pytest.approx(2, abs=0.1)
    between = (KNOTS[3] + KNOTS[4]) / 2
    np.testing.assert_allclose(tint.typical(np.array([[between]]))[0, 0], tint.mean[3:5].mean(0))
    again = Tint.from_json(tint.to_json())
    assert np.abs(again.mean - tint.mean).max() < 0.001
