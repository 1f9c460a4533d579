"""The tissue mask on real tiles and slides: pen, lines, pale stains, fat, IHC; exact areas."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage import data as samples

from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.slides.tissue import TissueMask, tissue_mask

# what a look at each tile says: share of tissue, lowest and highest that is right
TILES = {
    "almost-white-1": (0, 0.002),
    "almost-white-2": (0.01, 0.08),
    "almost-white-ihc": (0, 0.01),
    "high-nuclei-score-level0": (0.95, 1),
    "high-nuclei-score-level2": (0.10, 0.20),
    "high-nuclei-score-red-pen-level1": (0.85, 0.97),
    "kidney-ihc-level0-310-500-360-530": (0.75, 0.92),
    "kidney-ihc-level0-330-480-380-510": (0.33, 0.47),
    "kidney-ihc-level0-340-520-390-550": (0.80, 0.93),
    "kidney-ihc-level0-350-530-360-540": (0.99, 1),
    "liver-level2-10907-7808-11707-8608": (0.99, 1),
    "liver-level2-20914-13715-21714-14515": (0.14, 0.22),
    "liver-level2-38626-13514-39426-14315": (0, 0.002),
    "liver-level2-57138-8209-57938-9009": (0.65, 0.76),
    "low-nuclei-score-level0": (0.2, 1),  # fat: at least its membranes
    "low-nuclei-score-level1": (0.25, 1),
    "medium-nuclei-score-green-pen-level1": (0.5, 0.85),
    "medium-nuclei-score-level0": (0.9, 1),
    "medium-nuclei-score-level1-2": (0.95, 1),
    "medium-nuclei-score-level1": (0.55, 0.85),
    "medium-nuclei-score-level2": (0.75, 0.85),
    "no-tissue": (0, 0.002),
    "no-tissue2": (0, 0.015),
    "no-tissue-green-pen": (0, 0.01),
    "no-tissue-line": (0, 0.01),
    "no-tissue-red-pen": (0, 0.01),
    "tiatoolbox_target_image": (0.92, 1),
    "tissue-level0-4302-10273-4814-10785": (0.6, 0.9),
    "tissue-level0-7352-11762-7864-12274": (0.8, 0.92),
    "tissue-level2-1784-6289-5880-10386": (0.65, 0.8),
    "tissue-level2-3000-7666-7096-11763": (0.7, 0.85),
    "tissue-level2-4640-4649-8736-8746": (0.7, 0.85),
    "tissue-level2-4760-5241-8856-9338": (0.65, 0.82),
    "torchstain_source": (0.97, 1),
    "torchstain_target": (0.97, 1),
    "very-low-nuclei-score-level0": (0.99, 1),
    "very-low-nuclei-score-red-pen-level1": (0.05, 0.35),
}


@pytest.mark.parametrize("name", TILES)
def test_tiles_of_several_labs(data, name):
    with Slide.open(data / "tiles" / f"{name}.png") as slide:
        mask = tissue_mask(slide)
    low, high = TILES[name]
    assert low <= mask.share <= high
    assert mask.area_mm2 is None


def test_no_tile_is_forgotten(data):
    assert {path.stem for path in (data / "tiles").glob("*.png")} == set(TILES)


@pytest.mark.parametrize("mpp", [8.0, 16.0])
@pytest.mark.parametrize("patient", ["9260", "12933", "15514"])
def test_labelled_patches_are_tissue_and_the_rest_is_not(data, patient, mpp):
    labels = np.load(data / "idc" / "slides" / f"{patient}_labels.npy")
    with Slide.open(data / "idc" / "slides" / f"{patient}.png", mpp=4.0) as slide:
        mask = tissue_mask(slide, mpp=mpp)
    cover = mask.coverage((51.0, 51.0), (50.0, 50.0), labels.shape)
    patch, found = labels != 2, cover > 0.1
    assert found[patch].mean() > 0.95
    assert found[labels == 1].mean() > 0.95
    assert patch[found].mean() > 0.95
    assert cover[~patch].mean() < 0.02
    assert 0.85 < mask.area_mm2 / (patch.sum() * 0.04) < 1.05  # a patch is 0.2 x 0.2 mm


def find_tissue(image, mpp):
    """The tissue of an image (Y, X, 3), a cell a pixel."""
    with Slide.from_arrays([image], name="a", mpp=(mpp, mpp)) as slide:
        return tissue_mask(slide, mpp=mpp).overlay.data


@pytest.mark.parametrize("stain", ["he", "pas", "sil", "tri"])
def test_other_stains(data, stain):
    paths = sorted((data / "kidney_stains" / stain).glob("*.png"))[::7]
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        share = find_tissue(pixels, 0.5).mean()
        stained = (pixels.min(-1) < 190).mean()
        assert share > 0.75 * stained, path.name


def test_ihc():
    assert find_tissue(samples.immunohistochemistry(), 1.0).mean() > 0.9


def blob(height=400, width=600, colour=(214, 150, 190), seed=0):
    """A white slide with one round piece of textured pink tissue in the middle: image, truth."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 243.0)
    rows, cols = np.ogrid[:height, :width]
    truth = (rows - height / 2) ** 2 + (cols - width / 3) ** 2 < (height / 4) ** 2
    texture = ndimage.gaussian_filter(rng.normal(0, 60, (height, width)), 1.5)
    image[truth] = np.array(colour) + texture[truth][:, None]
    image += rng.normal(0, 1.5, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), truth


