"""A layer whose colours are the student's first, and the network's as they are computed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from test_stain_dock import Standin, find_standin

from napari_pathogan.engine.events import Finished
from napari_pathogan.plugin.shell import dock as docks
from napari_pathogan.plugin.stain import dock as stain_widget
from napari_pathogan.plugin.stain.dock import StainDock
from napari_pathogan.plugin.viewer.layers import RUN_AGAIN, give_mpp, slide_layer, slide_of
from napari_pathogan.slides.slide import Slide

pytestmark = pytest.mark.gui


class Network:
    """A style whose network colours all alike, when it is let."""

    mpp = None

    def __init__(self):
        self.go, self.tiles = threading.Event(), 0

    def colour(self, light, _vector=None):
        assert self.go.wait(60)
        self.tiles += 1
        return np.full((*light.shape, 2), (-30, 10), np.float32)  # green


class NetworkStandin(Standin):
    """A transfer whose student makes blue what the network makes green."""

    def __init__(self):
        super().__init__()
        self.network = Network()

    def events(self, slide, style, method, reference):
        from napari_pathogan.tasks.stain.levels import transferred
        from napari_pathogan.tasks.stain.predict import Method, Transfer

        transfer = Transfer(
            Method.cnn, "stand-in", lambda image: image[..., [1, 2, 0]], model=self.network
        )
        yield Finished((transferred(slide, transfer), transfer))


def run_on(slide, viewer, qtbot):
    data, kwargs, _ = slide_layer(slide)
    viewer.add_image(data, **kwargs)
    dock = StainDock(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.form.run.isEnabled)
    dock.run_or_cancel()
    return dock


@pytest.fixture
def shown(viewer, slide, qtbot, monkeypatch, tmp_path):
    """A dock with a view whose network has not begun."""
    standin = NetworkStandin()
    monkeypatch.setattr(docks, "_find", find_standin(tmp_path))
    monkeypatch.setattr(stain_widget, "transfer_events", standin.events)
    dock = run_on(slide, viewer, qtbot)
    qtbot.waitUntil(
        lambda: dock.view is not None and dock.views[dock.layer].refining.run is not None
    )
    yield dock, standin.network
    standin.network.go.set()  # no thread may stay behind


def middle(viewer):
    return viewer.screenshot(canvas_only=True, flash=False)[10:-10].mean((0, 1))


def test_the_networks_colours_take_the_place_of_the_fast_ones(shown, viewer, qtbot):
    dock, network = shown
    tissue = np.asarray(dock.view.data[0][600:610, 900:910]).reshape(-1, 3)
    assert (tissue == (120, 180, 200)).all()  # the student's
    total = dock.views[dock.layer].refining.live.coming[1]
    assert f"{total} of {total} tiles to go" in dock.coming.text()
    before = middle(viewer)
    network.go.set()
    qtbot.waitUntil(lambda: "All that is in view" in dock.coming.text(), timeout=60_000)
    qtbot.waitUntil(lambda: dock.views[dock.layer].refining.run is None)
    # drawn anew, without being asked
    qtbot.waitUntil(lambda: middle(viewer)[2] < before[2] - 20, timeout=10_000)
    made = np.asarray(dock.view.data[0][600:610, 900:910])
    saved = np.asarray(slide_of(dock.view).levels[0][600:610, 900:910])
    assert (made == saved).all()
    assert made[0, 0, 1] > made[0, 0, 2]
    assert network.tiles >= total
    seen = network.tiles
    qtbot.wait(300)
    assert network.tiles == seen  # it is over


def test_the_viewer_answers_while_the_network_is_busy(shown, qtbot):
    dock, _network = shown
    assert dock.views[dock.layer].refining.run.active  # in a thread that waits
    np.asarray(dock.view.data[0][:, :])
    dock.compare.fade.setValue(40)
    qtbot.wait(10)
    assert dock.views[dock.layer].refining.run.active
    assert dock.view.opacity == pytest.approx(0.4)


def test_what_a_network_made_of_another_scale_is_to_be_made_again(shown, viewer):
    dock, _network = shown
    assert dock.view.name in dock.form.result.text()
    give_mpp(viewer, dock.layer, 0.5)
    dock.scale_changed()
    assert dock.form.result.text() == RUN_AGAIN


def test_removing_the_layer_ends_it(shown, viewer, qtbot):
    dock, network = shown
    refining, view = dock.views[dock.layer].refining, dock.view
    run = refining.run
    viewer.layers.remove(view)
    assert not run.active
    assert refining.live.coming == (0, 0)
    network.go.set()
    qtbot.waitUntil(lambda: not run.worker.is_running, timeout=60_000)
    assert network.tiles <= 1  # the one it was at
    dock.slide_changed()
    assert dock.coming.text() == ""
    assert not dock.views


def test_a_hidden_layer_is_not_computed(shown, qtbot):
    dock, network = shown
    refining = dock.views[dock.layer].refining
    dock.view.visible = False
    assert refining.live.coming == (0, 0)
    network.go.set()
    qtbot.waitUntil(lambda: refining.run is None, timeout=60_000)
    assert network.tiles <= 1
    dock.view.visible = True
    qtbot.waitUntil(lambda: "All that is in view" in dock.coming.text(), timeout=60_000)


def test_it_goes_on_without_its_dock_and_ends_with_the_viewer(shown, viewer, qtbot):
    dock, network = shown
    refining, view = dock.views[dock.layer].refining, dock.view
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    qtbot.wait(50)
    network.go.set()
    qtbot.waitUntil(lambda: refining.run is None and refining.live.coming[0] == 0, timeout=60_000)
    assert view in viewer.layers
    live = refining.live
    refining.deleteLater()  # as with the viewer's canvas
    qtbot.wait(50)
    assert live.coming == (0, 0)
    view.refresh()  # nothing is left that would look


def test_levels_that_are_not_the_coarsest_are_drawn_anew_too(viewer, qtbot, monkeypatch, tmp_path):
    standin = NetworkStandin()
    monkeypatch.setattr(docks, "_find", find_standin(tmp_path))
    monkeypatch.setattr(stain_widget, "transfer_events", standin.events)
    pixels = np.full((2600, 2600, 3), 240, np.uint8)
    pixels[:, :] = (200, 120, 180)
    with Slide.from_arrays([pixels], name="case", mpp=1.0) as slide:
        dock = run_on(slide, viewer, qtbot)
        qtbot.waitUntil(lambda: dock.view is not None)
        viewer.scene.camera.zoom *= 20
        qtbot.waitUntil(lambda: dock.view.data_level == 0)
        refining = dock.views[dock.layer].refining
        qtbot.waitUntil(lambda: refining.live.coming[1] <= 4)
        before = middle(viewer)
        standin.network.go.set()
        qtbot.waitUntil(lambda: "All that is in view" in dock.coming.text(), timeout=60_000)
        qtbot.waitUntil(lambda: middle(viewer)[2] < before[2] - 20, timeout=10_000)
