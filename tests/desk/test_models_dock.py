"""The list of models, as a user works with it."""

from __future__ import annotations

import shutil

import pytest
from qtpy.QtWidgets import QMessageBox

from desk import choose, enter, press_in
from napari_pathogan.engine import places
from napari_pathogan.engine.models import Metric, find_models, read_card, zoo
from napari_pathogan.plugin.shell.card import CardDialog, ComparisonDialog, metric_name

pytestmark = pytest.mark.gui


def test_every_figure_of_a_card_has_a_name_that_is_no_key():
    keys = {key for path in zoo().glob("*/model.json") for key in read_card(path.parent).metrics}
    assert len(keys) > 100
    names = {key: metric_name(key) for key in keys}
    assert not [name for name in names.values() if "_" in name]
    assert len(set(names.values())) >= len(keys) - 2, "figures of one name can't be told apart"
    plain = {key for key, name in names.items() if name == key.replace("_", " ")}
    assert plain <= {"accuracy", "precision", "sensitivity", "specificity"}
    assert names["pas_to_he_frechet_floor"].startswith("PAS to H&E: Fréchet distance")


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
    assert rows(dock)["idc-lite0"].text(1).startswith("AUC 0.9")
    assert rows(dock)["nuclei-unet"].text(1).startswith("Dice 0.8")
    assert rows(dock)["masses-inbreast"].text(1).startswith("found 0.7")
    pick(dock, "idc-lite0")
    off = [name for name, made in dock.buttons.items() if not made.isEnabled()]
    assert off == ["Compare", "Go back", "Rename…", "Delete"]
    assert "AUC of heat maps 0.9" in dock.about.text()
    assert "Came with the program" in dock.about.text()
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


def test_a_model_that_came_of_another_is_compared_with_it_and_left_for_it(desk, own):
    """What was gained stands below the list; two are shown beside each other; back is one press."""
    card = read_card(zoo() / "nuclei-unet")
    mine = own / "nuclei" / "Monday"
    shutil.copytree(zoo() / "nuclei-unet", mine)
    figures = {"before": (0.8, 0.7, 0.9), "after": (0.85, 0.8, 0.9), "gain": (0.05, 0.01, 0.09)}
    gained = {
        f"dice_{part}": Metric(value=value, low=low, high=high)
        for part, (value, low, high) in figures.items()
    }
    of = {"name": "Monday", "recipe": {"parent": "nuclei-unet"}, "metrics": card.metrics | gained}
    text = card.model_copy(update=of).model_dump_json()
    (mine / "model.json").write_text(text, encoding="utf-8")
    desk.sample("H&E phantom at 40x")
    nuclei = desk.dock("Nuclei")
    desk.wait(nuclei.form.run.isEnabled, "the model")
    nuclei.form.model.setCurrentText("Monday")
    dock = desk.dock("Models")
    desk.wait(lambda: not dock.working, "the list")
    pick(dock, "Monday")
    assert rows(dock)["Monday"].parent() is rows(dock)["nuclei-unet"]
    told = dock.about.text()
    assert "from nuclei-unet" in told
    assert "Better on what was held back" in told
    assert "0.800 before, 0.850 after" in told
    desk.rest()
    desk.picture("models-of-models")
    assert desk.cut_texts(dock) == []
    desk.press(dock, "Compare")
    shown = desk.wait(lambda: next(iter(dock.findChildren(ComparisonDialog)), None), "both")
    assert "nuclei-unet" in shown.page.toPlainText().split("Monday")[0], "the earlier one first"
    shown.close()
    desk.press(dock, "Go back")
    assert "nuclei-unet is chosen in Nuclei" in dock.said.text()
    assert nuclei.form.model.currentText() == "nuclei-unet"
    assert mine.exists()
