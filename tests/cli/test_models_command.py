"""``pathogan models`` and ``pathogan doctor``."""

from __future__ import annotations

import json
import shutil

import pytest

from napari_pathogan import doctor, library
from napari_pathogan.engine import places
from napari_pathogan.engine.models import find_models, zoo
from napari_pathogan.errors import EnvironmentMismatchError


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """A user's data folder with no models in it."""
    for module in (places, doctor):
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def foreign(tmp_path):
    """A model that somebody has sent."""
    shutil.copytree(zoo() / "idc-cgan", tmp_path / "sent")
    return tmp_path / "sent"


def test_all_embedded_models_are_listed_and_can_be_shown(pathogan):
    code, out, _ = pathogan("models", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert {path.name for path in zoo().iterdir() if (path / "model.json").exists()} - set(
        rows
    ) == {"efficientnet-lite0"}  # a trunk of models, which does nothing by itself
    assert rows["idc-lite0"]["figure"].startswith("AUC of heat maps 0.9")
    assert all(row["embedded"] and row["bytes"] > 1000 for row in rows.values())
    code, out, _ = pathogan("models", "list", "--task", "masses")
    assert "masses-inbreast" in out
    assert "idc-lite0" not in out
    code, out, _ = pathogan("models", "show", "masses-inbreast")
    assert code == 0
    for part in ("Terms:", "Measured by:", "tpr_at_0.5: 0.", "Weights:"):
        assert part in out


def test_a_model_is_added_found_by_name_and_removed(pathogan, foreign, data_folder):
    code, out, err = pathogan("models", "add", foreign, "--name", "Monday")
    assert (code, err) == (0, "")
    assert out.startswith("Monday: ")
    assert find_models("idc")["Monday"] == data_folder / "models" / "Monday"
    code, out, _ = pathogan("models", "verify", "Monday")
    assert (code, out) == (0, "Monday: whole\n")
    assert json.loads(pathogan("models", "show", "Monday", "--json")[1])["name"] == "Monday"
    code, _, err = pathogan("models", "add", foreign, "--name", "Monday")
    assert code == 2
    assert "there is a model called Monday already" in err
    assert pathogan("models", "rename", "Monday", "Tuesday")[0] == 0
    assert {"Tuesday"} == find_models("idc").keys() & {"Monday", "Tuesday"}
    assert pathogan("models", "remove", "Tuesday", "--yes")[0] == 0
    assert "Tuesday" not in find_models("idc")
    assert foreign.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"x"), "sha256 differs"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "is missing"),
        (lambda folder: (folder / "model.json").write_text("{}"), "is not a model card"),
        (lambda folder: (folder / "weights.pt").write_bytes(b"x"), "holds weights.pt"),
        (lambda folder: (folder / "code").mkdir(), "holds code"),
        (lambda folder: shutil.rmtree(folder), "no model"),
    ],
)
def test_what_is_no_whole_model_is_not_added(pathogan, foreign, data_folder, change, said):
    change(foreign)
    code, _, err = pathogan("models", "add", foreign, "--name", "Monday")
    assert code == 2
    assert err.startswith("pathogan: ")
    assert said in err
    assert not (data_folder / "models" / "Monday").exists()


def test_embedded_and_foreign_models_are_not_removed(pathogan, foreign):
    for model, said in (
        ("idc-cgan", "came with the program"),
        (foreign, "is not among your models"),
    ):
        code, _, err = pathogan("models", "remove", model, "--yes")
        assert code == 2
        assert said in err
    assert foreign.exists()


def test_a_model_with_something_else_beside_stays(pathogan, foreign, data_folder):
    pathogan("models", "add", foreign, "--name", "Monday")
    (data_folder / "models" / "Monday" / "notes.txt").write_text("mine")
    code, _, err = pathogan("models", "remove", "Monday", "--yes")
    assert code == 2
    assert "notes.txt" in err
    assert (data_folder / "models" / "Monday" / "notes.txt").read_text() == "mine"


def test_a_model_that_changed_on_the_disk_is_told_of(pathogan, foreign, data_folder):
    pathogan("models", "add", foreign, "--name", "Monday")
    with (data_folder / "models" / "Monday" / "weights.safetensors").open("ab") as stream:
        stream.write(b"\0")
    code, out, err = pathogan("models", "verify", "Monday", "idc-cgan")
    assert code == 2
    assert out == "idc-cgan: whole\n"
    assert "sha256 differs" in err
    assert "1 of 2 models are not whole" in err


def test_all_embedded_models_are_whole():
    for model in library.listed().values():
        library.verify(model)


def test_the_doctor_says_what_there_is(pathogan, data_folder):
    code, out, _ = pathogan("doctor", "--json")
    found = json.loads(out)
    assert code == (1 if found["faults"] else 0)
    assert found["facts"]["torch"].startswith("2.")
    assert found["facts"]["Models run on"].startswith("cpu")
    assert found["facts"]["Data folder"].startswith(str(data_folder))


def _mismatch():
    raise EnvironmentMismatchError("torch 2.13.0, torchvision 0.20.0 do not fit together")


def test_the_doctor_names_what_is_wrong_and_the_mend(monkeypatch, tmp_path, data_folder):
    monkeypatch.setattr("napari_pathogan.engine.devices.check_torchvision", _mismatch)
    monkeypatch.setattr(doctor, "_imports", lambda module: "" if module != "openslide" else "no")
    monkeypatch.setattr(doctor, "_OPENGL", "import sys; sys.exit('no display here')")
    monkeypatch.setattr(doctor, "_unwritable", lambda _: "Read-only file system")
    monkeypatch.setattr(doctor, "_has", lambda _, name: name != "JPEG2K")
    found = doctor.check_up()
    text = "\n".join(found.faults)
    for part in (
        "do not fit together",
        "openslide can't be imported",
        "no display here",
        "Read-only file system",
        "imagecodecs lacks JPEG2K",
    ):
        assert part in text
    assert str(found).endswith(text)


def test_what_is_not_installed_is_no_fault(monkeypatch):
    monkeypatch.setattr(doctor, "_imports", lambda module: "no" if module == "highdicom" else "")
    monkeypatch.setattr(doctor, "_installed", lambda _: False)
    found = doctor.check_up(display=False)
    assert "uv pip install 'napari-pathogan[sr]'" in found.facts["highdicom"]
    assert found.faults == []
