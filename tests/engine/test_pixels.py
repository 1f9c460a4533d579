"""Bytes become what networks see, and an image can be laid down in eight ways and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_pathogan.engine.pixels import as_input, view, view_back

BYTES = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)


def test_bytes_run_from_minus_one_to_one():
    x = as_input(BYTES.expand(2, 4, 5, 3), None)
    assert x.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(x[0, :, 0, 0], [-1, -0.6, 1], atol=1e-6)


def test_colours_are_changed_between_0_and_1_and_stay_there():
    swap = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    x = as_input(BYTES, (swap, np.array([0.5, 0.1, 0.0])))
    np.testing.assert_allclose(x[0, :, 0, 0], [1, -0.4, -1], atol=1e-6)


def test_the_eight_views_differ_and_the_first_is_the_image():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    views = [view(x, number) for number in range(8)]
    assert torch.equal(views[0], x)
    assert len({tuple(v.flatten().tolist()) for v in views}) == 8


@pytest.mark.parametrize("number", range(8))
def test_views_are_undone(number):
    x = torch.arange(2 * 3 * 4 * 6).view(2, 3, 4, 6)
    assert torch.equal(view_back(view(x, number), number), x)
