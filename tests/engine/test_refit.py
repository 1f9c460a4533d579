"""A head refitted to a few images: as a whole fit would have it, and back where nothing was said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.special import expit

from napari_pathogan.engine.linear import fit_logistic
from napari_pathogan.engine.refit import Past, Prior, balanced, refit

C = 0.1


@pytest.fixture(scope="module")
def trained():
    """Images of a first training, its head, and a slide on which another figure tells the classes."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 150)
    figures = rng.normal(size=(300, 12)) * np.linspace(0.5, 2, 12) + 3
    figures[:, 0] += 1.5 * labels
    mean, spread = figures.mean(0), figures.std(0)
    scaled, offset = fit_logistic((figures - mean) / spread, labels, C)
    weights = scaled[:, 1] / spread
    bias = float(offset[1] - weights @ mean)
    p = expit(figures @ weights + bias)
    prior = Prior.of(figures, p * (1 - p), np.full(12, 1 / C), rank=12)
    here = rng.normal(size=(200, 12)) * np.linspace(0.5, 2, 12) + 3
    truth = (here[:, 5] > 3).astype(int)
    return figures, labels, weights, bias, prior, here, truth


def say(trained, figures):
    _, _, weights, bias, *_ = trained
    return figures @ weights + bias


def test_it_is_what_a_fit_to_all_images_would_be(trained):
    """Laplace's approximation against the real thing: nearly the same logits."""
    figures, labels, _, _, prior, here, truth = trained
    few, weight = slice(0, 20), 5.0
    each = balanced(truth[few], weight)
    change = refit(prior, here[few], say(trained, here[few]), truth[few], each, spread=100.0)
    mean, spread = figures.mean(0), figures.std(0)
    rows = (np.concatenate([figures, here[few]]) - mean) / spread
    both = np.concatenate([labels, truth[few]])
    ours = np.concatenate([np.ones(len(labels)), each])
    scaled, offset = fit_logistic(rows, both, C, ours)
    whole = (here - mean) / spread @ scaled[:, 1] + offset[1]
    mine = say(trained, here) + change.of(here)
    assert np.corrcoef(whole, mine)[0, 1] > 0.95


@pytest.mark.parametrize("images", [5, 12, 40])
def test_what_holds_a_head_is_the_curvature_however_few_images_there_are(images):
    rng = np.random.default_rng(0)
    figures, certainty = rng.normal(size=(images, 12)), rng.random(images)
    prior = Prior.of(figures, certainty, np.full(12, 1 / C))
    rows = (figures - prior.mean) / prior.scale * np.sqrt(certainty)[:, None]
    free = sqrtm(np.linalg.inv(np.eye(12) + rows.T @ rows))
    here = rng.normal(size=(7, 12))
    np.testing.assert_allclose(prior.seen(here), (here - prior.mean) / prior.scale @ free)


def test_it_learns_what_is_different_here_and_keeps_the_rest(trained):
    figures, labels, _, _, prior, here, truth = trained
    few = slice(0, 40)
    told = say(trained, here[few])
    change = refit(prior, here[few], told, truth[few], balanced(truth[few], 30.0), spread=1.0)
    before, after = say(trained, here[40:]), say(trained, here[40:]) + change.of(here[40:])
    right = [np.mean((x > 0) == truth[40:]) for x in (before, after)]
    assert right[1] > right[0] + 0.15
    old = say(trained, figures) + change.of(figures)
    assert np.mean((old > 0) == labels) > 0.65  # it had 0.78


def test_what_it_says_already_changes_nothing(trained):
    *_, prior, here, _ = trained
    told = say(trained, here)
    change = refit(prior, here, told, expit(told), np.full(len(here), 30.0), spread=1.0)
    assert np.abs(change.of(here)).max() < 1e-6


def test_it_is_the_same_every_time_and_in_any_order(trained):
    *_, prior, here, truth = trained
    told, each = say(trained, here), balanced(truth, 30.0)
    turned = np.arange(len(here))[::-1]
    one = refit(prior, here, told, truth, each, spread=1.0)
    two = refit(prior, here[turned], told[turned], truth[turned], each[turned], spread=1.0)
    np.testing.assert_allclose(one.of(here), two.of(here), atol=1e-4)


def test_both_classes_count_the_same_and_are_needed():
    weights = balanced(np.array([0, 0, 0, 1]), 30.0)
    assert weights[:3].sum() == weights[3] == 60
    with pytest.raises(ValueError, match="both classes"):
        balanced(np.array([1, 1]), 30.0)


def test_the_past_is_read_as_it_was_kept(trained):
    figures, labels, *_, prior, here, _ = trained
    past = Past(prior, len(labels), figures[:9].astype(np.float16), labels[:9].astype(np.int8))
    back = Past.from_arrays(past.to_arrays())
    assert back.n_images == 300
    np.testing.assert_allclose(back.prior.seen(here), prior.seen(here), rtol=0.02, atol=0.02)
