"""What is synthetic says so on the canvas, and in pictures of it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathogan.plugin.viewer.mammogram_layers import mark_what_is_seen

pytestmark = pytest.mark.gui
RECOLOURED = "case in the colours of stain-crc (Reinhard)"


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
    assert (text.visible, text.text) == (True, "synthetic: virtual PAS (case.svs)")
    viewer.add_image(
        colours,
        name="case in the colours of stain-crc (Reinhard) [synthetic]",
        rgb=True,
        metadata={"synthetic": True},
    )
    assert " ".join(text.text.split()) == f"synthetic: virtual PAS (case.svs), {RECOLOURED}"
    view.visible = False
    assert text.text == f"synthetic: {RECOLOURED}"
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


def test_only_what_lies_on_the_canvas_is_called_synthetic(make_napari_viewer):
    """A slide that nobody has changed is not labelled by the view of its neighbour."""
    viewer = make_napari_viewer()
    text, camera = viewer.canvas.overlays.text, viewer.scene.camera
    colours = np.full((40, 60, 3), 200, np.uint8)
    mark_what_is_seen(viewer)
    viewer.add_image(colours, name="plain.svs", rgb=True, translate=(0, 5000))
    viewer.add_image(colours, name="case.svs", rgb=True)
    view = viewer.add_image(
        colours, name=f"{RECOLOURED} [synthetic]", rgb=True, metadata={"synthetic": True}
    )
    camera.center, camera.zoom = (0, 20, 30), 5.0
    assert text.text == f"synthetic: {RECOLOURED}"
    camera.center = (0, 20, 5030)  # the other slide alone
    assert not text.visible
    camera.zoom = 0.05  # both
    assert text.visible
    view.opacity = 0  # faded out
    assert not text.visible
    view.opacity = 0.5
    assert text.visible


def test_long_names_go_on_in_the_next_line(make_napari_viewer):
    viewer = make_napari_viewer()
    name = f"{'a long name of a slide ' * 12}in the colours of another [synthetic]"
    viewer.add_image(np.zeros((64, 64, 3), np.uint8), name=name, metadata={"synthetic": True})
    mark_what_is_seen(viewer)
    said = viewer.canvas.overlays.text.text
    assert len(said.splitlines()) > 1
    assert max(map(len, said.splitlines())) <= max(30, viewer.canvas.size[-1] / 8)
    assert " ".join(said.split()).endswith("in the colours of another")
