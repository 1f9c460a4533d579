"""Lesions cut out and laid down again, and where that may be."""

from __future__ import annotations

import numpy as np
import pytest
from breast_phantoms import SHAPE, above_the_edge, disc, mammogram

from napari_pathogan.errors import DataFolderError
from napari_pathogan.mammograms.breast import breast
from napari_pathogan.tasks.blending.lesions import cut, lesions, normals, reduce, staged, windowed
from napari_pathogan.tasks.blending.placing import places

CENTRE, RADIUS = (170, 80), 14


@pytest.fixture(scope="module")
def sick():
    return mammogram(masses=[(*CENTRE, RADIUS)])


@pytest.fixture(scope="module")
def lesion(sick):
    return cut(sick, disc(SHAPE, CENTRE, RADIUS), name="one")


def test_a_lesion_comes_with_a_rim(sick, lesion):
    assert lesion.mask.sum() == disc(SHAPE, CENTRE, RADIUS).sum()
    assert (lesion.region & lesion.mask).sum() == lesion.mask.sum()
    assert 1.3 < lesion.region.sum() / lesion.mask.sum() < 1.8
    rows, columns = np.nonzero(lesion.region)
    for ends, n in ((rows, lesion.patch.shape[0]), (columns, lesion.patch.shape[1])):
        assert ends.min() >= 3  # its gradient is known across the border
        assert ends.max() <= n - 4
    assert lesion.long_side == 320
    assert lesion.patch.max() == sick[disc(SHAPE, CENTRE, RADIUS + 8)].max()


def test_no_air_comes_with_a_lesion_at_the_skin():
    image = mammogram()
    found = breast(image)
    row = 170
    skin = int(np.flatnonzero(found.mask[row]).max())
    lesion = cut(image, disc(SHAPE, (row, skin - 15), 12))
    assert lesion.patch[lesion.region].min() > 0.2
    assert (~lesion.region & (lesion.patch < 0.1)).any()  # the air is in the patch


def test_a_lesion_at_the_images_border_is_cut_there():
    image = mammogram(masses=[(170, 3, 10)])
    lesion = cut(image, disc(SHAPE, (170, 3), 10))
    assert lesion.mask.sum() == disc(SHAPE, (170, 3), 10).sum()
    assert np.isfinite(lesion.patch).all()


def test_nothing_to_cut_out(sick):
    with pytest.raises(DataFolderError, match="case 3: nothing is marked"):
        cut(sick, np.zeros(SHAPE, bool), name="case 3")


def test_back_where_it_was_it_is_the_same(sick, lesion):
    rows, columns = np.nonzero(disc(SHAPE, CENTRE, RADIUS))
    middle = ((rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2)
    stage = staged(sick, lesion, middle)
    np.testing.assert_allclose(stage.pasted, sick, atol=1e-5)
    np.testing.assert_array_equal(stage.core, disc(SHAPE, CENTRE, RADIUS))
    assert not (stage.core & ~stage.w).any()


def test_turned_and_resized(sick, lesion):
    x = np.full((101, 101), 0.4, np.float32)
    marked = lesion.patch.copy()
    middle = marked.shape[0] // 2
    marked[middle - 1 : middle + 2, middle + 8 : middle + 11] = 1.0  # a bright spot on the right
    spotted = type(lesion)(marked, lesion.mask, lesion.region)
    for angle, (dy, dx) in {0: (0, 9), 90: (-9, 0), 180: (0, -9), 270: (9, 0)}.items():
        for scale in (1.0, 2.0):
            stage = staged(x, spotted, (50, 50), scale=scale, angle=angle)
            y, z = np.unravel_index(stage.e.argmax(), stage.e.shape)
            assert np.hypot(y - 50 - scale * dy, z - 50 - scale * dx) <= 2 * scale
            assert stage.core.sum() == pytest.approx(scale**2 * lesion.mask.sum(), rel=0.05)


def test_images_of_another_size_resize_a_lesion(lesion):
    assert lesion.scale_in((640, 100)) == 2.0
    assert type(lesion)(lesion.patch, lesion.mask, lesion.region).scale_in((640, 100)) == 1.0


def test_windows_beyond_the_border():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert windowed(image, ((-1, 2), (2, 6))).tolist() == [
        [2, 3, 3, 3],
        [2, 3, 3, 3],
        [6, 7, 7, 7],
    ]
    marked = windowed(np.ones((3, 4), bool), ((-1, 2), (2, 6)), outside=False)
    assert marked.tolist() == [[False] * 4, *[[True, True, False, False]] * 2]
    assert windowed(image, ((5, 7), (0, 2))).tolist() == [[8, 9], [8, 9]]  # all of it beyond


def test_means_of_squares():
    image = np.arange(30, dtype=np.float32).reshape(5, 6)
    assert reduce(image, 2).tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]


def test_a_folders_lesions_and_healthy_images(folder):
    assert [lesion.name for lesion in lesions(folder)] == ["a1, mass 1", "b1, mass 1"]
    assert normals(folder).tolist() == [2, 3, 4]
    with pytest.raises(DataFolderError, match="no lesion to blend"):
        lesions(folder.subset([2, 3]))
    with pytest.raises(DataFolderError, match="nothing to blend into"):
        normals(folder.subset([0, 1]))


def muscle_in(image):
    """Where masses may be placed in a CC view and not in an MLO view: bool (H, W)."""
    free, off = (places(image, view) for view in ("CC", "MLO"))
    assert free.factor == 1
    return (free.room > 0) & (off.room == 0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_muscle_of_an_mlo_view(side):
    image = mammogram(3, muscle=True, side=side)
    truth = above_the_edge()[:, :: 1 if side == "left" else -1] & (image > 0)
    found = muscle_in(image)
    assert (found & truth).sum() / (found | truth).sum() > 0.85


def test_without_an_edge_the_usual_muscle():
    image = mammogram(4)
    found = muscle_in(image)
    assert 0.05 < found.sum() / breast(image).mask.sum() < 0.35
    assert found[0, 5] or found[10, 5]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("view", ["MLO", "CC", ""])
def test_masses_grow_in_the_breast_and_off_the_muscle(side, view):
    image = mammogram(5, muscle=view != "CC", side=side)
    inside = breast(image).mask
    muscle = above_the_edge()[:, :: 1 if side == "left" else -1]
    free, rng, radius = places(image, view), np.random.default_rng(0), 20
    on_muscle = 0
    for _ in range(100):
        y, x = free.draw(radius, rng)
        spot = disc(SHAPE, (y, x), radius - 2)
        assert spot.sum() > np.pi * (radius - 2) ** 2 * 0.97  # all of it in the image
        assert inside[spot].all()
        on_muscle += muscle[spot].mean() > 0.05
    assert on_muscle == 0 if view != "CC" else on_muscle > 0


def test_places_are_spread_and_none_is_too_small_for_none():
    free, rng = places(mammogram(6), "CC"), np.random.default_rng(1)
    drawn = np.array([free.draw(15, rng) for _ in range(200)])
    assert (drawn.std(0) > 20).all()
    assert len(np.unique(drawn[:, 0])) > 190  # not on the grid of the small copy
    assert free.draw(500, rng) is None
