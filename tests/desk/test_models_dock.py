"""The list of models, as a user works with it."""

from __future__ import annotations

import shutil

import pytest
from qtpy.QtWidgets import QMessageBox

from desk import choose, enter, press_in
from napari_pathogan.engine import places
from napari_pathogan.engine.models import find_models, zoo
from napari_pathogan.plugin.shell.card import CardDialog

pytestmark = pytest.mark.gui


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Where the user's models lie, and one that came of an embedded one."""
    monkeypatch.setattr(places, "data_folder", lambda: tmp_path / "data")
    shutil.copytree(zoo() / "idc-cgan", tmp_path / "sent")
    return tmp_path / "data" / "models"


def rows(dock):
    """Name -> row of each model in the list."""
    found = {}

    def below(row):
        for number in range(row.childCount()):
            found[row.child(number).text(0)] = row.child(number)
            below(row.child(number))

    below(dock.list.invisibleRootItem())
    return found


def pick(dock, name):
    dock.list.clearSelection()
    rows(dock)[name].setSelected(True)


def test_models_come_are_used_and_go(desk, own, tmp_path):
    idc = desk.dock("IDC heat map")
    desk.sample("H&E phantom slide")
    desk.wait(idc.form.run.isEnabled, "the model")
    dock = desk.dock("Models")
    desk.wait(lambda: not dock.working, "the list")
    assert {"idc-lite0", "masses-inbreast", "virtual-pas-he", "g2c-idc"} <= rows(dock).keys()
    pick(dock, "idc-lite0")
    assert [name for name, made in dock.buttons.items() if not made.isEnabled()] == [
        "Rename…",
        "Delete",
    ]
    desk.press(dock, "Card")
    card = desk.wait(lambda: next(iter(dock.findChildren(CardDialog)), None), "the card")
    card.close()
    desk.press(dock, "Check")
    desk.wait(lambda: "idc-lite0 is whole" in dock.said.text(), "the check")
    with desk.answering(choose(tmp_path / "sent")):
        desk.press(dock, "Add…")
    desk.wait(lambda: "idc-cgan 2" in rows(dock) and not dock.working, "the new model")
    assert find_models("idc")["idc-cgan 2"] == own / "idc-cgan 2"
    pick(dock, "idc-cgan 2")
    with desk.answering(enter("Monday")):
        desk.press(dock, "Rename…")
    desk.wait(lambda: "Monday" in rows(dock) and not dock.working, "the name")
    assert "idc-cgan 2" not in rows(dock)
    pick(dock, "Monday")
    desk.press(dock, "Use")
    assert "chosen in IDC heat map" in dock.said.text()
    assert idc.form.model.currentText() == "Monday"
    desk.picture("models")
    assert desk.cut_texts(dock) == []
    with desk.answering(press_in("No", QMessageBox)):
        desk.press(dock, "Delete")
    assert "Monday" in rows(dock)
    with desk.answering(press_in("Yes", QMessageBox)):
        desk.press(dock, "Delete")
    desk.wait(lambda: "Monday" not in rows(dock) and not dock.working, "the end of it")
    assert not (own / "Monday").exists()
