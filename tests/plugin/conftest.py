"""A small slide, a stand-in model and a stand-in prediction: the plugin is tested, not the network."""

from __future__ import annotations

import gc
import time
from unittest.mock import patch

import napari
import npe2
import numpy as np
import pytest
from app_model import Application
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari.plugins import _initialize_plugins
from napari.settings import get_settings
from napari.utils.notifications import notification_manager

from napari_pathogan.engine.cells import CellGrid
from napari_pathogan.engine.events import Finished, Progress, Tile
from napari_pathogan.engine.models import ModelCard
from napari_pathogan.plugin.idc import dock as idc_widget
from napari_pathogan.plugin.idc.dock import IdcDock, Laid
from napari_pathogan.plugin.shell import dock
from napari_pathogan.plugin.viewer.layers import slide_layer
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc.heatmap import HeatMap

MPP = 2.0
STAYS_S = 0.5
CARD = ModelCard.model_validate(
    {
        "name": "stand-in",
        "title": "Stand-in model",
        "task": "idc",
        "architecture": "none",
        "mpp": 4.0,
        "patch_px": 50,
        "operating_point": 0.5,
        "metrics": {"recall": {"value": 0.84}, "specificity": {"value": 0.88}},
    }
)


@pytest.fixture(autouse=True)
def _plugin(tmp_path, monkeypatch):
    """The plugin is found, and scales that tests set are not those of the user."""
    npe2.PluginManager.instance().discover()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def slide():
    """1,501 x 2,003 px at 2 um/px: 8 x 11 cells of 200 um, pink tissue on white."""
    pixels = np.full((1501, 2003, 3), 240, np.uint8)
    pixels[200:1300, 300:1800] = (200, 120, 180)
    with Slide.from_arrays([pixels], name="case-17.svs", mpp=MPP) as made:
        yield made


class Standin:
    """A prediction whose speed and end a test decides; remembers what it was asked."""

    def __init__(self):
        self.pause_s = 0.0
        self.error = None
        self.asked = []
        self.closed = 0

    def events(self, slide, folder, region, polygons, near):
        self.asked.append((slide, folder, region, polygons, near))
        try:
            yield from self._events(slide, region, polygons, near)
        finally:
            self.closed += 1

    def _events(self, slide, region, polygons, near):
        yield Progress(0, 0, "loading the model")
        grid = CellGrid.over(slide.shape, slide.mpp, patch_px=50, mpp=4.0)
        yield Laid(grid.overlay(), grid.overlay())
        if isinstance(self.error, Exception):
            raise self.error
        rows, cols = np.mgrid[: grid.shape[0], : grid.shape[1]]
        p = np.exp(-((rows - 5) ** 2 + (cols - 7) ** 2) / 12).astype(np.float32)
        p[0], p[:, 0] = np.nan, np.nan  # no tissue there
        p[~grid.inside(region, polygons)] = np.nan
        doubt = (p * (1 - p)).astype(np.float32)
        cells = [block.cells[0] for block in grid.blocks(np.isfinite(p), 1, near)]
        for done, (row, col) in enumerate(cells):
            part = slice(row, row + 1), slice(col, col + 1)
            yield Tile("probability", int(row), int(col), p[part])
            yield Tile("uncertainty", int(row), int(col), doubt[part])
            yield Progress(done + 1, len(cells), "scoring the tissue", 1.0)
            time.sleep(self.pause_s)
        heat = HeatMap(
            grid.overlay(p),
            grid.overlay(doubt),
            grid.overlay(np.isfinite(p).astype(np.float32)),
            slide.mpp,
            0.5,
            mpp_source=slide.mpp_source,
            slide=slide.name,
            model="stand-in",
            model_line="Stand-in model",
            region=region,
        )
        yield Finished(heat, heat.summary())


@pytest.fixture
def standin(monkeypatch, tmp_path):
    """Put a stand-in for the model and its prediction."""
    made = Standin()
    monkeypatch.setattr(idc_widget, "idc_events", made.events)

    def find(task, folders, warm_up):
        yield dock.ModelsFound({CARD.name: (tmp_path, CARD)})
        yield Finished()

    monkeypatch.setattr(dock, "_find", find)
    return made


@pytest.fixture
def viewer(make_napari_viewer):
    """A viewer of 1200 x 800 px that is never shown on top of others."""
    made = make_napari_viewer(show=True)
    made.window.resize(1200, 800)
    return made


@pytest.fixture(scope="module")
def window(qapp):
    """A window for all tests of a file that only lay something in it: see `empty_viewer`."""
    app = NapariApplication("shared window")
    app.injection_store.namespace = _napari_names
    with (
        patch.object(NapariApplication, "get_app_model", return_value=app),
        patch("napari._qt.threads.status_checker.StatusChecker.start"),
    ):
        get_settings().reset()
        _initialize_plugins.cache_clear()
        init_qactions.cache_clear()
        made = napari.Viewer(show=True, show_welcome_screen=False)
        made.window.resize(1200, 800)
        yield made
        gc.unfreeze()
        with patch.object(made.window._qt_window, "_save_current_window_settings"):
            made.close()
        del made
        Application.destroy("shared window")
        gc.collect()
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()


@pytest.fixture
def empty_viewer(window):
    """The window that tests of a file share, empty and at rest; one in which no dock was opened."""
    yield window
    window.layers.clear()
    window.reset()
    window.reset_view()


@pytest.fixture
def settle(viewer, qtbot):
    """Wait until the canvas has the size that docks leave it; returns that, (height, width)."""

    def wait():
        size, since = None, 0.0

        def stays():
            nonlocal size, since
            if viewer.canvas.size != size:
                size, since = viewer.canvas.size, time.monotonic()
            return time.monotonic() - since > STAYS_S

        qtbot.waitUntil(stays, timeout=10_000)
        return size

    return wait


@pytest.fixture
def open_dock(viewer, slide, standin, qtbot):
    """Show the slide and the dock, with the model found."""
    data, kwargs, _ = slide_layer(slide)
    layer = viewer.add_image(data, **kwargs)
    made = IdcDock(viewer)
    viewer.window.add_dock_widget(made, name="IDC heat map")
    qtbot.waitUntil(lambda: made.card is not None and made.form.run.isEnabled())
    return made, layer


@pytest.fixture
def told(monkeypatch):
    """What the user is told by notifications."""
    messages = []
    monkeypatch.setattr(notification_manager, "dispatch", lambda n: messages.append(n.message))
    return messages
