"""The networks: what a patch of the judge sees, and what the generator does with any size."""

from __future__ import annotations

import pytest
import torch

from napari_pathogan.tasks.blending.network import (
    PATCH_PX,
    STRIDE,
    Discriminator,
    Generator,
    membrane,
)


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    w = torch.zeros(2, 1, 64, 48)
    w[..., 20:40, 16:32] = 1
    return torch.rand(2, 1, 64, 48), torch.rand(2, 1, 64, 48), w


def stirred(network):
    """With weights that are not zero anywhere."""
    torch.manual_seed(1)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.2)
    return network


def test_a_judgement_sees_16_by_16_pixels():
    judge = stirred(Discriminator(4)).double()
    torch.nn.init.uniform_(judge.layers[0].weight, 0.1, 1)
    image = torch.rand(1, 1, 64, 64, dtype=torch.float64, requires_grad=True)
    says = judge(image)
    assert says.shape == (1, 1, 25, 25)
    for row, column in ((0, 0), (12, 7), (24, 24)):
        (slope,) = torch.autograd.grad(says[0, 0, row, column], image, retain_graph=True)
        rows, columns = torch.nonzero(slope[0, 0], as_tuple=True)
        assert int(rows.max() - rows.min()) + 1 == PATCH_PX
        assert int(columns.max() - columns.min()) + 1 == PATCH_PX
        assert (int(rows.min()), int(columns.min())) == (2 * row, 2 * column)


def test_the_judge_is_as_the_paper_has_it():
    convs = [layer for layer in Discriminator().layers if isinstance(layer, torch.nn.Conv2d)]
    assert [(c.kernel_size[0], c.stride[0]) for c in convs] == [(4, 2), (3, 1), (3, 1), (3, 1)]
    assert all(c.padding == (0, 0) for c in convs)


def test_the_generator_begins_with_the_pasted_image(inputs):
    x, pasted, w = inputs
    torch.testing.assert_close(Generator(4)(x, pasted, w), pasted)


def test_levels_are_met_around_the_border(inputs):
    """A lesion from another level, and a slope across it, come out as the tissue around."""
    x, _, w = inputs
    slope = torch.linspace(0, 0.2, 48).expand_as(x)
    x = 0.4 + slope
    e = torch.full_like(x, 0.7)
    e[..., 27:33, 21:27] += 0.1
    pasted = torch.where(w > 0, e, x)
    made = Generator(4, membrane=True)(x, pasted, w)
    torch.testing.assert_close(made[w == 0], x[w == 0])
    rim = (w > 0) & (torch.nn.functional.avg_pool2d(w, 3, 1, 1) < 1)
    assert (made - x)[rim].abs().max() < 0.03
    lifted = (made - x)[..., 27:33, 21:27]
    assert 0.08 < lifted.mean().item() < 0.12
    same = membrane(x, torch.where(w > 0, x - 0.3, x), w)
    torch.testing.assert_close(same[w > 0], torch.full_like(same[w > 0], 0.3))


def test_each_input_counts(inputs):
    network = stirred(Generator(4))
    made = network(*inputs)
    for i in range(3):
        changed = [part.clone() for part in inputs]
        changed[i] += 0.1
        assert not torch.allclose(network(*changed) - 0.1 * (i == 1), made, atol=1e-4)


def test_skips_carry_what_the_bottom_can_not():
    """With nothing coming up from below, fine detail still reaches the output, and its place."""
    network = stirred(Generator(2))
    for part in [network.adds[0], *network.narrow]:
        for weights in part.parameters():
            torch.nn.init.zeros_(weights)
    x = torch.rand(1, 1, 128, 128)
    other = x.clone()
    other[0, 0, 62, 62] += 0.5
    w = torch.ones_like(x)
    change = (network(x, x, w) - network(other, x, w)).abs()[0, 0]
    assert change[62, 62] > 0
    assert change[:8].max() == 0


def test_what_is_made_does_not_depend_on_the_crop():
    """Far from the border, a larger crop gives the same."""
    network = stirred(Generator(2)).double()
    parts = [torch.rand(1, 1, 512, 512).double() for _ in range(3)]
    whole = network(*parts)
    part = network(*(p[..., 64:448, 64:448] for p in parts))
    middle = slice(160, 224)
    torch.testing.assert_close(
        whole[..., 224:288, 224:288], part[..., middle, middle], atol=1e-9, rtol=0
    )


def test_sides_are_multiples_of_the_stride(inputs):
    network = Generator(2)
    assert network(*(p[..., :STRIDE, : 2 * STRIDE] for p in inputs)).shape == (2, 1, 16, 32)
    with pytest.raises(RuntimeError):
        network(*(p[..., :24, :24] for p in inputs))
