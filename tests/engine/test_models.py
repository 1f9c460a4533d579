"""Models on disk: the right weights for the right task, or a sentence that says what is wrong."""

from __future__ import annotations

import json
import pickle

import pytest
import torch

from napari_pathogan.engine.models import (
    CARD,
    WEIGHTS,
    ModelCard,
    check_name,
    find_models,
    fitting,
    load_model,
    locate,
    package_versions,
    read_card,
    save_model,
    zoo,
)
from napari_pathogan.engine.places import note_models_folder
from napari_pathogan.errors import ModelError, ModelNotFoundError, OutputError


def card(name: str = "small", task: str = "idc") -> ModelCard:
    return ModelCard(name=name, title="Small", task=task, architecture="discriminator")


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "small"
    save_model(folder, card(), {"w": torch.arange(6).reshape(2, 3).half(), "n": torch.tensor(3)})
    return folder


def test_what_is_saved_comes_back(saved):
    found, weights = load_model(saved, "idc")
    assert found.name == "small"
    assert len(found.sha256) == 64
    assert found.versions == package_versions()
    assert weights["w"].dtype == torch.float32
    assert weights["n"].dtype == torch.int64
    assert weights["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert {file.name for file in saved.iterdir()} == {CARD, WEIGHTS}


def test_whoever_may_read_the_card_may_read_the_weights(saved):
    assert (saved / WEIGHTS).stat().st_mode == (saved / CARD).stat().st_mode


def test_a_model_is_found_by_name_folder_or_run(saved, tmp_path):
    assert locate(saved, "idc") == saved
    assert locate("small", "idc", tmp_path) == saved
    save_model(tmp_path / "run" / "model", card("trained"), {"w": torch.zeros(1)})
    assert locate(tmp_path / "run", "idc") == tmp_path / "run" / "model"
    assert locate("trained", "idc", tmp_path) == tmp_path / "run" / "model"
    assert set(find_models("idc", tmp_path)) >= {"small", "trained"}
    assert find_models("nuclei", tmp_path) == find_models("nuclei")
    save_model(tmp_path / ".pathogan-x" / "killed", card("killed"), {"w": torch.zeros(1)})
    assert "killed" not in find_models("idc", tmp_path)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "napari-pathogan"


def test_a_users_models_are_found_by_name(home, tmp_path):
    weights, chosen = {"w": torch.zeros(1)}, tmp_path / "chosen"
    save_model(home / "models" / "mine", card("mine"), weights)
    save_model(home / "models" / "run" / "model", card("trained"), weights)
    save_model(chosen / "other", card("other"), weights)
    assert locate("mine", "idc") == home / "models" / "mine"
    assert locate("trained", "idc") == home / "models" / "run" / "model"
    note_models_folder(chosen)
    assert load_model("other", "idc")[0].name == "other"
    save_model(chosen / "mine", card("mine"), weights)
    assert locate("mine", "idc") == chosen / "mine"
    note_models_folder(None)
    assert "other" not in find_models("idc")


def test_a_note_of_the_models_folder_that_says_nothing(home):
    home.mkdir()
    for content in (b"\xff", b"/not/there"):
        (home / "models_folder.txt").write_bytes(content)
        assert find_models("idc")


@pytest.mark.parametrize("copied", [True, False])
def test_a_model_replaces_one_for_its_task(saved, tmp_path, copied):
    weights = {"w": torch.zeros(1)}
    save_model(tmp_path / "new", card("new"), weights, copied=copied)
    save_model(tmp_path / "new", card("newer"), weights, copied=copied)
    assert read_card(tmp_path / "new").name == "newer"
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(OutputError, match="no earlier output of this kind"):
        save_model(saved, card("new").model_copy(update={"task": "other"}), weights, copied=copied)
    if copied:  # nobody would learn those weights again
        with pytest.raises(OutputError, match="this very model"):
            save_model(saved, card("new"), weights, copied=True)
    (tmp_path / "new" / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"notes\.txt, which would be lost"):
        save_model(tmp_path / "new", card("new"), weights, copied=copied)
    (tmp_path / "new" / "notes.txt").unlink()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_broken_card_does_not_hide_the_others(saved, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / CARD).write_text("{")
    assert "small" in find_models("idc", tmp_path)


def test_an_unknown_name_lists_the_known(saved, tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no idc model 'large'.*small"):
        locate("large", "idc", tmp_path)


@pytest.mark.parametrize("name", ["a", "stain-tnbc", "Kühn 2.1 (Süd)", "x" * 80])
def test_a_model_can_be_called_this(name):
    assert check_name(name) == name


NOT_NAMES = (
    *(
        "",
        " ",
        ".",
        "..",
        "../x",
        "/tmp/x",
        "a/b",
        "a\\b",
        "C:x",
        "-x",
        ".x",
        "_x",
        "x.",
        "x ",
        "x*",
    ),
    *("x\n", "x\0", "nul", "Con.model", "com1", "x" * 81),
)


@pytest.mark.parametrize("name", NOT_NAMES)
def test_a_name_that_could_lead_elsewhere_is_refused(name):
    with pytest.raises(ModelError, match="a model can't be called"):
        check_name(name)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / CARD).write_text("not json"), "is not a model card"),
        (lambda f: (f / CARD).write_text('{"name": "x"}'), "title: Field required"),
        (lambda f: (f / WEIGHTS).unlink(), "is missing; copy it beside"),
        (lambda f: (f / WEIGHTS).write_bytes(b"other"), "sha256 differs"),
    ],
)
def test_files_that_do_not_belong_together(saved, spoil, message):
    spoil(saved)
    with pytest.raises(ModelError, match=message):
        load_model(saved, "idc")


