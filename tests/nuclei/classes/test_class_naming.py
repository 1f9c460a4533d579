"""Classes have names only where somebody has checked what they are."""

from __future__ import annotations

import json

import pytest

from napari_pathogan.engine.models import CARD, ModelCard, Validation, find_models, read_card
from napari_pathogan.errors import ModelError
from napari_pathogan.tasks.nuclei_classes.model import TASK, ClassModel
from napari_pathogan.tasks.nuclei_classes.naming import PALETTE, UNLABELLED, naming

GROUPS = ("group A", "group B", "group C")
COLON = Validation(organ="colon", mpp=(0.44, 0.66), n_images=40, accuracy={"value": 0.71})


def card(*validated_on):
    return ModelCard(
        name="m",
        title="M",
        task=TASK,
        architecture="infogan",
        classes=("epithelial", "fibroblast", "inflammatory"),
        settings={"colours": ["#ff0000", "#00ff00", "#0000ff"]},
        validated_on=validated_on,
    )


@pytest.mark.parametrize(
    ("validated_on", "tissue", "mpp", "named"),
    [
        ((COLON,), "colon", (0.5, 0.5), True),
        ((COLON,), " Colon", (0.44, 0.66), True),
        ((COLON,), "colon", (0.25, 0.25), False),  # another scale
        ((COLON,), "colon", (0.5, 1.0), False),
        ((COLON,), "colon", None, False),
        ((COLON,), "breast", (0.5, 0.5), False),  # another organ
        ((COLON,), "", (0.5, 0.5), False),  # nobody has said
        ((), "colon", (0.5, 0.5), False),  # a model of an older version
        ((), "", (0.5, 0.5), False),
    ],
)
def test_names_hold_for_the_organ_and_scale_of_the_check_alone(validated_on, tissue, mpp, named):
    known = naming(card(*validated_on), tissue, mpp)
    assert known.validated == named
    assert known.names == (card().classes if named else GROUPS)
    assert UNLABELLED in known.note
    if named:
        assert known.colours == tuple(card().settings["colours"])
        assert "71 % right" in known.note
    else:
        assert known.colours == PALETTE[:3]
        assert ("colon at 0.44 to 0.66" in known.note) == bool(validated_on)


def test_no_neutral_colour_is_red():
    for colour in PALETTE:
        red, green, blue = bytes.fromhex(colour[1:])
        assert max(green, blue) >= 0.5 * red


@pytest.mark.parametrize("name", find_models(TASK))
def test_no_embedded_model_names_what_was_not_checked(name):
    own = read_card(find_models(TASK)[name])
    assert naming(own).names == GROUPS
    for tissue in ("breast", "other", "", *(checked.organ for checked in own.validated_on)):
        for scale in (0.1, 0.25, 0.55, 1.0):
            known = naming(own, tissue, (scale, scale))
            checked = any(c.covers(tissue, (scale, scale)) for c in own.validated_on)
            assert (known.names == GROUPS) != checked
    if not own.validated_on:  # nowhere, so not even in the card
        assert own.classes == GROUPS


def test_the_users_names_stand_where_they_were_given(tmp_path):
    model = ClassModel.load("nuclei-classes-crc", device="cpu")
    mine = ("tumour", "stroma", "lymphocyte")
    model.regrouped(mine).save(tmp_path / "mine")
    loaded = ClassModel.load(tmp_path / "mine", device="cpu")
    assert loaded.naming("breast", (0.25, 0.25)).names == mine
    assert loaded.naming().names == mine
    assert "yours" in loaded.naming().note
    assert loaded.naming("colon", (0.5, 0.5)).names == model.card.classes
    both = loaded.renamed(("E", "F", "I"))
    assert both.naming("colon", (0.5, 0.5)).names == ("E", "F", "I")
    assert both.naming("breast", (0.5, 0.5)).names == mine


def test_a_card_whose_groups_do_not_fit_is_refused(tmp_path):
    model = ClassModel.load("nuclei-classes-crc", device="cpu")
    model.regrouped(("a", "b", "c")).save(tmp_path / "m")
    file = tmp_path / "m" / CARD
    text = json.loads(file.read_text())
    text["settings"]["groups"]["names"] = ["a", "b"]
    file.write_text(json.dumps(text))
    with pytest.raises(ModelError, match="2 names and 3 colours for 3 classes"):
        ClassModel.load(tmp_path / "m", device="cpu")
