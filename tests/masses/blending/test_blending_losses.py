"""The prior losses as they are meant, and Poisson editing, which minimises one of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from breast_phantoms import disc, texture

from napari_pathogan.tasks.blending.losses import (
    adversarial_loss,
    background_loss,
    background_map,
    gradient,
    guidance,
    seamless_loss,
    seamless_map,
)
from napari_pathogan.tasks.blending.poisson import poisson

SIZE = (24, 20)


@pytest.fixture
def parts():
    """X, E and the region as float64 (1, 1, H, W)."""
    x = 0.4 + 0.05 * texture(SIZE, 1)
    e = 0.7 + 0.05 * texture(SIZE, 2) + 0.2 * disc(SIZE, (12, 10), 4)
    w = disc(SIZE, (12, 10), 6)
    return tuple(torch.from_numpy(a.astype(float))[None, None] for a in (x, e, w))


def as_arrays(*parts):
    return tuple(p[0, 0].numpy() for p in parts)


def by_hand(g, x, e, w):
    """LS, edge by edge."""
    height, width = g.shape
    total = 0.0
    for i in range(height):
        for j in range(width):
            here = {}
            for name, image in (("g", g), ("x", x), ("e", e)):
                down = image[i + 1, j] - image[i, j] if i + 1 < height else 0.0
                right = image[i, j + 1] - image[i, j] if j + 1 < width else 0.0
                here[name] = np.array([down, right])
            v = here["x"] if np.hypot(*here["x"]) > np.hypot(*here["e"]) else here["e"]
            for k, (a, b) in enumerate(((i + 1, j), (i, j + 1))):
                if a < height and b < width and (w[i, j] or w[a, b]):
                    total += (here["g"][k] - v[k]) ** 2
    return total / w.sum()


def test_seamless_loss_edge_by_edge(parts):
    x, e, w = parts
    g = x + 0.1 * torch.from_numpy(texture(SIZE, 3).astype(float))
    value = float(seamless_loss(g, guidance(x, e), w))
    assert value == pytest.approx(by_hand(*as_arrays(g, x, e), as_arrays(w)[0] > 0), rel=1e-9)


def test_the_whole_vector_is_taken_not_its_parts():
    x, e = (torch.zeros(1, 1, 2, 2).double() for _ in range(2))
    x[0, 0, 0, 1] = 3.0  # gradient of X at the corner: down 0, right 3
    e[0, 0, 1, 0], e[0, 0, 0, 1] = 2.0, 1.0  # of E: down 2, right 1; shorter
    assert guidance(x, e)[0, :, 0, 0].tolist() == [0.0, 3.0]
    assert guidance(e, 2 * x)[0, :, 0, 0].tolist() == [0.0, 6.0]
    assert guidance(0.5 * x, e)[0, :, 0, 0].tolist() == [2.0, 1.0]


def test_an_offset_of_the_region_costs_what_its_border_costs(parts):
    x, _, w = parts
    v = guidance(x, torch.zeros_like(x))
    assert float(seamless_loss(x, v, w)) == pytest.approx(0, abs=1e-12)
    offset = 0.1
    crossing = gradient(w).abs().sum()
    wanted = offset**2 * float(crossing) / float(w.sum())
    assert float(seamless_loss(x + offset * w, v, w)) == pytest.approx(wanted, rel=1e-6)


def test_the_seam_is_not_what_is_asked_for(parts):
    """E is taken before pasting: its gradient across the border is its own, not the seam's."""
    x, e, w = parts
    pasted = torch.where(w > 0, e, x)
    from_patch = seamless_loss(pasted, guidance(x, e), w)
    from_pasted = seamless_loss(pasted, guidance(x, pasted), w)
    assert float(from_patch) > 10 * float(from_pasted)


