"""White stays white, whatever is done to tissue; borders are made of real pixels."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from stain_phantoms import two_stains

from napari_pathogan.colour.lab import to_lab
from napari_pathogan.colour.stained import mirrored
from napari_pathogan.errors import NoTissueError
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.stain.glass import Glass
from napari_pathogan.tasks.stain.levels import transferred
from napari_pathogan.tasks.stain.live import live
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.predict import Method, fit
from napari_pathogan.tasks.stain.scanner import ScannerMap, Softening

STYLES = ("stain-crc", "stain-tnbc")
PLAIN = [method for method in Method if method != Method.scanner]
MAPPED = {"scanner, soft": (0.6, (0.7, 2.6)), "scanner, sharp": (1.0, (0.0, 0.0))}  # share, sigmas
OTHER = {"vectors": ((0.65, 0.70, 0.29), (0.30, 0.90, 0.30)), "amount": (1.3, 0.8)}


@pytest.fixture(scope="module")
def styles():
    known = {name: StyleModel.load(name, "cpu") for name in STYLES}
    plain = vars(known["stain-tnbc"])
    darker = np.vstack([[0.4, 0.35, 0.45], np.diag([1.2, 1.1, 0.9])])
    for name, blur in MAPPED.items():
        map_ = ScannerMap(Softening(*blur), darker, darker, plain["reinhard"], 9.0)
        known[name] = StyleModel(**{**plain, "scanner": map_})
    return known


def with_glass(tint, noise, seed=0):
    """Tissue with a lumen, beside glass of some tint that flickers; and where the glass is."""
    rng = np.random.default_rng(seed)
    image = two_stains(420, seed, **OTHER).astype(float)
    y, x = np.mgrid[:420, :420]
    glass = (x < 150) | (np.hypot(y - 200, x - 320) < 40)
    image[glass] = tint
    image = ndimage.gaussian_filter(image, (0.6, 0.6, 0))
    image += rng.normal(0, noise, image.shape)
    return image.clip(0, 255).astype(np.uint8), ndimage.binary_erosion(glass, iterations=3)


@pytest.mark.parametrize(
    ("style", "method"),
    [*product(STYLES, PLAIN), *product(MAPPED, [Method.scanner])],
)
@pytest.mark.parametrize(
    ("tint", "noise"), [((243, 243, 243), 1.0), ((255, 255, 255), 0.0), ((228, 226, 232), 1.5)]
)
def test_glass_keeps_its_very_pixels(styles, style, method, tint, noise):
    image, glass = with_glass(tint, noise)
    slide = Slide.from_arrays([image], name="case", mpp=0.25)
    transfer = fit(slide, styles[style], method)
    if transfer.blur is not None:  # what lies within its reach of tissue is blurred with it
        glass = ndimage.binary_erosion(glass, iterations=transfer.blur.margin((1, 1)))
    view = transferred(slide, transfer)
    shown = [view]
    if transfer.model is not None:
        shown.append(live(slide, view, transfer).slide)  # the first look
    for made in shown:
        after = np.asarray(made.levels[0])
        assert (after[glass] == image[glass]).mean() > 0.999
        assert np.abs(after[glass].astype(int) - image[glass]).max() <= 2
        assert (after != image).any(-1)[:, 200:260].mean() > 0.9  # and tissue is restained


def test_pen_and_dirt_beyond_the_tissue_keep_their_colours(styles):
    image = np.full((1600, 1600, 3), 243, np.uint8)
    image[200:900, 200:900] = two_stains(700, **OTHER)
    image[1200:1400, 1100:1500] = (20, 120, 90)  # green ink
    slide = Slide.from_arrays([image], name="case", mpp=1.0)
    for method in (Method.macenko, Method.reinhard):
        after = np.asarray(transferred(slide, fit(slide, styles["stain-crc"], method)).levels[0])
        assert (after[1100:, 1000:] == image[1100:, 1000:]).all()


@pytest.mark.parametrize("method", PLAIN)
def test_ink_over_a_field_keeps_its_colours_and_is_told_of(styles, method):
    """As on a whole slide: a stroke that crosses a field is wider than any nucleus."""
    image = two_stains(640, **OTHER)
    stroke = np.zeros(image.shape[:2], bool)
    stroke[:, 150:390] = True
    y, x = np.mgrid[:640, :640]
    ink = np.stack([30 + 10 * np.sin(y / 50), 140 + 8 * np.cos(x / 40), 110 + 0 * x], -1)
    image[stroke] = ink[stroke]
    slide = Slide.from_arrays([image], name="field.png", mpp=0.5)
    transfer = fit(slide, styles["stain-crc"], method)
    assert any("ink of a pen on field.png" in note for note in transfer.notes)
    after = np.asarray(transferred(slide, transfer).levels[0])
    assert (after[stroke] == image[stroke]).mean() > 0.999
    assert (after != image).any(-1)[:, 420:].mean() > 0.9


def test_a_field_of_ink_alone_has_no_tissue(data, styles):
    image = np.asarray(Image.open(data / "tiles/no-tissue-green-pen.png").convert("RGB"))
    with pytest.raises(NoTissueError, match=r"no tissue was found on pen\.png"):
        fit(
            Slide.from_arrays([image], name="pen.png", mpp=0.5),
            styles["stain-crc"],
            Method.reinhard,
        )


def test_new_colours_come_in_without_a_seam():
    """From glass to tissue, a pixel's share of the new colours rises steadily from 0 to 1."""
    glass = Glass(np.full(3, 243.0))
    before = np.repeat(np.arange(255, 99, -1, dtype=np.uint8)[:, None, None], 3, 2)
    after = np.zeros_like(before)
    share = 1 - glass.keep(before, after, (0, 0), (1, 1))[:, 0, 0] / before[:, 0, 0].astype(float)
    assert share[0] == 0
    assert share[-1] == 1
    assert (np.diff(share) >= -0.01).all()
    assert np.diff(share).max() < 0.15


