"""The map from one scanner's pictures to another's, on pictures whose map is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio
from stain_phantoms import two_stains

from napari_pathogan.errors import DataFolderError
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.stain import scanner
from napari_pathogan.tasks.stain.contract import check
from napari_pathogan.tasks.stain.data import StylePool
from napari_pathogan.tasks.stain.levels import transferred
from napari_pathogan.tasks.stain.model import StyleModel
from napari_pathogan.tasks.stain.predict import Method, NoScannerMapError, fit, fit_reference
from napari_pathogan.tasks.stain.scanner import ScannerMap, Softening

MATRIX = np.array([[0.95, -0.08, 0.1], [-0.05, 0.8, 0.02], [0.06, 0.02, 0.9]])


def grained(seed: int, side: int = 208) -> np.ndarray:
    """Tissue with fine grain, so that there is something to blur."""
    grain = np.random.default_rng(seed).normal(0, 12, (side, side, 1))
    much = 1 + 0.1 * (seed // 2 % 3 - 1)  # patients are not stained alike
    image = two_stains(side, seed, amount=(1.8 * much, 1.0 * much))
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def other_scanner(image: np.ndarray, blur: float = 1.3) -> np.ndarray:
    """The same on a scanner that is softer, has other colours and another tone curve."""
    soft = ndimage.gaussian_filter(image.astype(float), (blur, blur, 0)) / 255
    return np.rint(255 * np.clip(soft @ MATRIX.T, 0, 1) ** 1.2).astype(np.uint8)


def pool_of(images: list[np.ndarray], prefix: str) -> StylePool:
    names = tuple(f"{prefix}{i // 2}_{i}.png" for i in range(len(images)))
    patients = tuple(name.partition("_")[0] for name in names)
    return StylePool(tuple(images), names, patients, (0,) * len(images))


@pytest.fixture(scope="module")
def pools():
    """Two pools, unpaired: no picture of one is in the other."""
    return (
        pool_of([grained(seed) for seed in range(6)], "a"),
        pool_of([other_scanner(grained(seed)) for seed in range(10, 16)], "b"),
    )


@pytest.fixture(scope="module")
def there(pools):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanner, "_DRAWN", 800)
        return ScannerMap.fit(*pools)


@pytest.fixture(scope="module")
def style(there):
    plain = StyleModel.load("stain-tnbc", "cpu")
    return StyleModel(**{**vars(plain), "scanner": there})


def psnr(made: np.ndarray, truth: np.ndarray) -> float:
    return peak_signal_noise_ratio(truth, made, data_range=255)


def test_it_comes_closer_than_a_linear_map_on_pictures_not_learnt_from(there):
    for seed in (30, 31):
        image = grained(seed)
        truth = other_scanner(image)
        made = psnr(there(there.softening(image)), truth)
        assert made > psnr(image, truth) + 8
        assert made > psnr(there.linearly(image), truth) + 3


def test_it_never_sharpens(pools):
    source, target = pools
    blur, none = (
        Softening.fit(source.images, target.images),
        Softening.fit(target.images, source.images),
    )
    image = target.images[0]
    assert (none(image) == image).all()
    soft = blur(source.images[0])
    assert soft.astype(float).std() < source.images[0].astype(float).std()
    even = np.full((40, 40, 3), (200, 120, 180), np.uint8)
    assert (blur(even) == even).all()


def test_the_blur_is_of_so_many_micrometres():
    """A picture at half the scale is blurred by half as many pixels."""
    blur = Softening(1.0, (4.0, 0.0))
    image = two_stains(128)
    wanted = ndimage.gaussian_filter(image.astype(np.float32), (2, 2, 0))
    assert np.abs(blur(image, (2.0, 2.0)) - wanted).max() < 3
    assert blur.margin((2.0, 2.0)) < blur.margin((1.0, 1.0))


def test_a_card_holds_it(there):
    again = ScannerMap.from_json(there.to_json())
    image = grained(40)
    assert (again(again.softening(image)) == there(there.softening(image))).all()
    assert again.reach == pytest.approx(there.reach, abs=1e-3)


@pytest.mark.parametrize("mpp", [0.25, 0.1, 0.5, 1.0, None])
def test_a_view_is_the_same_however_it_is_cut(style, mpp):
    """At any scale; also where nobody knows it, of which there is a note."""
    image = grained(50, 700)
    slide = Slide.from_arrays([image, image[::2, ::2], image[::4, ::4]], name="case", mpp=mpp)
    transfer = fit(slide, style, Method.scanner)
    view = transferred(slide, transfer)
    for level in view.levels:
        whole = np.asarray(transferred(slide, transfer).levels[view.levels.index(level)])
        for y, x in ((0, 0), (60, 70), (100, 110)):
            part = np.asarray(level[y : y + 60, x : x + 50])
            assert (part == whole[y : y + 60, x : x + 50]).all()
    assert bool(transfer.notes) == (mpp is None)


def test_a_slide_of_the_maps_scanner_begins_with_it(style):
    own = Slide.from_arrays([grained(60, 400)], name="case", mpp=0.25)
    transfer = fit(own, style)
    assert (transfer.method, transfer.from_scanner) == (Method.scanner, True)
    assert "map" in transfer.why
    strange = two_stains(400, vectors=((0.4, 0.6, 0.7), (0.2, 0.5, 0.85)), amount=(2.5, 1.8))
    other = fit(Slide.from_arrays([strange], name="case", mpp=0.25), style)
    assert not other.from_scanner
    assert set(other.measured) == set(Method)
    asked = fit(Slide.from_arrays([strange], name="case", mpp=0.25), style, Method.scanner)
    assert "does not look like" in asked.notes[0]


def test_without_a_map_there_is_a_sentence(style):
    slide = Slide.from_arrays([grained(1)], name="case", mpp=0.25)
    plain = StyleModel(**{**vars(style), "scanner": None})
    reference = grained(2)
    with pytest.raises(NoScannerMapError, match="no scanner map to stain-tnbc"):
        fit(slide, plain, Method.scanner)
    with pytest.raises(NoScannerMapError, match="reference"):
        fit(slide, style, Method.scanner, reference=reference)
    with pytest.raises(NoScannerMapError, match="reference"):
        fit_reference(slide, reference, Method.scanner, "other")
    assert Method.scanner not in fit(slide, plain).measured
    assert not fit(slide, style, reference=reference).from_scanner


def test_patients_held_out_are_in_neither_pool(pools, tmp_path, tiny):
    source, target = pools
    both = replace(source, patients=target.patients)
    assert set(both.without(["b0"]).patients) == {"b1", "b2"}
    with pytest.raises(DataFolderError, match="none is left"):
        both.without(["b0", "b1", "b2"])
    with pytest.raises(DataFolderError, match="not a folder"):
        check(target, tiny, holdout=0.3, from_pool=tmp_path / "nowhere")
