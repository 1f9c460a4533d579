"""The Blending dock from end to end, with a small network that has learned nothing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from masses_standin import SHAPE, MassesStandin, view
from PIL import Image as Picture

from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.engine.models import TrainingData, read_card
from napari_pathogan.mammograms.study import MammogramStudy, open_mammogram
from napari_pathogan.plugin.blending import dock as blending_widget
from napari_pathogan.plugin.blending.dock import FOLDER, HINT, LOSSES, MARKED, SAMPLE, BlendingDock
from napari_pathogan.plugin.blending.events import WAYS
from napari_pathogan.plugin.masses import dock as masses_widget
from napari_pathogan.plugin.masses.dock import MassesDock
from napari_pathogan.plugin.shell import dock as docks
from napari_pathogan.plugin.shell.running import running
from napari_pathogan.plugin.viewer.mammogram_layers import study_layers
from napari_pathogan.tasks.blending.config import TrainConfig
from napari_pathogan.tasks.blending.model import save
from napari_pathogan.tasks.blending.network import Generator
from napari_pathogan.tasks.masses.annotated import read_training_folder
from napari_pathogan.tasks.masses.data import MassImage, write_mass_folder

pytestmark = pytest.mark.gui

NAMES = [
    "Still visible, Blended [synthetic]",
    "Still visible, Poisson [synthetic]",
    "Still visible, Pasted [synthetic]",
    "Blended [synthetic]",
    "Poisson [synthetic]",
    "Pasted [synthetic]",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    data = TrainingData(name="nothing", terms="none")
    save(folder, Generator(width=4), TrainConfig(width=4), name="small", data=data)
    return folder


@pytest.fixture(scope="module")
def lesions(tmp_path_factory):
    """A folder of one image with two masses."""
    folder = tmp_path_factory.mktemp("lesions") / "folder"
    image = view("RCC") / 255
    boxes = np.array([[40, 80, 80, 120], [42, 152, 58, 168]], np.float32)
    mask = np.zeros((2, *SHAPE), bool)
    mask[0, 80:120, 40:80] = mask[1, 152:168, 42:58] = True
    with write_mass_folder(folder) as add:
        add(MassImage("one", "p", image, boxes, mask, "R", "CC", synthetic=False))
    return folder


@pytest.fixture
def found(monkeypatch, model):
    """The models of both docks, and known masses for the detector."""
    from masses_standin import CARD

    def find(tasks, folders, warm_up):
        blending = {"small": (model, read_card(model))}
        yield docks.ModelsFound(
            blending if tasks[-1] != "masses" else {CARD.name: (model, CARD)}, tasks[-1]
        )
        yield Finished()

    monkeypatch.setattr(docks, "_find", find)
    monkeypatch.setattr(masses_widget, "masses_events", MassesStandin().events)


@pytest.fixture
def hung(viewer, tmp_path):
    """A healthy view, mirrored in its hanging, and one with masses."""
    for name in ("LCC", "RCC"):
        Picture.fromarray(view(name)[:, ::-1] if name == "LCC" else view(name)).save(
            tmp_path / f"{name}.png"
        )
    views = [open_mammogram(tmp_path / f"{name}.png") for name in ("LCC", "RCC")]
    layers = {}
    for data, kwargs, _ in study_layers(MammogramStudy([v.with_spacing(0.2) for v in views])):
        layers[kwargs["name"]] = viewer.add_image(data, **kwargs)
    viewer.reset_view()
    return layers


@pytest.fixture
def opened(viewer, hung, found, lesions, qtbot):
    dock = BlendingDock(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.form.run.isEnabled)
    dock.offer_lesions(FOLDER, lesions)
    qtbot.waitUntil(lambda: any("one" in lesion.name for lesion in dock.shelf.lesions))
    return dock


def test_lesions_asked_for_last_stay(opened, lesions, qtbot, monkeypatch):
    """A slow folder that was asked for earlier does not take the place of a later one."""
    whole = blending_widget.lesions_of_folder

    there = threading.Event()

    def slow(folder):
        yield Progress(0, 1)
        if folder != lesions:
            there.wait(60)
        yield from whole(folder)

    monkeypatch.setattr(blending_widget, "lesions_of_folder", slow)
    opened.offer_lesions(SAMPLE)
    opened.offer_lesions(FOLDER, lesions)
    qtbot.wait(100)
    there.set()
    qtbot.waitUntil(lambda: not running())

    assert all("one" in lesion.name for lesion in opened.shelf.lesions)


def click(dock, image, y, x, qtbot):
    dock.click(image.data_to_world((y, x)))
    qtbot.waitUntil(lambda: dock.run is None and dock.grown is not None, timeout=60_000)


def test_a_click_grows_the_lesion_in_three_ways(opened, hung, viewer, qtbot, told):
    dock, image = opened, hung["LCC"]
    assert dock.minimumSizeHint().width() <= 320
    assert dock.form.result.text() == HINT
    dock.form.run.click()
    assert told == [HINT]
    assert float(image.scale[1]) < 0
    dock.shelf.setCurrentRow(1)
    click(dock, image, 120, 100, qtbot)
    assert dock.layer is image
    assert [layer.name for layer in viewer.layers] == [*hung, *NAMES]
    assert all(layer.metadata["synthetic"] for layer in dock.layers.all)
    assert "one, mass 2" in dock.layers.images["Pasted"].metadata["lesion"]
    normal = open_mammogram(image.metadata["path"]).shown()
    top, left = dock.grown.origin
    for way in WAYS:
        layer = dock.layers.images[way]
        corner = layer.data_to_world((0, 0))
        assert corner == pytest.approx(image.data_to_world((top, left)), abs=1e-4)
        changed = np.argwhere(
            np.abs(layer.data - normal[top:, left:][: layer.data.shape[0], : layer.data.shape[1]])
            > 0.02
        )
        assert len(changed) > 100, way
        assert np.abs(changed.mean(0) + np.array([top - 120, left - 100])).max() < 12, way
    means = dock.grown.means["seamless"]
    assert means["Poisson"] < means["Pasted"]
    assert f"Poisson {1000 * means['Poisson']:.2f}" in dock.form.result.text()


def test_side_by_side_over_the_loss_maps(opened, hung, viewer, qtbot):
    dock = opened
    click(dock, hung["LCC"], 120, 100, qtbot)
    grid = viewer.canvas.grid
    assert grid.enabled
    assert not hung["LCC"].visible
    places = [grid.position(viewer.layers.index(layer), viewer.layers) for layer in dock.layers.all]
    assert places == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert dock.layers.all[0].name_overlay.visible
    dock.loss.setCurrentText(next(name for name, loss in LOSSES.items() if loss == "background"))
    shown = dock.layers.losses["Blended"].data
    np.testing.assert_array_equal(shown, dock.grown.losses["background"]["Blended"])
    limits = {tuple(layer.contrast_limits) for layer in dock.layers.losses.values()}
    assert len(limits) == 1
    dock.sides.setChecked(False)
    assert not grid.enabled
    assert [layer.name for layer in viewer.layers if layer.visible] == [
        *hung,
        "Blended [synthetic]",
    ]
    assert "synthetic: Blended" in viewer.canvas.overlays.text.text
    click(dock, hung["LCC"], 110, 90, qtbot)  # the same layers show the next one
    assert len(viewer.layers) == len(hung) + len(NAMES)
    assert not grid.enabled
    viewer.layers.remove(hung["LCC"])
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == ["RCC"], timeout=5000)
    assert dock.grown is None


def test_masses_that_the_other_dock_shows_can_be_grown(opened, hung, viewer, qtbot):
    masses = MassesDock(viewer)
    viewer.window.add_dock_widget(masses)
    qtbot.waitUntil(masses.form.run.isEnabled)
    masses.run_or_cancel()
    qtbot.waitUntil(lambda: masses.run is None, timeout=30_000)
    opened.offer_lesions(MARKED)
    qtbot.waitUntil(lambda: len(opened.shelf.lesions) == 1, timeout=10_000)
    lesion = opened.shelf.lesion
    assert lesion.name == "RCC, mass 1"
    assert lesion.mask.sum() == pytest.approx(np.pi * 20**2, rel=0.03)
    masses.release()


def test_the_sample_has_lesions_too(opened, qtbot):
    assert opened.source.currentText() == FOLDER
    opened.offer_lesions(SAMPLE)
    qtbot.waitUntil(lambda: len(opened.shelf.lesions) == 4, timeout=30_000)
    assert opened.source.currentText() == SAMPLE


def test_what_is_saved_is_synthetic_and_ready_to_train_on(opened, hung, qtbot, tmp_path):
    dock = opened
    click(dock, hung["LCC"], 120, 100, qtbot)
    dock.save(tmp_path / "out" / "made")
    qtbot.waitUntil(lambda: dock.run is None, timeout=30_000)
    assert dock.form.status.text() == "Saved made.png"
    assert open_mammogram(tmp_path / "out" / "made.png").synthetic
    folder = read_training_folder(tmp_path / "out")
    assert folder.synthetic.tolist() == [True]
    assert folder.boxes[0][0].tolist() == pytest.approx(dock.grown.blended.box.tolist(), abs=0.6)
    inside = folder.mask(0)[0] & dock.grown.blended.mask
    assert inside.sum() > 0.97 * dock.grown.blended.mask.sum()
    assert "L" in folder.laterality