INKS = {
    "black": (25, 24, 28),
    "blue": (35, 55, 175),
    "green": (25, 150, 110),
    "red": (205, 25, 45),
}


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("place", [420, 190])  # on glass, across the tissue
def test_pen_of_every_colour(ink, place):
    image, truth = blob()
    stroke = np.zeros(truth.shape)
    stroke[30:370, place : place + 40] = 1
    share = ndimage.gaussian_filter(stroke, 3)[..., None]
    marked = (image * (1 - share) + np.array(INKS[ink]) * share).astype(np.uint8)
    found = find_tissue(marked, 16.0)
    away = ndimage.binary_dilation(stroke > 0, iterations=12)
    assert found[truth & ~away].mean() > 0.97
    assert found[~truth].mean() < 0.005
    assert found[stroke > 0].mean() < 0.05


@pytest.mark.parametrize("grey", [60, 150, 205])
def test_scanner_lines_and_glass_edges_are_no_tissue(grey):
    image, truth = blob()
    image[:, 500:503] = grey
    image[20:22] = grey
    image[:, 560:] -= 12  # beyond the edge of the cover slip
    found = find_tissue(image, 16.0)
    outside = np.ones_like(truth)
    outside[:, :350] = False
    assert found[outside].mean() == 0
    assert found[truth].mean() > 0.95


@pytest.mark.parametrize(
    "colour", [(232, 214, 226), (205, 205, 222), (196, 170, 140), (120, 60, 130)]
)
def test_pale_and_dark_stains(colour):
    image, truth = blob(colour=colour)
    found = find_tissue(image, 16.0)
    assert found[truth].mean() > 0.9
    assert found[~truth].mean() < 0.02


def test_nothing_on_an_empty_slide():
    for image in (np.full((300, 400, 3), 244, np.uint8), np.zeros((300, 400, 3), np.uint8)):
        assert not find_tissue(image, 16.0).any()


def test_area_in_mm2_of_a_known_piece():
    image, truth = blob(1200, 1801)
    with Slide.from_arrays([image], name="a", mpp=(4.0, 4.0)) as slide:
        mask = tissue_mask(slide)
        wanted = truth.sum() * 16e-6
        assert mask.area_mm2 == pytest.approx(wanted, rel=0.02)
        assert mask.share == pytest.approx(truth.mean(), rel=0.02)
        assert mask.overlay.step == pytest.approx((4.0, 4.0), rel=0.01)
        # the mask lies where the tissue is
        rows, cols = np.nonzero(mask.overlay.data)
        scale, translate = mask.overlay.affine()
        assert rows.mean() * scale[0] + translate[0] == pytest.approx(600 - 0.5, abs=4)
        assert cols.mean() * scale[1] + translate[1] == pytest.approx(1801 / 3 - 0.5, abs=4)


