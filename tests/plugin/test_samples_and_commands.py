"""What the menus offer, and the whole way with the embedded model."""

from __future__ import annotations

import npe2
import numpy as np
import pytest

from napari_pathogan.plugin.demo import show
from napari_pathogan.plugin.idc.dock import IdcDock
from napari_pathogan.plugin.viewer import commands
from napari_pathogan.plugin.viewer.layers import slide_layer, slide_of
from napari_pathogan.plugin.viewer.samples import ihc


def test_the_ihc_sample_is_a_real_image_without_scale():
    ((levels, kwargs, kind),) = ihc()
    assert kind == "image"
    assert levels[0].shape == (512, 512, 3)
    assert kwargs["metadata"]["mpp"] is None


def test_samples_are_offered_by_npe2():
    contributions = dict(npe2.PluginManager.instance().iter_sample_data())["napari-pathogan"]
    phantom = next(sample for sample in contributions if sample.key == "he_phantom")
    ((levels, kwargs, _),) = phantom.open()
    assert levels[0].shape[2] == 3
    assert kwargs["scale"] == pytest.approx((2.0, 2.0))


@pytest.mark.gui
def test_commands_of_the_menus(viewer, slide):
    assert commands.new_regions(viewer) is None  # and it says that a slide is needed
    data, kwargs, _ = slide_layer(slide)
    layer = viewer.add_image(data, **kwargs)
    regions = commands.new_regions(viewer)
    assert regions.mode == "add_polygon"
    assert tuple(regions.scale) == tuple(layer.scale)
    shown = viewer.canvas.overlays.scale_bar.visible
    commands.toggle_scale_bar(viewer)
    assert viewer.canvas.overlays.scale_bar.visible is not shown
    viewer.scene.camera.center = (9e5, 9e5)
    commands.fit_slide(viewer)
    middle = layer.data_to_world((750, 1001))
    assert viewer.scene.camera.center[-2:] == pytest.approx(middle, abs=2)


@pytest.mark.gui
def test_a_slide_that_cannot_be_opened_is_one_notification(viewer, tmp_path, told):
    path = tmp_path / "text.svs"
    path.write_text("this is no slide")
    commands.show_slide(viewer, path)
    assert "text.svs" in told[0]
    assert len(viewer.layers) == 0


@pytest.mark.gui
def test_the_demo_from_the_sample_to_the_areas(viewer):
    dock, text = show(viewer)
    assert "IDC" in text
    assert "mm²" in text
    assert isinstance(dock, IdcDock)
    assert slide_of(dock.layer).name == "he_phantom.ome.tif"
    assert np.nanmax(dock.heat.probability.data) > 0.5
    assert np.isnan(dock.heat.probability.data[0, 0])
    assert dock.form.run.text() == "Run"