def test_background_counts_outside_alone(parts):
    x, _, w = parts
    assert float(background_loss(x, x, w)) == pytest.approx(0, abs=1e-10)
    deep = torch.from_numpy(disc(SIZE, (12, 10), 4).astype(float))[None, None]
    assert float(background_loss(x + deep, x, w)) == pytest.approx(0, abs=1e-10)
    outside = 1 - w
    brighter = float(background_loss(x + 0.2 * outside, x, w))
    assert brighter == pytest.approx(0.2, rel=1e-6)  # edges into the region are not its business
    rough = x + 0.2 * outside * torch.from_numpy(texture(SIZE, 5, 0.5).astype(float))
    smooth = float((outside * (rough - x).abs()).sum() / outside.sum())
    assert float(background_loss(rough, x, w)) > smooth


@pytest.mark.parametrize("loss", ["seamless", "background"])
def test_slopes_are_right(parts, loss):
    x, e, w = (p[..., 6:16, 4:14] for p in parts)
    v = guidance(x, e)
    start = x + 0.1 * torch.from_numpy(texture(SIZE, 9).astype(float))[None, None, 6:16, 4:14]
    functions = {
        "seamless": lambda g: seamless_loss(g, v, w),
        "background": lambda g: background_loss(g, x, w),
    }
    assert torch.autograd.gradcheck(functions[loss], start.clone().requires_grad_())


def test_a_flat_image_has_a_slope_of_zero():
    flat = torch.full((1, 1, 8, 8), 0.5, requires_grad=True)
    w = torch.zeros(1, 1, 8, 8)
    w[..., 2:5, 2:5] = 1
    background_loss(flat, flat.detach(), w).backward()
    assert torch.isfinite(flat.grad).all()


def test_maps_add_up_to_the_losses(parts):
    x, e, w = parts
    g, v = 0.5 * x + 0.5 * e, guidance(x, e)
    assert float(seamless_map(g, v, w).sum() / w.sum()) == float(seamless_loss(g, v, w))
    outside = (1 - w).sum()
    assert float(background_map(g, x, w).sum() / outside) == float(background_loss(g, x, w))


def test_the_judge_is_told_right_from_wrong():
    logits = torch.tensor([-3.0, 0.0, 3.0])
    expected = torch.log1p(torch.exp(-logits)).mean()
    torch.testing.assert_close(adversarial_loss(logits, real=True), expected)
    torch.testing.assert_close(adversarial_loss(-logits, real=False), expected)


def test_poisson_has_the_least_seamless_loss(parts):
    x, e, w = parts
    v = guidance(x, e)
    made = poisson(*as_arrays(x, e), as_arrays(w)[0] > 0)
    g = torch.from_numpy(made.astype(float))[None, None].requires_grad_()
    best = seamless_loss(g, v, w)
    best.backward()
    best = float(best)
    inside = g.grad[w > 0].abs().max()
    assert float(inside) < 1e-6  # float32 pixels
    np.testing.assert_array_equal(
        made[~(as_arrays(w)[0] > 0)], as_arrays(x.float())[0][~(as_arrays(w)[0] > 0)]
    )
    for seed in range(5):
        other = g.detach() + 0.01 * w * torch.from_numpy(texture(SIZE, seed).astype(float))
        assert float(seamless_loss(other, v, w)) > best


def test_poisson_takes_an_offset_away(parts):
    x, _, w = parts
    inside = as_arrays(w)[0] > 0
    made = poisson(as_arrays(x)[0], as_arrays(x)[0] + 0.3, inside)
    np.testing.assert_allclose(made, as_arrays(x)[0], atol=1e-5)


def test_poisson_at_the_images_border_and_over_all_of_it(parts):
    x, e, _ = as_arrays(*parts)
    corner = np.zeros(SIZE, bool)
    corner[:5, :7] = True
    made = poisson(x, e, corner)
    assert np.isfinite(made).all()
    assert not np.allclose(made[corner], x[corner], atol=1e-3)
    everywhere = poisson(x, e, np.ones(SIZE, bool))
    assert everywhere.mean() == pytest.approx(x.mean(), abs=1e-5)
    nowhere = poisson(x, e, np.zeros(SIZE, bool))
    np.testing.assert_array_equal(nowhere, x.astype(np.float32))
