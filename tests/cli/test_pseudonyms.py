"""No training writes a patient's, slide's or image's name; evaluations know whom a model knows."""

from __future__ import annotations

import json

import pytest

from napari_pathogan.engine.models import CARD
from napari_pathogan.engine.patients import pseudonym
from napari_pathogan.tasks import task_of
from tiny_data import NAMES, TINY


@pytest.mark.parametrize("name", [name for name in TINY if task_of(name).evaluation])
def test_no_name_is_written_and_evaluations_know_whom_a_model_knows(pathogan, tmp_path, name):
    tiny, words = TINY[name], task_of(name).words.split()
    data, run = tmp_path / "data", tmp_path / "run"
    tiny.make(data)
    folders = tiny.folders(data)
    code, _, said = pathogan(*words, "train", *folders, "-o", run, *tiny.words(device="cpu"))
    assert code == 0, said
    for path in run.rglob("*"):
        assert "muster" not in path.name.lower()
        assert path.is_dir() or b"muster" not in path.read_bytes().lower(), path

    card = run / "model" / CARD
    content = json.loads(card.read_text())
    (learnt,) = content["training_data"]
    assert learnt["patients"]
    word = task_of(name).model_word
    asked = (folders * 2)[: len(task_of(name).evaluation.folders)]
    asked = (*words, "evaluate", *asked, f"--{word}", run, "--json")
    for older in (False, True):
        if older:
            whose = {pseudonym(name): name for name in (*NAMES, *(f"{n}.png" for n in NAMES))}
            learnt["patients"] = [whose[name] for name in learnt["patients"]]
            del learnt["pseudonyms"]
            card.write_text(json.dumps(content))
        code, out, said = pathogan(*asked)
        assert code == 0, said
        notes = json.loads(out)["notes"]
        assert any("2 of these 2" in note or "from 2 of the target's" in note for note in notes)
