"""The Virtual stains dock from end to end, with small pairs of stains that have learnt nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel
from scipy import ndimage

from napari_pathogan.colour.stain_distance import StainPool
from napari_pathogan.plugin.viewer.layers import RUN_AGAIN, give_mpp, slide_layer, slide_of
from napari_pathogan.plugin.virtual_stain.dock import VirtualStainDock
from napari_pathogan.slides.slide import Slide

sys.path.append(str(Path(__file__).parents[1] / "virtual_stain"))
from virtual_pairs import save_pair

pytestmark = pytest.mark.gui

PINK, BLUE = (205, 130, 180), (120, 140, 205)
FOUND = {"cycle": {"pen": 0.93, "blur": 0.52}, "judge": {"pen": 0.5, "blur": 0.44}}


def tissue(colour, seed=0, shape=(160, 160)):
    """A textured field of one colour."""
    rng = np.random.default_rng(seed)
    grain = ndimage.gaussian_filter(rng.standard_normal(shape), 2)
    tone = 1 + 0.15 * grain / grain.std() + rng.normal(0, 0.04)
    return np.clip(tone[..., None] * colour + rng.normal(0, 4, 3), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """PAS to Masson, PASM to PAS and to H&E; one map of the first finds pen ink."""
    room = tmp_path_factory.mktemp("models")
    pools = {
        "pas": StainPool.of([tissue(PINK, s) for s in range(12)]).written(),
        "masson": StainPool.of([tissue(BLUE, s) for s in range(12)]).written(),
    }
    save_pair(
        room / "pas-masson",
        pools=pools,
        trust={"pas": FOUND},
        doubt={"pas": {"cycle": (1.0, 2.0), "judge": (0.5, 0.9)}},
    )
    save_pair(room / "pasm-pas", source="pasm", target="pas", seed=1)
    save_pair(room / "pasm-he", source="pasm", target="he", seed=2)
    return room


@pytest.fixture
def dock(viewer, models, monkeypatch, qtbot):
    monkeypatch.setattr("napari_pathogan.engine.models.zoo", lambda: models)
    made = VirtualStainDock(viewer)
    viewer.window.add_dock_widget(made)
    qtbot.waitUntil(lambda: made.card is not None, timeout=60_000)
    return made


def opened(dock, pixels, name="case-17.png", mpp=1.0):
    slide = Slide.from_arrays([pixels], name=name, mpp=mpp)
    data, kwargs, _ = slide_layer(slide)
    return dock.viewer.add_image(data, **kwargs)


def measured(dock, qtbot):
    qtbot.waitUntil(lambda: dock._measuring is None and dock.form.run.isEnabled(), timeout=60_000)


def run(dock, qtbot):
    dock.run_or_cancel()
    qtbot.waitUntil(lambda: dock.run is None, timeout=120_000)


def test_the_stain_is_measured_and_what_can_be_painted_is_offered(dock, qtbot):
    opened(dock, tissue(PINK, 40, (300, 400)))
    measured(dock, qtbot)
    assert dock.stain.currentData() == "pas"
    assert "Measured by its colours (spreads: PAS " in dock.fits.text()
    assert {name: box.text() for name, box in dock.targets.items()} == {
        "pas-masson": "Masson trichrome",
        "pasm-pas": "PASM silver",
    }
    assert all(box.isChecked() for box in dock.targets.values())


def test_a_stain_that_can_not_be_told_is_asked(dock, qtbot, told):
    layer = opened(dock, tissue((150, 190, 120), 40, (300, 400)))
    measured(dock, qtbot)
    assert dock.stain.currentData() == ""
    assert "no stain fits" in dock.fits.text()
    assert dock.targets == {}
    dock.run_or_cancel()
    assert told == ["Nobody says which stain case-17.png has: choose it in the row 'Its stain'"]
    say(dock, "pas")
    run(dock, qtbot)
    assert "case-17.png is " in dock.fits.text()
    assert "spreads from the PAS images" in dock.fits.text()
    seen = [x.text() for x in dock.findChildren(QLabel) if not x.isHidden()]
    assert sum("spreads from the PAS images" in text for text in seen) == 1
    assert not any("spreads from" in line for line in told)
    assert len(dock.views[layer]) == 2


def say(dock, stain):
    dock.stain.setCurrentIndex(dock.stain.findData(stain))
    dock.stain.activated.emit(dock.stain.currentIndex())


@pytest.fixture
def painted(dock, qtbot):
    layer = opened(dock, tissue(PINK, 40, (300, 400)))
    measured(dock, qtbot)
    run(dock, qtbot)
    return dock, layer


def test_views_lie_on_the_slide_and_say_that_they_are_virtual_and_synthetic(painted, qtbot):
    dock, layer = painted
    views = [view.layer for view in dock.shown.values()]
    assert list(dock.viewer.layers)[:3] == [layer, *views]
    assert [view.name for view in views] == [
        "virtual Masson trichrome [synthetic] (case-17.png)",
        "virtual PASM silver [synthetic] (case-17.png)",
    ]
    for view in views:
        assert view.metadata["synthetic"] is True
        assert view.metadata["source_stain"] == "pas"
        assert tuple(view.scale) == tuple(layer.scale)
        assert slide_of(view).mpp == slide_of(layer).mpp
    assert [view.visible for view in views] == [True, False]
    dock.front.setCurrentIndex(1)
    assert [view.visible for view in views] == [False, True]
    qtbot.waitUntil(lambda: "All that is in view" in dock.coming.text(), timeout=60_000)


def test_what_is_seen_ends_with_the_generators_pixels(painted, qtbot):
    dock, _layer = painted
    view = dock.view
    qtbot.waitUntil(lambda: "All that is in view" in dock.coming.text(), timeout=60_000)
    seen = np.asarray(view.layer.data[0][:300, :400]).astype(int)
    saved = np.asarray(view.virtual.slide.levels[0][:300, :400]).astype(int)
    assert (seen == saved).all()


def test_all_side_by_side_and_the_divider(painted):
    dock, layer = painted
    viewer = dock.viewer
    points = viewer.add_points(np.zeros((1, 2)))
    dock.compare.sides.setChecked(True)
    views = [view.layer for view in dock.shown.values()]
    assert all(one.name_overlay.visible for one in (layer, *views))  # which is the real one
    assert viewer.canvas.grid.actual_shape(viewer.layers) == (2, 2)
    places = [
        viewer.canvas.grid.position(viewer.layers.index(x), viewer.layers) for x in (layer, *views)
    ]
    assert len(set(places)) == 3
    assert all(view.visible for view in views)
    assert not points.visible
    dock.compare.swipe.setChecked(True)
    assert not viewer.canvas.grid.enabled
    assert dock.compare.divider.isVisible()
    assert not any(one.name_overlay.visible for one in (layer, *views))
    assert [view.visible for view in views] == [True, False]
    assert points.visible
    left, right = dock.compare.divider.signs
    assert [sign.text() for sign in (left, right)] == [
        "as scanned",
        "virtual Masson trichrome, synthetic",
    ]
    at = dock.compare.divider.at_px
    assert left.isVisible()
    assert left.geometry().right() < at < right.geometry().left()
    dock.front.setCurrentIndex(1)
    assert right.text() == "virtual PASM silver, synthetic"
    dock.compare.swipe.setChecked(False)
    assert not left.isVisible()
    assert not right.isVisible()


def test_a_map_that_finds_defects_is_offered_and_laid(painted, qtbot):
    dock, layer = painted
    assert [dock.map.itemText(i) for i in range(dock.map.count())] == ["Cycle error"]
    assert "finds pen ink (AUC 0.93); misses blur (AUC 0.52)" in dock.note.text()
    dock.doubt.click()
    qtbot.waitUntil(lambda: dock.run is None, timeout=120_000)
    doubt = dock.view.doubt
    rows, cols = doubt.data.shape  # of what is in view
    assert 30 < rows <= 38
    assert 30 < cols <= 50
    assert np.isfinite(doubt.data).all()
    assert tuple(doubt.contrast_limits) == (1.0, 3.0)
    assert tuple(doubt.scale) == (8.0, 8.0)
    cells = (np.asarray(doubt.translate) - layer.translate - 3.5) / 8  # from the slide's corner on
    assert (cells == cells.round()).all()
    assert doubt.name.startswith("doubt by cycle error: virtual Masson trichrome [synthetic]")
    assert "of the tissue in view is more doubtful than 95 %" in dock.form.result.text()
    assert dock.legend.words == ("1 (usual)", "3 Lab units (doubtful)")
    assert doubt.colormap.map([0.0])[0][3] < 0.2  # where doubt is usual, tissue is seen
    dock.front.setCurrentIndex(1)  # of the other pair nothing was measured
    assert not doubt.visible
    assert dock.map.count() == 0
    assert not dock.doubt.isEnabled()
    assert "No map of doubt is shown" in dock.note.text()


def test_at_another_scale_it_is_to_be_painted_again(painted):
    dock, layer = painted
    give_mpp(dock.viewer, layer, 0.5)
    dock.scale_changed()
    assert dock.form.result.text() == RUN_AGAIN
    for view in dock.shown.values():
        assert slide_of(view.layer).mpp == (0.5, 0.5)
        np.testing.assert_allclose(view.layer.extent.world, layer.extent.world)


def test_a_second_run_takes_the_place_of_the_first(painted, qtbot):
    dock, layer = painted
    first = [view.layer for view in dock.shown.values()]
    dock.targets["pasm-pas"].setChecked(False)
    run(dock, qtbot)
    assert not set(first) & set(dock.viewer.layers)
    assert list(dock.views[layer]) == ["pas-masson"]
    dock.viewer.layers.remove(dock.view.layer)
    assert dock.view is None
    assert not dock.export.isEnabled()
    dock.targets["pas-masson"].setChecked(False)


@pytest.mark.parametrize(
    ("shape", "mpp", "sentence"),
    [
        ((60, 400), 1.0, "smaller than a patch of 70 x 70 px"),
        ((300, 400), 4.0, "too coarse for pas-masson, trained at 1 um"),
    ],
)
def test_what_can_not_be_painted_is_said_in_a_sentence(dock, qtbot, told, *, shape, mpp, sentence):
    layer = opened(dock, tissue(PINK, 40, shape), mpp=mpp)
    measured(dock, qtbot)
    say(dock, "pas")
    run(dock, qtbot)
    assert [sentence in line for line in told] == [True]
    assert list(dock.viewer.layers) == [layer]


def test_glass_has_nothing_to_paint(dock, qtbot, told):
    opened(dock, np.full((300, 400, 3), 252, np.uint8))
    measured(dock, qtbot)
    assert "No tissue was found" in dock.fits.text()
    say(dock, "pas")
    run(dock, qtbot)
    assert ["no tissue was found" in line for line in told] == [True]
