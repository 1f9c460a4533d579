"""With a slide's statistics, a pixel is painted alike whatever tile it falls into."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity
from virtual_pairs import save_pair

from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel
from napari_pathogan.tasks.virtual_stain.network import MARGIN
from napari_pathogan.tasks.virtual_stain.seams import SlideNorm
from tiny_data import tissue

SIDE, TILE = 256, 64


def mixed():
    """Pale tissue on the left, dense tissue on the right: tiles whose own statistics differ."""
    image = tissue(0, SIDE).astype(float)
    return (image * np.linspace(1, 0.4, SIDE)[None, :, None]).astype(np.uint8)


def tiled(model, image, offset, norm=None, margin=MARGIN):
    """The image painted in tiles that begin at multiples of 64 px less an offset."""
    made = np.zeros_like(image)
    around = np.pad(image, ((MARGIN + TILE,) * 2, (MARGIN + TILE,) * 2, (0, 0)), mode="reflect")
    for y in range(-offset, SIDE, TILE):
        for x in range(-offset, SIDE, TILE):
            first = [n + MARGIN + TILE - margin for n in (y, x)]
            side = TILE + 2 * margin
            seen = around[first[0] : first[0] + side, first[1] : first[1] + side]
            painted = model.paint(seen, "pas", *(() if norm is None else (norm,)))
            tile = painted[margin : margin + TILE, margin : margin + TILE]
            top, left = max(0, -y), max(0, -x)
            bottom, right = min(TILE, SIDE - y), min(TILE, SIDE - x)
            made[y + top : y + bottom, x + left : x + right] = tile[top:bottom, left:right]
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return VirtualStainModel.load(save_pair(tmp_path_factory.mktemp("models") / "pair"), "cpu")


def test_the_same_pixel_is_the_same_whatever_tile_it_falls_into(model):
    image, norm = mixed(), SlideNorm()
    whole = model.paint(image, "pas", norm.measured)
    one, other = (tiled(model, image, offset, norm).astype(int) for offset in (0, 20))
    assert np.abs(one - other).max() <= 2
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]  # beyond, the whole ends and tiles are mirrored
    assert np.abs(one - whole)[inner].max() <= 2
    assert structural_similarity(one.astype(np.uint8)[inner], whole[inner], channel_axis=2) >= 0.98


def test_a_tiles_own_statistics_leave_seams(model):
    image = mixed()
    one, other = (tiled(model, image, offset, margin=0).astype(int) for offset in (0, 20))
    assert np.abs(one - other).max() > 10


def test_statistics_are_those_of_all_tiles_together(model):
    image = mixed()
    halves = np.stack([image[:, : SIDE // 2], image[:, SIDE // 2 :]])
    norm = SlideNorm()
    model.paint(halves, "pas", norm.measured)
    first = np.abs(model.paint(halves, "pas", norm).astype(int) - model.paint(halves, "pas"))
    assert first.max() > 5
    assert len(norm._known) == 5 + 2 * len(model.forth.blocks)