@pytest.mark.parametrize(("style", "mpp"), [("stain-crc", 0.3), ("stain-tnbc", 0.25)])
def test_tissue_has_no_rim_where_it_meets_glass(styles, style, mpp):
    """What ends at flat glass gets the colours that it has where nothing is beside it."""
    tissue = two_stains(256, seed=2, **OTHER)
    image = np.full((432, 408, 3), (240, 238, 242), np.uint8)
    image[96:352, 72:328] = tissue
    whole = Slide.from_arrays([image], name="whole", mpp=mpp)
    alone = Slide.from_arrays([tissue], name="alone", mpp=mpp)
    transfer = fit(alone, styles[style], Method.cnn)
    wanted = to_lab(np.asarray(transferred(alone, transfer).levels[0]))
    transfer = replace(transfer, glass=replace(Glass.of(whole), tissue=None))
    made = to_lab(np.asarray(transferred(whole, transfer).levels[0])[96:352, 72:328])
    rim = np.ones(tissue.shape[:2], bool)
    rim[8:-8, 8:-8] = False
    assert np.abs(made[rim][:, 1:].mean(0) - wanted[rim][:, 1:].mean(0)).max() < 2


def test_a_field_of_pale_collagen_is_not_taken_for_glass():
    rng = np.random.default_rng(0)
    image = two_stains(300, seed=3)
    image[:, :200] = (236, 222, 208)  # pale, beige, and all over
    image = (image + rng.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)
    glass = Glass.of(Slide.from_arrays([image], name="field", mpp=0.25))
    assert glass.background.min() > 235
    blue = np.zeros_like(image) + np.uint8([0, 0, 255])
    made = glass.keep(image, blue, (0, 0), (1, 1))
    assert (made[:, :200, 0] < 0.7 * image[:, :200, 0]).mean() > 0.95


def test_beyond_the_edges_a_slide_is_mirrored():
    image = np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8)
    slide = Slide.from_arrays([image], name="case", mpp=0.5)
    seen = mirrored(slide, (1.0, 1.0), (-5, -70), (60, 180))
    wanted = np.pad(image, ((5, 18), (70, 57), (0, 0)), mode="reflect")
    assert (seen == wanted).all()
    inside = mirrored(slide, (2.0, 2.0), (3, 4), (10, 12))
    assert (inside == slide.resampled((6.0, 8.0), (2.0, 2.0), (10, 12))).all()
    half = mirrored(slide, (2.0, 2.0), (10, 20), (12, 12))  # the last whole pixel, then back
    whole = slide.resampled((0.0, 0.0), (2.0, 2.0), (18, 26))
    assert (half[7, :6] == whole[17, 20:26]).all()
    assert (half[8, :6] == whole[16, 20:26]).all()


@pytest.mark.parametrize(
    ("style", "mpp", "aligned"),
    [("stain-tnbc", 0.25, True), ("stain-crc", 0.55, True), ("stain-crc", 0.25, False)],
)
def test_a_crop_looks_like_the_larger_image_up_to_its_border(styles, style, mpp, aligned):
    """No frame: the border of an image has the colours that it has with all around it."""
    image = two_stains(640, seed=4, **OTHER)[:, 100:]
    whole = Slide.from_arrays([image], name="whole", mpp=mpp)
    transfer = fit(whole, styles[style], Method.cnn)
    transfer = replace(transfer, glass=Glass(np.full(3, 243.0)))  # the same for both
    top, left, side = 152, 128, 256  # where the network's own grid of 8 px begins, if aligned
    part = image[top : top + side, left : left + side].copy()
    crop = Slide.from_arrays([part], name="crop", mpp=mpp)
    large = np.asarray(transferred(whole, transfer).levels[0])
    large = large[top : top + side, left : left + side]
    small = np.asarray(transferred(crop, transfer).levels[0])
    if aligned:  # what lies further in than the network and the blur see is the same
        inner = np.s_[80:-80, 80:-80]
        assert np.abs(large[inner].astype(int) - small[inner]).max() <= 1
    frame = np.ones(part.shape[:2], bool)
    frame[6:-6, 6:-6] = False
    before, after = (to_lab(x[frame]) for x in (large, small))
    for colour in range(3):  # of the frame as a whole: neither darker, nor greener, nor pinker
        assert after[:, colour].mean() == pytest.approx(before[:, colour].mean(), abs=3)


def test_real_glass_in_the_other_laboratorys_style(data, styles):
    """The breast image whose fat was violet in the colon style."""
    image = np.asarray(Image.open(data / "tnbc/images/02_1.png").convert("RGB"))
    slide = Slide.from_arrays([image], name="02_1.png", mpp=0.25)
    fat = np.zeros(image.shape[:2], bool)
    fat[380:450, 40:110] = True
    for method in PLAIN:
        after = np.asarray(transferred(slide, fit(slide, styles["stain-crc"], method)).levels[0])
        assert np.abs(after[fat].astype(int) - image[fat]).max() <= 3
