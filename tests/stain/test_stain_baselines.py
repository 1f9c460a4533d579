from __future__ import annotations

import numpy as np
import pytest
from skimage import color
from skimage.metrics import structural_similarity
from stain_phantoms import EOSIN, HAEMATOXYLIN, two_stains
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

from napari_pathogan.colour.baselines import Macenko, Reinhard, StainFitError
from napari_pathogan.colour.lab import lightness, optical_density, to_lab, to_rgb
from napari_pathogan.colour.lut import Lut, grid
from napari_pathogan.errors import NoTissueError
from napari_pathogan.tasks.stain.light import LEAST_SSIM, LightCurve, tissue_quantiles

OTHER = {"vectors": ((0.65, 0.70, 0.29), (0.30, 0.90, 0.30)), "amount": (1.3, 0.8)}


def test_lightness_is_that_of_scikit_image():
    every = grid()
    assert np.abs(lightness(every) - color.rgb2lab(every / 255)[:, 0]).max() < 0.01


def test_lab_there_and_back_changes_nothing():
    every = grid()[None]
    assert np.abs(to_rgb(to_lab(every)).astype(int) - every).max() == 0


def test_macenko_finds_the_stains_that_were_mixed():
    found = Macenko.fit(two_stains())
    for vector, truth in zip(found.vectors, (HAEMATOXYLIN, EOSIN), strict=True):
        cosine = vector @ truth / np.linalg.norm(truth)
        assert np.degrees(np.arccos(min(1, cosine))) < 6


def test_macenko_is_that_of_torchstain():
    ours, theirs = Macenko.fit(two_stains(seed=1)), NumpyMacenkoNormalizer()
    theirs.fit(two_stains(seed=1))
    np.testing.assert_allclose(ours.vectors.T, theirs.HERef, atol=1e-5)
    target = Macenko.fit(two_stains(seed=2, **OTHER))
    theirs.HERef, theirs.maxCRef = target.vectors.T, target.full
    source = two_stains(seed=1)
    wanted, _, _ = theirs.normalize(source, stains=False)
    # torchstain takes the 99th percentile over glass too
    amount = ours.concentrations_of(optical_density(source).reshape(-1, 3))
    same = Macenko(ours.vectors, np.percentile(amount, 99, axis=0))
    assert np.abs(same.map_to(target)(source).astype(int) - wanted).max() <= 1


def test_macenko_onto_itself_changes_nothing_but_what_is_no_mixture_of_its_stains():
    image = two_stains()
    found = Macenko.fit(image)
    again = found.map_to(found)(image)
    assert np.abs(again.astype(int) - image).mean() < 3
    twice = found.map_to(found)(again)
    assert np.abs(twice.astype(int) - again).max() <= 2


def test_concentrations_tell_nuclei_from_stroma():
    image = two_stains()
    amount = Macenko.fit(image).concentrations(image)
    assert amount.shape == (256, 256, 2)
    dark = lightness(image) < np.quantile(lightness(image), 0.1)
    assert amount[dark, 0].mean() > 3 * amount[~dark, 0].mean()


@pytest.mark.parametrize("kind", [Macenko, Reinhard])
def test_no_tissue_is_said(kind):
    white = np.full((64, 64, 3), 245, np.uint8)
    white[10, 10] = (120, 40, 120)  # one pixel of tissue
    with pytest.raises(NoTissueError, match="region with tissue"):
        kind.fit(white)


def test_a_grey_image_has_no_two_stains():
    grey = np.repeat(two_stains()[..., :1], 3, -1)
    with pytest.raises(StainFitError, match="only one stain"):
        Macenko.fit(grey)


def test_reinhard_arrives_at_the_target():
    source, target = two_stains(seed=1), Reinhard.fit(two_stains(seed=2, **OTHER))
    made = Reinhard.fit(source).map_to(target)(source)
    arrived = Reinhard.fit(made)
    assert np.abs(arrived.mean - target.mean).max() < 2.5
    assert Reinhard.fit(source).distance(target) > 4 * arrived.distance(target)


@pytest.mark.parametrize("kind", [Macenko, Reinhard])
def test_glass_stays_glass_and_nothing_is_nan(kind):
    source, target = two_stains(seed=1), two_stains(seed=2, **OTHER)
    recolour = kind.fit(source).map_to(kind.fit(target))
    for value in (255, 240, 0):
        flat = np.full((4, 4, 3), value, np.uint8)
        made = recolour(flat)
        assert made.dtype == np.uint8
        if value:
            assert np.abs(made.astype(int) - flat).max() <= 15


@pytest.mark.parametrize("kind", [Macenko, Reinhard])
def test_fits_survive_json(kind):
    found = kind.fit(two_stains())
    again = kind.from_json(found.to_json())
    image = two_stains(seed=3)
    recoloured = found.map_to(kind.fit(two_stains(seed=2, **OTHER)))(image)
    assert (
        np.abs(
            again.map_to(kind.fit(two_stains(seed=2, **OTHER)))(image).astype(int) - recoloured
        ).max()
        <= 1
    )


def test_a_table_of_no_change_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    assert (Lut.tabulate(lambda rgb: rgb)(image) == image).all()
    assert Lut.tabulate(lambda rgb: rgb)(image[:0]).shape == (0, 60, 3)


def test_a_table_keeps_red_green_and_blue_apart():
    swap = Lut.tabulate(lambda rgb: rgb[:, [1, 2, 0]])
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    assert np.abs(swap(image).astype(int) - image[..., [1, 2, 0]]).max() <= 1


def test_reinhard_as_a_table_is_within_three_grey_levels():
    image = two_stains(seed=1)
    recolour = Reinhard.fit(image).map_to(Reinhard.fit(two_stains(seed=2, **OTHER)))
    apart = np.abs(Lut.tabulate(recolour)(image).astype(int) - recolour(image))
    assert apart.max() <= 3
    assert apart.mean() < 0.5


def test_a_light_curve_goes_as_far_as_structure_allows():
    dark, pale = two_stains(seed=1, amount=(2.2, 1.5)), two_stains(seed=2, amount=(1.2, 0.7))
    target = tissue_quantiles([pale])
    curve = LightCurve.fit([dark], target)
    assert 0 < curve.share < 1
    after = curve(dark)
    assert structural_similarity(lightness(dark), after, data_range=100) >= LEAST_SSIM
    further = LightCurve(curve.own, curve.target, curve.share + 0.05)
    assert structural_similarity(lightness(dark), further(dark), data_range=100) < LEAST_SSIM
    own = lightness(dark)
    assert abs(np.median(after) - np.median(lightness(pale))) < abs(
        np.median(own) - np.median(lightness(pale))
    )
    order = np.argsort(own, axis=None)
    assert (np.diff(after.ravel()[order]) > -2).all()


def test_a_light_curve_onto_itself_and_on_glass_changes_nothing():
    image = two_stains()
    curve = LightCurve.fit([image], tissue_quantiles([image]))
    assert np.abs(curve(image) - lightness(image)).max() < 0.5
    white = np.full((5, 5, 3), 245, np.uint8)
    away = LightCurve(curve.own, curve.target - 20, 1.0)
    assert np.abs(away(white) - lightness(white)).max() < 0.01
