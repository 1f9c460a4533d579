"""Figures of virtual stains, each beside its floor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg
from virtual_pairs import save_pair

from napari_pathogan.tasks.virtual_stain import evaluate
from napari_pathogan.tasks.virtual_stain.data import Pair, Pool
from napari_pathogan.tasks.virtual_stain.evaluate import frechet, measure
from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel
from tiny_data import tissue


def pools(*, tint=0):
    """Two pools of four slides; the second ``tint`` levels redder."""
    images = [tissue(seed, 128) for seed in range(8)]
    other = [np.clip(x + np.array([tint, 0, -tint]), 0, 255).astype(np.uint8) for x in images[4:]]
    names = tuple("abcd")
    return Pool("one", tuple(images[:4]), names), Pool("other", tuple(other), names)


def test_frechet_is_scipys_with_the_root_of_a_matrix():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(200, 6)), rng.normal(0.5, 2, (150, 6))
    s, t = np.cov(one.T), np.cov(other.T)
    apart = one.mean(0) - other.mean(0)
    expected = apart @ apart + np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)
    assert frechet(one, other) == pytest.approx(expected, rel=1e-6)
    assert frechet(one, one) == pytest.approx(0, abs=1e-6)


@pytest.mark.learning
def test_what_looks_alike_is_at_the_floor_and_what_does_not_is_above():
    same = dict(evaluate._compared(*pools()))
    apart = dict(evaluate._compared(*pools(tint=40)))
    for name in ("histogram", "frechet"):
        assert same[name] < 2 * same[f"{name}_floor"]
        assert apart[name] > 3 * apart[f"{name}_floor"]
    assert apart["auc"] > 0.9


def test_a_report_says_both_ways_and_whose_slides_are_known(tmp_path):
    model = VirtualStainModel.load(save_pair(tmp_path / "pair"), "cpu")
    report = measure(model, Pair(*pools()))
    names = ("cycle_l1", "ssim", "histogram", "histogram_floor", "frechet", "frechet_floor",
             "auc")  # fmt: skip
    ways = ("pas_to_masson", "masson_to_pas")
    assert list(report.metrics) == [f"{way}_{name}" for way in ways for name in names]
    assert report.counts == {"n_source": 4, "n_target": 4}
    assert all(value.value is not None for value in report.metrics.values())


def test_nothing_is_made_up_where_a_pool_is_of_one_slide(tmp_path):
    one, other = pools()
    alone = Pool("one", one.images[:1], ("a",))
    model = VirtualStainModel.load(save_pair(tmp_path / "pair"), "cpu")
    report = measure(model, Pair(alone, Pool("other", other.images[:1], ("b",))))
    assert report.metrics["pas_to_masson_auc"].value is None
    assert report.metrics["pas_to_masson_histogram"].value is None
    assert report.metrics["pas_to_masson_cycle_l1"].value is not None
