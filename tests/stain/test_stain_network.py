from __future__ import annotations

import pytest
import torch

from napari_pathogan.tasks.stain.network import Colouriser


def test_the_papers_shapes():
    network = Colouriser(1.0, classes=4).eval()
    with torch.no_grad():
        local, vector = network.encode(torch.rand(1, 1, 224, 224))
        colour, logits = network(torch.rand(1, 1, 224, 224))
    assert local.shape == (1, 256, 28, 28)
    assert vector.shape == (1, 256)
    assert colour.shape == (1, 2, 224, 224)
    assert logits.shape == (1, 4)
    convolutions = [m for m in network.encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 8
    assert {m.kernel_size for m in convolutions} == {(3, 3)}
    assert len([m for m in network.branch.modules() if isinstance(m, torch.nn.Conv2d)]) == 4
    assert not [m for m in network.modules() if "Pool" in type(m).__name__]


def test_no_class_head_without_classes():
    assert Colouriser(0.05)(torch.rand(1, 1, 64, 64))[1] is None


@pytest.mark.parametrize("at", [(96, 96), (103, 103), (99, 100)])
def test_given_the_style_a_pixel_sees_no_further_than_the_margin(at):
    torch.manual_seed(0)
    network = Colouriser(0.05).eval()
    picture, style = torch.rand(1, 1, 200, 200), torch.rand(network.vector.out_features)
    changed = picture.clone()
    changed[0, 0, at[0], at[1]] += 3
    with torch.no_grad():
        apart = (network(changed, style)[0] - network(picture, style)[0]).abs().sum((0, 1))
    rows, cols = torch.nonzero(apart, as_tuple=True)
    for place, seen in zip(at, (rows, cols), strict=True):
        assert place - seen.min() <= Colouriser.margin
        assert seen.max() - place <= Colouriser.margin
    assert len(rows) > 100


def test_the_global_vector_of_another_image_changes_the_colours():
    torch.manual_seed(0)
    network = Colouriser(0.25).eval()
    with torch.no_grad():
        picture = torch.rand(1, 1, 64, 64)
        own = network(picture)[0]
        vector = network.encode(picture)[1]
        assert torch.allclose(network(picture, vector[0])[0], own, atol=1e-6)
        assert not torch.allclose(network(picture, vector[0] + 1)[0], own, atol=1e-4)
