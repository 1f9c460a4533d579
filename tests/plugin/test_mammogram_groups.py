"""Examinations in napari: told of, chosen, each in a place of its own, never hung as one."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from mammogram_files import breast, write_view
from napari.layers import Image, Points
from PIL import Image as Pillow
from qtpy.QtCore import Qt

from napari_pathogan.mammograms.study import examinations
from napari_pathogan.plugin.shell.exports import exports, saving
from napari_pathogan.plugin.viewer import commands, mammogram_choice
from napari_pathogan.plugin.viewer.mammogram_choice import ExaminationDialog, chosen
from napari_pathogan.plugin.viewer.mammogram_groups import hung
from napari_pathogan.plugin.viewer.mammogram_layers import give_spacing, mammogram_of
from napari_pathogan.plugin.viewer.reader import read
from napari_pathogan.plugin.viewer.viewing import hanging_of

UIDS = {"first": "1.2.826.0.1", "second": "1.2.826.0.2"}
SECRETS = (*UIDS.values(), "Quackenbush", "PID-77041")


@pytest.fixture
def patients(tmp_path):
    """Two folders, a study of two views in each."""
    for name, uid in UIDS.items():
        (tmp_path / "both" / name).mkdir(parents=True)
        for side in "RL":
            pixels = breast("right" if side == "R" else "left")
            path = tmp_path / "both" / name / f"{side}.dcm"
            write_view(path, pixels, side, "CC", StudyInstanceUID=uid)
    return tmp_path / "both"


@pytest.fixture
def all_hung(monkeypatch):
    """Whoever is asked lets all hang beside each other."""
    monkeypatch.setattr(mammogram_choice.ExaminationDialog, "exec", lambda _: True)


def layers_of(*paths):
    return [Image(data, **kwargs) for data, kwargs, _ in read([str(path) for path in paths])]


def overlap(one, other):
    a, b = (layer.extent.world[:, -2:] for layer in (one, other))
    return bool(((a[1] > b[0]) & (b[1] > a[0])).all())


def nothing_overlaps(layers):
    return not any(overlap(a, b) for i, a in enumerate(layers) for b in layers[:i])


@pytest.mark.parametrize("folder", [True, False])
def test_without_a_window_they_hang_one_beside_the_other(patients, told, folder):
    layers = layers_of(patients if folder else patients / "first/R.dcm", *([] if folder else [
        patients / "second/R.dcm", patients / "first/L.dcm", patients / "second/L.dcm"]))  # fmt: skip
    assert [layer.name for layer in layers] == ["1: RCC", "1: LCC", "2: RCC", "2: LCC"]
    assert nothing_overlaps(layers)
    first, second = layers[:2], layers[2:]
    left = min(layer.extent.world[0, -1] for layer in second)
    assert left > max(layer.extent.world[1, -1] for layer in first)
    for views in (first, second):  # each is a hanging: chest walls face to face
        right_breast, left_breast = views
        gap = left_breast.extent.world[0, -1] - right_breast.extent.world[1, -1]
        assert 0 < gap < 0.05 * np.ptp(right_breast.extent.world[:, -1])
    (message,) = told
    assert "2 examinations" in message
    assert message.endswith("1 is first; 2 is second")
    assert not any(secret in message for secret in SECRETS)


def test_one_examination_hangs_as_ever(patients, told):
    layers = layers_of(patients / "second")
    assert [layer.name for layer in layers] == ["RCC", "LCC"]
    assert layers[0].extent.world[1, -1] < 0 < layers[1].extent.world[0, -1]
    assert not told


def test_grey_images_are_told_apart_by_their_names(tmp_path, told):
    paths = [tmp_path / f"{name}.png" for name in ("a_R_CC", "b_R_CC", "a_L_CC")]
    for path in paths:
        Pillow.fromarray((breast("left") >> 4).astype(np.uint8)).save(path)
    layers = layers_of(*paths)
    assert [layer.name for layer in layers] == ["1: a_R_CC", "2: b_R_CC", "1: a_L_CC"]
    assert nothing_overlaps(layers)
    assert "1 is a_R_CC.png, a_L_CC.png; 2 is b_R_CC.png" in told[-1]


@pytest.mark.gui
def test_what_is_opened_later_joins_its_own_examination(viewer, patients, told, all_hung):
    commands.show_mammograms(viewer, patients / "first/R.dcm")
    commands.show_mammograms(viewer, patients / "second/R.dcm")
    assert [layer.name for layer in viewer.layers] == ["1: RCC", "2: RCC"]
    assert len([line for line in told if "2 examinations" in line]) == 1
    viewer.open(patients / "first/L.dcm", plugin="napari-pathogan")
    viewer.open(patients / "second/L.dcm", plugin="napari-pathogan")
    views = [layer for layer in viewer.layers if isinstance(layer, Image)]
    assert [layer.name for layer in views] == ["1: RCC", "2: RCC", "1: LCC", "2: LCC"]
    assert nothing_overlaps(views)
    assert len([line for line in told if "2 examinations" in line]) == 1
    ends = {layer.name: layer.extent.world[:, -1] for layer in views}
    assert ends["1: RCC"][1] < ends["1: LCC"][0] < ends["1: LCC"][1] < ends["2: RCC"][0]
    assert ends["2: RCC"][1] < ends["2: LCC"][0]
    assert mammogram_of(viewer.layers[0]).name == "1: RCC"


@pytest.mark.gui
def test_views_that_are_not_seen_are_in_no_hanging(viewer, patients):
    """As where another dock shows its own pictures side by side."""
    commands.show_mammograms(viewer, patients / "first")
    one, other = viewer.layers
    assert hanging_of(viewer, one) == "All"
    one.visible = other.visible = False
    assert hanging_of(viewer, one) == "", "two CC views are no MLO views"


@pytest.mark.gui
def test_a_picture_of_another_reader_is_numbered_and_joins_what_its_name_says(viewer, tmp_path):
    for name in ("a_R_CC", "a_L_CC", "20587054"):
        Pillow.fromarray((breast("left") >> 4).astype(np.uint8)).save(tmp_path / f"{name}.png")
        viewer.open(tmp_path / f"{name}.png", plugin="napari")
    for layer in viewer.layers:
        mammogram_of(layer)
    assert [hung(layer).number for layer in viewer.layers] == [1, 1, 2]


@pytest.mark.gui
def test_views_that_are_removed_leave_nothing(viewer, qtbot, patients, told, all_hung):
    for names in (("first",), ("first", "second")):
        for name in names:
            commands.show_mammograms(viewer, patients / name)
        qtbot.wait(50)
        while viewer.layers:
            viewer.layers.pop()
            qtbot.wait(20)
    assert not viewer.layers


@pytest.mark.gui
@pytest.mark.parametrize("side", ["R", "L"])
def test_what_lies_on_another_examination_moves_with_it(viewer, patients, told, all_hung, side):
    """Where a view of the first comes later, and needs room on either side."""
    other = "L" if side == "R" else "R"
    commands.show_mammograms(viewer, patients / f"first/{side}.dcm")
    commands.show_mammograms(viewer, patients / f"second/{side}.dcm")
    second = viewer.layers[1]
    drawn = viewer.add_points(
        [[5.0, 7.0]], scale=second.scale, translate=second.translate, units="um"
    )
    for name in ("first", "second"):
        commands.show_mammograms(viewer, patients / f"{name}/{other}.dcm")
    views = [layer for layer in viewer.layers if isinstance(layer, Image)]
    assert nothing_overlaps(views)
    np.testing.assert_allclose(drawn.data_to_world((5, 7)), second.data_to_world((5, 7)))
    ends = {layer.name: layer.extent.world[:, -1] for layer in views}
    assert ends["1: RCC"][1] < ends["1: LCC"][0] < ends["1: LCC"][1] < ends["2: RCC"][0]
    assert 0 < ends["2: LCC"][0] - ends["2: RCC"][1] < 0.05 * np.ptp(ends["2: RCC"])


@pytest.mark.gui
def test_a_view_that_gets_a_scale_stays_with_its_examination(viewer, tmp_path, all_hung):
    for name in ("a_R_CC", "b_R_CC"):
        Pillow.fromarray((breast("left") >> 4).astype(np.uint8)).save(tmp_path / f"{name}.png")
        commands.show_mammograms(viewer, tmp_path / f"{name}.png")
    one, other = viewer.layers
    shift = other.extent.world[0, -1] - one.extent.world[0, -1]
    give_spacing(viewer, other, 0.1)
    assert other.extent.world[0, -1] - one.extent.world[0, -1] == pytest.approx(100 * shift)
    (titles,) = (layer for layer in viewer.layers if isinstance(layer, Points))
    assert list(filter(None, titles.text.values)) == ["Examination 1\nRCC", "Examination 2\nRCC"]
    low, high = one.extent.world[:, -2:]
    assert titles.data[0][0] < low[0]
    assert titles.data[0][1] == pytest.approx((low[1] + high[1]) / 2)
    assert nothing_overlaps([one, other])


def test_exports_say_of_which_examination_they_are(patients, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        "napari_pathogan.tasks.masses.detections.write_json", lambda p, _: written.append(p)
    )
    views = [(mammogram_of(layer), None) for layer in layers_of(patients)]
    list(saving("masses", exports("masses")["output"], views, tmp_path / "masses.json"))
    assert [path.name for path in written] == [
        "masses-1-RCC.json", "masses-1-LCC.json", "masses-2-RCC.json", "masses-2-LCC.json",
    ]  # fmt: skip


@pytest.mark.gui
def test_the_dialog_lists_what_may_be_shown(viewer, qtbot, patients):
    dialog = ExaminationDialog(examinations(patients))
    qtbot.addWidget(dialog)
    rows = [item.text() for item in dialog.items]
    assert rows == ["first (2 images: LCC, RCC)", "second (2 images: LCC, RCC)"]
    assert dialog.together.isHidden()  # headers say that they are not one
    assert [one.name for one in dialog.chosen()] == ["first", "second"]
    dialog.items[0].setCheckState(Qt.CheckState.Unchecked)
    assert [one.name for one in dialog.chosen()] == ["second"]
    dialog.items[1].setCheckState(Qt.CheckState.Unchecked)
    assert not dialog.go.isEnabled()


@pytest.mark.gui
def test_what_no_header_tells_apart_the_user_may_put_together(viewer, qtbot, tmp_path):
    for name in ("001_R_CC", "002_L_CC"):
        Pillow.fromarray((breast("left") >> 4).astype(np.uint8)).save(tmp_path / f"{name}.png")
    dialog = ExaminationDialog(examinations(tmp_path))
    qtbot.addWidget(dialog)
    assert not dialog.together.isHidden()
    dialog.together.setChecked(True)
    (one,) = dialog.chosen()
    study = one.open()
    assert len(study.views) == 2
    layers = [Image(data, **kwargs) for data, kwargs, _ in commands.study_layers(study)]
    assert [layer.name for layer in layers] == ["001_R_CC", "002_L_CC"]
    assert layers[0].extent.world[1, -1] < 0 < layers[1].extent.world[0, -1]


@pytest.mark.gui
def test_a_reader_in_a_thread_asks_nothing(viewer, patients, monkeypatch):
    def never(*_):
        raise AssertionError("a thread may open no window")

    monkeypatch.setattr(mammogram_choice, "ExaminationDialog", never)
    found = []
    worker = threading.Thread(target=lambda: found.extend(chosen(examinations(patients))))
    worker.start()
    worker.join()
    assert [one.name for one in found] == ["first", "second"]
