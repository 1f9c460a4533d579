"""Planted defects, what the maps of a generator find of them, and how far a slide's stain is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from napari_pathogan.colour.stain_distance import StainPool, described
from napari_pathogan.engine.models import ModelCard
from napari_pathogan.errors import NoTissueError
from napari_pathogan.tasks.virtual_stain import trust
from napari_pathogan.tasks.virtual_stain.stains import SourceStainError
from napari_pathogan.tasks.virtual_stain.trust import DEFECTS, TrustMap

PINK, BLUE = (205, 130, 180), (120, 140, 205)


def tissue(colour, seed=0, side=160):
    """A textured field of one colour."""
    rng = np.random.default_rng(seed)
    grain = ndimage.gaussian_filter(rng.standard_normal((side, side)), 2)
    tone = 1 + 0.15 * grain / grain.std() + rng.normal(0, 0.04)
    return np.clip(tone[..., None] * colour + rng.normal(0, 4, 3), 0, 255).astype(np.uint8)


class Pair:
    """Swaps red and blue; knows colours of its pool alone, as a generator does."""

    source_stain, target_stain = "pas", "masson"

    def target_of(self, stain):
        return {"pas": "masson", "masson": "pas"}[stain]

    def paint(self, image, stain):
        del stain
        return np.clip(image[..., ::-1], 110, 235)  # what it never saw does not come back

    def inspect(self, image, stain):
        """Judges brightness alone."""
        del stain
        rows, cols = (n // 8 for n in image.shape[:2])
        cells = image[: 8 * rows, : 8 * cols, 1].reshape(rows, 8, cols, 8).mean((1, 3)) / 255
        return cells[1:-1, 1:-1].astype(np.float32)  # score [i, j] is around (8 i + 12, 8 j + 12)


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_defect_is_where_it_is_said_to_be(kind):
    image, other = tissue(PINK), tissue(BLUE, seed=3, side=100)
    spoilt, where = trust.planted(image, other, kind, np.random.default_rng(1))
    assert spoilt.dtype == np.uint8
    assert (spoilt[~where] == image[~where]).all()
    assert 0.02 < where.mean() < 0.6
    assert (spoilt[where] != image[where]).any(-1).mean() > 0.5


def test_maps_are_cells_of_8_px_over_the_image():
    image = tissue(PINK, side=163)
    for which in TrustMap:
        doubt = trust.doubts(Pair(), image, "pas", which)
        assert doubt.shape == (20, 20)
        assert np.isfinite(doubt).all()


@pytest.mark.parametrize("row", [4, 10, 15])
@pytest.mark.parametrize("which", TrustMap)
def test_doubt_lies_where_its_cause_is(which, row):
    image = np.full((160, 160, 3), 200, np.uint8)
    image[8 * row : 8 * row + 8, 72:80] = 20  # what the pair does not bring back, and is dark
    doubt = trust.doubts(Pair(), image, "pas", which)
    y, x = ndimage.center_of_mass(doubt - doubt.min())
    assert (y, x) == pytest.approx((row, 9), abs=0.8)


def test_what_finds_planted_defects_is_shown_and_what_does_not_is_not():
    images, others = [tissue(PINK, s) for s in range(4)], [tissue(BLUE, 9)]
    found = trust.measure(Pair(), images, others)
    assert set(found) == {"cycle", "judge"}
    assert set(found["cycle"]) == set(DEFECTS)
    assert found["cycle"]["pen"] > 0.9  # inks are darker than all that the pair brings back
    assert found["cycle"]["blur"] < 0.6  # and what is out of focus is not
    card = ModelCard(
        name="p",
        title="p",
        task="virtual-stain",
        architecture="x",
        settings={"trust": {"pas": found}},
    )
    assert TrustMap.cycle in trust.shown(card, "pas")
    sentence = trust.finds(card, "pas", TrustMap.cycle)
    assert "finds pen ink (AUC" in sentence
    assert "misses" in sentence.split("blur")[0]
    blind = card.model_copy(
        update={"settings": {"trust": {"pas": {"cycle": {"pen": 0.55, "blur": 0.4}}}}}
    )
    assert trust.shown(blind, "pas") == []
    assert trust.shown(card, "masson") == []  # was not measured


def test_what_a_card_says_of_trust_is_plain_json_and_small_pools_say_less():
    pools = {
        "pas": [tissue(PINK, s) for s in range(6)],
        "masson": [tissue(BLUE, s) for s in range(2)],
    }
    held = {"pas": [tissue(PINK, 50, 300), tissue(PINK, 51, 80)], "masson": [tissue(BLUE, 52, 80)]}
    said = json.loads(json.dumps(trust.for_card(Pair(), pools, held)))
    assert list(said["pools"]) == ["pas"]  # two images have no spread
    assert list(said["trust"]) == list(said["doubt"]) == ["pas"]  # others are too small to plant in
    low, high = said["doubt"]["pas"]["cycle"]
    assert 0 <= low <= high
    assert trust.for_card(Pair(), pools, {})["trust"] == {}


def test_the_area_under_the_curve_counts_ties_half():
    assert trust.area_under_curve(np.array([1, 2, 3, 4.0]), np.array([0, 0, 1, 1], bool)) == 1
    assert trust.area_under_curve(np.ones(6), np.array([0, 0, 0, 1, 1, 1], bool)) == 0.5


# how far a stain is


def cards(**pools):
    said = {stain: StainPool.of(images).written() for stain, images in pools.items()}
    card = ModelCard(
        name="p", title="p", task="virtual-stain", architecture="x", settings={"pools": said}
    )
    return [ModelCard.model_validate_json(card.model_dump_json())]


@pytest.fixture(scope="module")
def two():
    return cards(
        pas=[tissue(PINK, s) for s in range(12)], masson=[tissue(BLUE, s) for s in range(12)]
    )


def test_a_stain_that_nobody_says_is_measured(two):
    fit = trust.fit_of([tissue(BLUE, 40), tissue(BLUE, 41)], two)
    assert (fit.stain, fit.said, fit.far) == ("masson", False, False)
    assert list(fit.distances) == ["masson", "pas"]
    assert fit.warning("case") == ""


def test_a_stain_is_told_only_far_from_all_others():
    reaches = {"he": 1.6, "pas": 1.5, "masson": 1.7}
    assert trust.told({"he": 0.9, "pas": 4.0, "masson": 3.5}, reaches) == "he"
    assert not trust.told({"he": 2.8, "pas": 4.2, "masson": 1.6}, reaches)  # H&E skin was so
    assert not trust.told({"he": 1.7, "pas": 9.0, "masson": 9.0}, reaches)
    assert not trust.told({}, reaches)


def test_what_can_not_be_told_is_asked_never_guessed(two):
    with pytest.raises(SourceStainError, match=r"no stain fits .*say its stain"):
        trust.fit_of([tissue((150, 190, 120), 5)], two)
    alike = cards(
        he=[tissue(PINK, s) for s in range(12)], pas=[tissue(PINK, s + 20) for s in range(12)]
    )
    with pytest.raises(SourceStainError, match="more than one stain may fit"):
        trust.fit_of([tissue(PINK, 50), tissue(PINK, 51)], alike)
    with pytest.raises(SourceStainError, match="nothing is known of its colours"):
        trust.fit_of([tissue(PINK)], [])


def test_a_stain_far_from_the_pool_is_warned_of_with_figures(two):
    fit = trust.fit_of([tissue(BLUE, 40)], two, "pas")
    assert fit.far
    text = fit.warning("case.svs")
    assert f"case.svs is {fit.distances['pas']:.1f} spreads from the PAS images" in text
    assert "it looks more like Masson trichrome" in text


def test_a_pool_needs_images_with_tissue():
    glass = np.full((64, 64, 3), 250, np.uint8)
    assert described(glass) is None
    with pytest.raises(NoTissueError, match="1 of 2 images have tissue"):
        StainPool.of([tissue(PINK), glass])
    pool = StainPool.of([tissue(PINK, s) for s in range(8)])
    assert pool.distance([glass]) is None
    assert pool.distance([tissue(PINK, 60)]) < 3 < pool.distance([tissue(BLUE, 60)])
    assert pool.reach > 0.5
