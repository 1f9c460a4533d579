"""How a heat map lies over its slide: strongly or faintly, or the outline alone; places, counted."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathogan.plugin.viewer.layers import is_looked_at

pytestmark = pytest.mark.gui


@pytest.fixture
def idc(used):
    """The sample with its map."""
    dock = used.dock("IDC heat map")
    used.sample("H&E phantom slide")
    used.wait(dock.form.run.isEnabled, "the model")
    used.press(dock.form.run)
    used.wait(lambda: dock.run is None and dock.heat is not None, "the map")
    used.rest()
    return dock


def colours(used):
    return used.viewer.screenshot(flash=False)[..., :3].astype(int)


def test_the_tissue_is_seen_below_and_the_outline_stays(used, idc):
    map_ = idc.shown.images["probability"]
    used.picture("overlay")
    assert map_.opacity <= 0.5, "a map does not hide the tumour"
    with_map = colours(used)
    idc.overlay.fade.setValue(20)
    used.rest(0.1)
    assert map_.opacity == 0.2
    assert np.abs(colours(used) - with_map).max() > 20
    used.press(idc.overlay.outline)
    assert not map_.visible
    assert idc.shown.outline.visible
    used.picture("overlay-outline")
    used.press(idc.overlay.outline)
    assert map_.visible
    assert used.cut_texts(idc) == []


def test_the_legend_says_what_colours_mean_and_where_the_threshold_is(used, idc):
    legend = idc.legend
    assert legend.words == ("0 (healthy)", "1 (IDC)")
    idc.threshold.setValue(80)
    assert legend.mark == pytest.approx(0.8)
    picture = legend.grab().toImage()
    left, right = (picture.pixelColor(x, 4).getRgb()[:3] for x in (2, picture.width() - 3))
    assert np.abs(np.subtract(left, right)).max() > 80
    ends = idc.shown.images["probability"].colormap.map(np.array([0.0, 1.0]))[:, :3] * 255
    np.testing.assert_allclose([left, right], ends, atol=12)


def test_uncertain_places_are_counted_framed_and_gone_back_to(used, idc):
    used.press(idc.places.next)
    first, said = used.viewer.scene.camera.center, idc.form.status.text()
    assert said.startswith("Uncertain region 1 of ")
    frame = idc.shown.place
    assert is_looked_at(used.viewer, frame)
    used.picture("overlay-place")
    used.key("U", used.canvas())
    assert idc.form.status.text().startswith("Uncertain region 2 of ")
    assert used.viewer.scene.camera.center != first
    used.key("Shift+U", used.canvas())
    assert idc.form.status.text() == said
    assert used.viewer.scene.camera.center == first
    used.press(idc.places.back)
    count = int(said.split(" of ")[1].split(":")[0])
    assert idc.form.status.text().startswith(f"Uncertain region {count} of {count}")
    assert [x for x in used.viewer.layers if x.name.startswith("IDC place")] == [frame]
