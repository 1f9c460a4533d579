"""Overlays land on the slide to half a level-0 pixel, whatever its size and downsample."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_pathogan.engine.cells import CellGrid
from napari_pathogan.plugin.viewer.layers import (
    give_mpp,
    place,
    place_level0,
    slide_layer,
    slide_of,
)
from napari_pathogan.slides.geometry import Overlay, Region
from napari_pathogan.slides.slide import Slide

SHAPE = (1003, 1507)
MARKER = 37  # px
CORNERS = [
    (0, 0),
    (0, SHAPE[1] - MARKER),
    (SHAPE[0] - MARKER, 0),
    (SHAPE[0] - MARKER, SHAPE[1] - MARKER),
]


def marked(mpp=0.2527):
    """A white slide of odd size with a black square in each corner; a level of a quarter, rounded up."""
    pixels = np.full((*SHAPE, 3), 255, np.uint8)
    for y, x in CORNERS:
        pixels[y : y + MARKER, x : x + MARKER] = 0
    padded = np.pad(pixels, ((0, -SHAPE[0] % 4), (0, -SHAPE[1] % 4), (0, 0)), constant_values=255)
    blocks = padded.reshape(padded.shape[0] // 4, 4, padded.shape[1] // 4, 4, 3)
    coarse = blocks.mean((1, 3)).astype(np.uint8)
    steps = [(1.0, 1.0), (4.0, 4.0)]
    return Slide.from_arrays([pixels, coarse], name="odd", mpp=mpp, downsamples=steps)


def layer_of(slide, **more):
    data, kwargs, _ = slide_layer(slide)
    return Image(data, **kwargs, **more)


@pytest.mark.parametrize("downsample", [3.7, 7.3, 13.01])
@pytest.mark.parametrize("translate", [(0, 0), (120.5, -33)])
def test_markers_in_the_corners(downsample, translate):
    slide = marked()
    layer = layer_of(slide, translate=translate)
    count = [int(np.ceil(n / downsample)) for n in SHAPE]
    covered = Region(0, 0, round(count[0] * downsample), round(count[1] * downsample))
    dark = 255 - slide.read(covered, size=tuple(count))[..., 0].astype(float)
    step = (covered.height / count[0], covered.width / count[1])
    overlay = Overlay(dark, (0.0, 0.0), step)
    shown = Image(overlay.data, **place(overlay, layer))
    for y, x in CORNERS:
        near = np.zeros(count, bool)
        top, left = int(y / step[0]), int(x / step[1])
        reach = int(MARKER / min(step)) + 2
        near[max(top - 1, 0) : top + reach, max(left - 1, 0) : left + reach] = True
        rows, cols = np.nonzero(near & (dark > 0))
        centroid = np.average(np.stack([rows, cols], 1), axis=0, weights=dark[rows, cols])
        world = np.asarray(shown.data_to_world(centroid))
        expected = np.asarray(layer.data_to_world((y + (MARKER - 1) / 2, x + (MARKER - 1) / 2)))
        assert np.abs(world - expected).max() / 0.2527 < 0.5


def test_cells_of_the_heat_map_cover_their_pixels():
    slide = marked()
    layer = layer_of(slide)
    grid = CellGrid.over(slide.shape, slide.mpp, patch_px=50, mpp=4.0)
    overlay = grid.overlay()
    shown = Image(overlay.data, **place(overlay, layer))
    for y, x in [(0, 0), (1002, 1506), (500, 791), (791, 792)]:
        cell = np.rint(shown.world_to_data(layer.data_to_world((y, x)))).astype(int)
        assert tuple(cell) == overlay.cell(y, x)


def test_napari_lays_every_level_within_one_of_its_pixels():
    slide = marked()
    layer = layer_of(slide)
    for factor, exact, level in zip(
        layer.downsample_factors, slide.downsamples, slide.levels, strict=True
    ):
        assert np.all(np.abs(factor - exact) * level.shape[:2] <= np.asarray(exact))


def test_a_scale_given_later_keeps_overlays_in_place():
    slide = marked(mpp=None)
    viewer = ViewerModel()
    layer = viewer.add_layer(layer_of(slide))
    regions = viewer.add_shapes(
        [np.array([[10, 10], [10, 40], [40, 40]])], shape_type="polygon", **place_level0(layer)
    )
    give_mpp(viewer, layer, 0.5)
    corner = layer.world_to_data(regions.data_to_world((10, 40)))
    assert tuple(corner) == (10.0, 40.0), "what was drawn before stays where it was drawn"
    assert slide_of(layer).mpp == (0.5, 0.5)
    assert slide_of(layer).mpp_source == "user"
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert tuple(layer.scale) == (0.5, 0.5)
    overlay = Overlay(np.zeros((3, 3)), (0, 0), (100, 100))
    assert tuple(place(overlay, layer)["translate"]) == (24.75, 24.75)
    assert tuple(place_level0(layer)["scale"]) == (0.5, 0.5)