def test_a_model_for_another_task(saved):
    with pytest.raises(ModelError, match="is a model for 'idc', not for 'nuclei'"):
        load_model(saved, "nuclei")


def test_a_pickle_is_never_loaded(saved, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    (saved / WEIGHTS).write_bytes(pickle.dumps(Bomb()))
    import hashlib

    content = json.loads((saved / CARD).read_text())
    content["sha256"] = hashlib.sha256((saved / WEIGHTS).read_bytes()).hexdigest()
    (saved / CARD).write_text(json.dumps(content))
    with pytest.raises(ModelError, match="is damaged"):
        load_model(saved, "idc")
    assert not (tmp_path / "exploded").exists()


def test_a_card_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="can't be read"):
        read_card(tmp_path)


def test_saving_where_nothing_can_be_written_keeps_what_is_there(saved):
    before = (saved / CARD).read_bytes()
    with pytest.raises(OutputError):
        save_model(saved / CARD / "inside", card("new"), {"w": torch.zeros(1)})
    assert (saved / CARD).read_bytes() == before


def test_a_new_model_replaces_the_old_one_whole(saved):
    save_model(saved, card("new"), {"v": torch.ones(2)})
    found, weights = load_model(saved, "idc")
    assert (found.name, set(weights)) == ("new", {"v"})
    assert [p.name for p in saved.parent.iterdir()] == ["small"]


def test_embedded_models_fit_their_cards():
    folders = [card.parent for card in zoo().glob(f"*/{CARD}")]
    assert folders
    for folder in folders:
        embedded, weights = load_model(folder, read_card(folder).task)
        assert embedded.name == folder.name
        assert weights


@pytest.mark.parametrize(
    "error", [KeyError("a"), OverflowError("large"), IndexError(), RuntimeError("a\nb")]
)
def test_what_can_not_be_built_from_a_card_is_one_line(error):
    told = pytest.raises(ModelError, match=r"'small' does not fit this version: .")
    with told as raised, fitting(card(), "discriminator"):
        raise error
    assert "\n" not in str(raised.value)
