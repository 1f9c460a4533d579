"""A slide in a virtual stain: without seams, first fast and then the generator's, and its doubt map."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from virtual_pairs import save_pair

from napari_pathogan.engine.events import Finished, Tile
from napari_pathogan.errors import SlideFormatError, UnknownScaleError
from napari_pathogan.slides.geometry import Region
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.virtual_stain.look import (
    Painting,
    PairScaleError,
    by_generator,
    doubt_map,
    live,
    painted,
)
from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel
from napari_pathogan.tasks.virtual_stain.stains import SourceStainError
from napari_pathogan.tasks.virtual_stain.trust import TrustMap


def section(shape=(400, 700), seed=0):
    """Blobs of two colours on a third, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    parts = [ndimage.gaussian_filter(rng.standard_normal(shape), 6) for _ in range(3)]
    return (
        np.stack([170 + 40 * part / part.std() for part in parts], -1).clip(0, 255).astype(np.uint8)
    )


def slide_of(image, mpp=1.0, **options):
    return Slide.from_arrays([image], name="case", mpp=mpp, **options)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return VirtualStainModel.load(save_pair(tmp_path_factory.mktemp("models") / "pair"), "cpu")


@pytest.fixture(scope="module")
def painting(model):
    image = section()
    levels = [image, image[::2, ::2], image[::4, ::4]]
    return Painting.of(Slide.from_arrays(levels, name="case", mpp=0.5), model, "pas")


def test_a_pixel_has_one_colour_whatever_tile_it_falls_into(painting):
    level = painted(painting).base  # half the model's pixels: painted coarser, and enlarged
    whole = np.asarray(painted(painting).levels[0][:])
    array = level._plane._array
    for y, x, h, w in ((0, 0, 130, 131), (101, 203, 97, 150), (350, 555, 50, 145)):
        part = array.part((y, x), (h, w)).astype(int)
        assert np.abs(part - whole[y : y + h, x : x + w]).max() <= 1
    assert whole.std((0, 1)).min() > 1


def test_levels_near_the_models_scale_are_the_generators(painting):
    assert by_generator(painting) == (True, True, False)
    made = painted(painting)
    assert made.shape == painting.slide.shape
    assert made.mpp == painting.slide.mpp
    assert made.metadata["synthetic"] is True
    assert made.metadata["virtual_stain"] == "masson"
    assert made.metadata["source_stain"] == "pas"
    assert made.metadata["virtual_stain_model"] == "pair"
    assert made.name == "case as virtual Masson trichrome [synthetic]"


def test_the_first_look_is_the_students_and_then_comes_the_generator(painting):
    view = live(painting)
    first = np.asarray(view.slide.levels[1][:])
    assert (first == painting.student(np.asarray(painting.slide.levels[1][:]))).all()
    view.look(1, Region(0, 0, *first.shape[:2]), (0, 0))
    *_, end = view.refine()
    assert isinstance(end, Finished)
    then = np.asarray(view.slide.levels[1][:])
    assert (then == np.asarray(painted(painting).levels[1][:])).all()
    assert not (then == first).all()
    assert painting.student_error > 0


@pytest.mark.parametrize("which", TrustMap)
def test_a_doubt_map_lies_on_its_region_whatever_its_blocks(painting, which, monkeypatch):
    region = Region(37, 101, 260, 380)
    *events, end = doubt_map(painting, region, which)
    overlay = end.result
    assert overlay.step == (16.0, 16.0)  # 8 of the model's pixels
    assert overlay.origin == (32.0, 96.0)
    assert overlay.data.shape == (17, 25)
    assert np.isfinite(overlay.data).all()
    assert any(isinstance(event, Tile) for event in events)
    monkeypatch.setattr("napari_pathogan.tasks.virtual_stain.look._BLOCK", 7)
    *_, again = doubt_map(painting, region, which)
    if which is TrustMap.cycle:
        assert np.allclose(overlay.data, again.result.data, atol=0.5)


@pytest.mark.parametrize("which", TrustMap)
def test_glass_is_not_doubted(model, which):
    image = section()
    image[:, 320:] = 246
    painting = Painting.of(slide_of(image, 0.5), model, "pas")
    *_, end = doubt_map(painting, Region(0, 0, *image.shape[:2]), which)
    cells = end.result.data  # of 16 px of the slide
    assert np.isnan(cells[:, 21:43]).all()
    assert np.isfinite(cells[:, :19]).all()


@pytest.mark.parametrize(
    ("image", "mpp", "stain", "kind", "sentence"),
    [
        (section()[..., 0], 1.0, "pas", SlideFormatError, "is grey"),
        (section(), None, "pas", UnknownScaleError, "does not say how large its pixels are"),
        (section(), 2.0, "pas", PairScaleError, "too coarse for pair, trained at 1 um"),
        (section((60, 300)), 1.0, "pas", PairScaleError, "smaller than a patch of 70 x 70 px"),
        (section((200, 200)), 0.25, "pas", PairScaleError, "50 x 50 px at the scale of pair"),
        (section(), 1.0, "he", SourceStainError, "it is said to be he"),
        (section(), 1.0, "", SourceStainError, "nobody says which stain it has"),
    ],
)
def test_what_can_not_be_painted_is_refused_in_a_sentence(
    model, *, image, mpp, stain, kind, sentence
):
    with pytest.raises(kind, match=sentence):
        Painting.of(slide_of(image, mpp), model, stain)
