"""From probabilities to nuclei: what touches is told apart, what is one stays one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import ellipse

from napari_pathogan.tasks.nuclei.instances import instances
from napari_pathogan.tasks.nuclei.labels import three_labels

MPP = 0.25


def probabilities(labels: np.ndarray, *, boundary: bool = True, blur: float = 1.0) -> np.ndarray:
    """What a good network would say of known nuclei."""
    three = three_labels(labels)
    if not boundary:
        three = np.minimum(three, 1)
    planes = [ndimage.gaussian_filter((three == k).astype(np.float32), blur) for k in range(3)]
    return np.stack(planes) / np.sum(planes, 0)


def discs(*ellipses, shape=(160, 200)) -> np.ndarray:
    """Ellipses (y, x, a, b, turn), the first one on top."""
    labels = np.zeros(shape, np.int32)
    for number, (y, x, a, b, turn) in reversed(list(enumerate(ellipses, 1))):
        labels[ellipse(y, x, a, b, shape, turn)] = number
    return labels


def agree(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The least intersection over union, where there are as many nuclei."""
    assert ours.max() == theirs.max()
    scores = []
    for number in range(1, theirs.max() + 1):
        mask = theirs == number
        best = np.bincount(ours[mask])[1:].argmax() + 1
        scores.append((mask & (ours == best)).sum() / (mask | (ours == best)).sum())
    return min(scores)


TOUCHING = {
    "two discs": [(60, 60, 16, 16, 0), (60, 90, 16, 16, 0)],
    "large and small": [(70, 70, 26, 26, 0), (70, 105, 10, 10, 0)],
    "three": [(60, 60, 15, 15, 0), (60, 88, 15, 15, 0), (84, 74, 15, 15, 0)],
    "side by side": [(60, 70, 10, 26, 0), (79, 74, 10, 26, 0)],
}


@pytest.mark.parametrize("case", TOUCHING)
def test_touching_nuclei_are_told_apart(case):
    known = discs(*TOUCHING[case])
    assert agree(instances(probabilities(known), mpp=MPP), known) > 0.85


def test_their_shape_tells_where_no_boundary_is_seen():
    known = discs(*TOUCHING["two discs"])
    found = instances(probabilities(known, boundary=False), mpp=MPP)
    assert agree(found, known) > 0.85


@pytest.mark.parametrize("turn", [0, 0.4, 1.2])
@pytest.mark.parametrize("size", [(10, 28), (14, 40), (30, 34), (8, 8)])
def test_one_nucleus_stays_one(size, turn):
    known = discs((80, 100, *size, turn))
    found = instances(probabilities(known), mpp=MPP)
    assert agree(found, known) > 0.9


def test_a_wobbling_outline_makes_no_more_nuclei():
    known = discs((80, 100, 30, 36, 0.3))
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, (3, 160, 200)), (0, 2, 2))
    logits = np.log(probabilities(known, blur=2) + 0.02) + 2 * noise
    noisy = np.exp(logits) / np.exp(logits).sum(0)
    assert instances(noisy, mpp=MPP).max() == 1


def test_holes_are_filled_and_gaps_between_nuclei_are_not():
    known = discs((60, 60, 20, 20, 0))
    p = probabilities(known)
    p[:, 56:64, 55:63] = [[[0.9]], [[0.1]], [[0.0]]]
    found = instances(p, mpp=MPP)
    assert (found == (known > 0)).mean() > 0.995
    assert found[60, 59] == 1
    ring = discs((80, 100, 60, 60, 0)) - discs((80, 100, 25, 25, 0))
    assert instances(probabilities(np.maximum(ring, 0)), mpp=MPP)[80, 100] == 0


def test_small_ones_are_dropped():
    known = discs((40, 40, 4, 4, 0), (40, 120, 12, 12, 0))
    p = probabilities(known)
    assert instances(p, mpp=MPP).max() == 1
    assert instances(p, mpp=MPP, smallest_um2=1).max() == 2


def test_a_small_nucleus_beside_a_large_one_is_kept():
    known = discs((80, 80, 40, 40, 0), (80, 132, 9, 9, 0))
    assert agree(instances(probabilities(known), mpp=MPP), known) > 0.85


def test_numbers_have_no_gaps_and_each_is_one_piece():
    rng = np.random.default_rng(2)
    known = discs(
        *((*rng.uniform(0, 160, 2), *rng.uniform(8, 18, 2), rng.uniform(0, 3)) for _ in range(40))
    )
    found = instances(probabilities(known), mpp=MPP)
    assert found.dtype == np.int32
    assert np.unique(found).tolist() == list(range(found.max() + 1))
    for number in range(1, found.max() + 1):
        assert ndimage.label(found == number)[1] == 1


def test_threshold_is_of_nucleus_and_boundary_together():
    p = np.zeros((3, 60, 60), np.float32)
    p[0] = 1
    p[:, 20:40, 20:40] = np.array([0.45, 0.3, 0.25])[:, None, None]
    assert (instances(p, mpp=MPP) > 0).sum() == 400
    assert (instances(p, mpp=MPP, threshold=0.6) > 0).sum() == 0


def test_sizes_are_in_micrometres():
    known = discs((80, 80, 24, 24, 0), (80, 126, 24, 24, 0))
    fine = instances(probabilities(known), mpp=MPP)
    coarse = instances(probabilities(known)[:, ::2, ::2], mpp=2 * MPP)
    assert agree(coarse, known[::2, ::2]) > 0.85
    assert agree(fine, known) > 0.9


def test_the_same_wherever_it_lies():
    known = discs(*TOUCHING["three"])
    p = probabilities(known)
    whole = instances(p, mpp=MPP)
    moved = instances(np.roll(p, (40, 70), (1, 2)), mpp=MPP)
    np.testing.assert_array_equal(np.roll(whole, (40, 70), (0, 1)) > 0, moved > 0)
    assert agree(moved, np.roll(whole, (40, 70), (0, 1))) == 1
    np.testing.assert_array_equal(whole, instances(p, mpp=MPP))


def test_nothing_is_nothing():
    p = np.zeros((3, 30, 40), np.float32)
    p[0] = 1
    found = instances(p, mpp=MPP)
    assert found.shape == (30, 40)
    assert found.max() == 0
