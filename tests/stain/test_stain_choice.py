"""The method that a slide starts with is the one that measures closest to the style."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from stain_phantoms import two_stains

from napari_pathogan.colour.baselines import Macenko, Reinhard, StainFitError
from napari_pathogan.colour.lab import to_lab, to_rgb
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.stain import predict
from napari_pathogan.tasks.stain.closeness import Closeness, Goal, closeness
from napari_pathogan.tasks.stain.levels import transferred
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.predict import Method, fit, fit_reference

PLAIN = [method for method in Method if method != Method.scanner]  # of a style without a map
OTHER = {"vectors": ((0.65, 0.70, 0.29), (0.30, 0.90, 0.30)), "amount": (1.3, 0.8)}


@pytest.fixture(scope="module")
def style():
    return StyleModel.load("stain-tnbc", "cpu")


def slide_of(image, mpp=0.25):
    return Slide.from_arrays([image], name="case", mpp=mpp)


def test_the_closest_is_taken_and_says_so(style):
    transfer = fit(slide_of(two_stains(400, **OTHER)), style)
    distances = [figures.distance for figures in transfer.measured.values()]
    assert set(transfer.measured) == set(PLAIN)
    assert distances == sorted(distances)
    assert transfer.method == next(iter(transfer.measured))
    assert transfer.why.startswith(transfer.method.words[:1].upper() + transfer.method.words[1:])
    assert f"distance {distances[0]:.2f}; " in transfer.why
    assert not fit(slide_of(two_stains(400)), style, Method.reinhard).why


@pytest.mark.parametrize("method", [Method.cnn, Method.lut])
def test_a_network_that_was_chosen_stays_and_what_measures_closest_is_said(style, method):
    slide = slide_of(two_stains(400, **OTHER))
    closest, chosen = fit(slide, style), fit(slide, style, method)
    assert chosen.method == method
    assert chosen.measured.keys() == closest.measured.keys()
    if closest.method != method:
        assert chosen.why == f"{closest.why} You chose the {method.words}."


def test_whatever_measures_best_wins(style, monkeypatch):
    """The default is no fixed method."""
    for best in PLAIN:
        ranks = iter([0.1 if method == best else 0.9 for method in PLAIN])
        monkeypatch.setattr(
            predict,
            "closeness",
            lambda *_, ranks=ranks, **__: Closeness(next(ranks), 0, 0, 1, 0, 0),
        )
        assert fit(slide_of(two_stains(300)), style).method == best


def test_methods_that_can_not_be_taken_are_left_out(style):
    coarse = fit(slide_of(two_stains(300), 1.0), style)
    unknown = fit(slide_of(two_stains(300), None), style)
    for transfer in (coarse, unknown):
        assert set(transfer.measured) == {Method.macenko, Method.reinhard}
    one_dye = two_stains(300, vectors=((0.6, 0.7, 0.4), (0.6, 0.7, 0.4)))
    with pytest.raises(StainFitError):
        fit(slide_of(one_dye), style, Method.macenko)
    assert Method.macenko not in fit(slide_of(one_dye), style).measured


def test_a_reference_is_the_goal_and_names_the_colours(style):
    wanted = two_stains(300, seed=7, vectors=((0.4, 0.6, 0.7), (0.2, 0.5, 0.85)))
    slide = slide_of(two_stains(300, **OTHER))
    transfer = fit(slide, style, reference=wanted, named="06_1.png")
    assert transfer.colours_of == "06_1.png"
    way = transfer.method.words
    assert (
        transferred(slide, transfer).name == f"case in the colours of 06_1.png ({way}) [synthetic]"
    )
    assert transfer.measured[transfer.method].euclidean < 0.9
    alone = fit_reference(slide, wanted, None, "06_1.png")
    assert set(alone.measured) == {Method.macenko, Method.reinhard}
    assert fit(slide, style).colours_of == "stain-tnbc"


@pytest.fixture
def goal():
    return Goal.of([two_stains(256, seed) for seed in range(4)])


def test_what_looks_wrong_costs(goal):
    """Grey, flat, green and blurred pictures are worse than the style's own, by what they are."""
    image = two_stains(256, 9)
    own = closeness([image], [image], goal)
    assert own.distance < 0.5
    grey = np.repeat(image.mean(-1, keepdims=True), 3, 2).astype(np.uint8)
    green = image[..., [1, 0, 2]]
    blurred = np.asarray(Image.fromarray(image).resize((32, 32)).resize((256, 256)))
    for made, figure, sign in ((grey, "flat", 1), (green, "foreign", 1), (blurred, "ssim", -1)):
        other = closeness([image], [made], goal)
        assert other.distance > own.distance + 0.2, figure
        assert sign * getattr(other, figure) > sign * getattr(own, figure) + 0.2, figure
    assert closeness([image], [image], goal, smudges=4).distance > own.distance + 0.1


def test_a_style_of_an_older_version_knows_about_what_it_looks_like(style):
    known = style.goal.histogram
    settings = {k: v for k, v in style.card.settings.items() if k != "histogram"}
    old = StyleModel(
        **{**vars(style), "card": style.card.model_copy(update={"settings": settings})}
    )
    assert np.corrcoef(old.goal.histogram.ravel(), known.ravel())[0, 1] > 0.95


def test_pigment_on_one_slide_does_not_tilt_the_stains_of_all():
    clean = [two_stains(200, seed) for seed in range(3)]
    black = two_stains(200, 5)
    black[:, 60:] = 25
    rng = np.random.default_rng(0)
    black = (black + rng.normal(0, 6, black.shape)).clip(0, 255).astype(np.uint8)
    alone, middle = Macenko.middle(clean), Macenko.middle([*clean, black])
    assert np.einsum("ij,ij->i", alone.vectors, middle.vectors).min() > 0.99
    with pytest.raises(StainFitError):
        Macenko.middle([np.repeat(two_stains(100)[..., :1], 3, 2)])


def test_reinhard_does_not_make_pale_slides_glare():
    own = Reinhard(np.array([62.0, 10, -6]), np.array([5.0, 1, 4]))
    vivid = Reinhard(np.array([50.0, 20, -10]), np.array([20.0, 3, 5]))
    light = np.random.default_rng(0).normal(own.mean, own.spread, (4000, 3))
    before = to_rgb(light[None])[0]
    made = to_lab(own.map_to(vivid)(before))
    assert made.std(0) == pytest.approx([7.5, 1.5, 5], rel=0.1)
    assert made.mean(0) == pytest.approx(vivid.mean, abs=0.5)


@pytest.mark.parametrize(
    ("name", "other", "mpp"), [("tnbc", "stain-crc", 0.25), ("crc_nuclei", "stain-tnbc", 0.25)]
)
def test_on_real_pairs_the_default_comes_closer_and_keeps_hues(data, name, other, mpp):
    goal_style = StyleModel.load(other, "cpu")
    for path in sorted((data / name / "images").glob("*.png"))[::13]:
        image = np.asarray(Image.open(path).convert("RGB"))
        slide = Slide.from_arrays([image], name=path.name, mpp=mpp)
        transfer = fit(slide, goal_style)
        best = transfer.measured[transfer.method]
        as_it_is = closeness([image], [image], goal_style.goal)
        assert best.distance < as_it_is.distance
        assert best.foreign < 0.15
