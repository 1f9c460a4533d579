"""What is synthetic says so on the canvas, and in pictures of it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathogan.plugin.viewer.mammogram_layers import mark_what_is_seen

pytestmark = pytest.mark.gui


def test_what_is_seen_of_it_is_named(make_napari_viewer):
    viewer, text = (made := make_napari_viewer()), made.canvas.overlays.text
    colours = np.full((40, 60, 3), 200, np.uint8)
    mark_what_is_seen(viewer)
    viewer.add_image(colours, name="case.svs", rgb=True)
    assert not text.visible
    view = viewer.add_image(
        colours,
        name="virtual PAS [synthetic] (case.svs)",
        rgb=True,
        metadata={"synthetic": True},
    )
    assert (text.visible, text.text) == (True, "synthetic: virtual PAS")
    viewer.add_image(
        colours,
        name="stain-crc, reinhard: case.svs [synthetic]",
        rgb=True,
        metadata={"synthetic": True},
    )
    assert text.text == "synthetic: virtual PAS, stain-crc, reinhard"
    view.visible = False
    assert text.text == "synthetic: stain-crc, reinhard"
    viewer.layers.pop()
    assert not text.visible


def test_grey_pictures_are_named_too_and_maps_of_them_are_not(make_napari_viewer):
    viewer, text = (made := make_napari_viewer()), made.canvas.overlays.text
    mark_what_is_seen(viewer)
    grey = np.zeros((40, 60), np.float32)
    viewer.add_image(grey, name="Blended [synthetic]", metadata={"synthetic": True})
    for mark in ("loss_map", "doubt_map", "g2c", "classes"):
        viewer.add_image(grey, name=mark, metadata={"synthetic": True, mark: grey})
    assert (text.visible, text.text) == (True, "synthetic: Blended")