def test_scale_unknown_or_coarse_or_tiny():
    image, truth = blob()
    with Slide.from_arrays([image], name="a") as slide:
        mask = tissue_mask(slide)
        assert mask.overlay.data.shape == truth.shape
        assert mask.area_mm2 is None
    with Slide.from_arrays([image], name="a", mpp=40.0) as slide:
        assert tissue_mask(slide).overlay.data.shape == truth.shape
    with Slide.from_arrays([image[:3, :2]], name="a", mpp=0.25) as slide:
        assert tissue_mask(slide).overlay.data.shape == (3, 2)


def test_the_breast_of_a_mammogram(data):
    path = min((data / "inbreast" / "images").iterdir())
    with Slide.open(path) as slide:
        assert not slide.is_rgb
        mask = tissue_mask(slide)
        pixels = slide.read(Region(0, 0, *slide.shape), size=mask.overlay.data.shape)
    assert 0.1 < mask.share < 0.9
    assert pixels[mask.overlay.data].mean() > 10 * max(pixels[~mask.overlay.data].mean(), 0.5)


def test_coverage_is_exact_by_area():
    data = np.zeros((3, 4), bool)
    data[1, 1:3] = True  # level-0 rows 10 to 20, columns 10 to 30
    mask = TissueMask(Overlay(data, (0.0, 0.0), (10.0, 10.0)), (28, 40), (0.5, 0.5))
    assert mask.coverage((0, 0), (20, 20), (2, 2)).tolist() == [[0.25, 0.25], [0, 0]]
    assert mask.coverage((15, 5), (10, 10), (1, 3)).tolist() == [[0.25, 0.5, 0.25]]
    assert mask.coverage((12, 12), (2.5, 2.5), (1, 1))[0, 0] == 1
    assert mask.coverage((-100, -100), (50, 50), (2, 2)).sum() == 0
    assert mask.area_px == pytest.approx(200)
    assert mask.area_mm2 == pytest.approx(200 * 0.25e-6)


@given(
    st.tuples(st.floats(-30, 60), st.floats(-30, 60)),
    st.tuples(st.floats(0.7, 30), st.floats(0.7, 30)),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_coverage_adds_up(origin, step, seed):
    data = np.random.default_rng(seed).random((7, 9)) < 0.5
    mask = TissueMask(Overlay(data, (0.0, 0.0), (8.3, 7.1)), (58, 63), None)
    cover = mask.coverage(origin, step, (6, 5)).astype(float)
    assert ((cover >= 0) & (cover <= 1)).all()
    whole = mask.coverage(origin, (step[0] * 6, step[1] * 5), (1, 1))[0, 0]
    assert cover.mean() == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("shape", [(52_000, 152_000), (300_000, 400_000), (4_000_000, 60_000)])
def test_a_mask_of_any_slide_takes_bounded_memory(shape):
    slide = Slide.from_arrays([np.zeros((8, 8, 3), np.uint8)], name="glass", mpp=0.5)
    read = []
    slide.read = lambda reach, size: (
        read.append((reach, size)) or np.full((*size, 3), 240, np.uint8)
    )
    slide._levels = [SimpleNamespace(shape=shape, fill=np.zeros(3, np.uint8))]
    mask = tissue_mask(slide)
    ((reach, size),) = read
    assert size[0] * size[1] < 1.01 * 2**22
    assert (mask.area_px, mask.overlay.data.shape) == (0, size)
    assert np.allclose((reach.height, reach.width), shape, rtol=0.001)
    assert mask.overlay.step[0] == pytest.approx(mask.overlay.step[1], rel=0.01)
