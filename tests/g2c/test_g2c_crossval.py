"""Arms, generators that don't fit, runs of several arms, and what evaluation says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from g2c_stand_ins import SMALL, images, pair

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.models import read_card
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.errors import DataFolderError, ModelError, ModelNotFoundError
from napari_pathogan.tasks.virtual_stain.g2c import generators
from napari_pathogan.tasks.virtual_stain.g2c.config import TrainConfig
from napari_pathogan.tasks.virtual_stain.g2c.contract import evaluated
from napari_pathogan.tasks.virtual_stain.g2c.crossval import check, learn
from napari_pathogan.tasks.virtual_stain.g2c.data import groups, read_folder
from napari_pathogan.tasks.virtual_stain.g2c.explain import contributions
from napari_pathogan.tasks.virtual_stain.g2c.generators import arms, load_stainers, split
from napari_pathogan.tasks.virtual_stain.g2c.model import G2CModel
from napari_pathogan.tasks.virtual_stain.stains import SourceStainError


def trained(folder, run, config=None, **options):
    """The last event of a small training."""
    run = RunFolder(run)
    run.start({}, resume=run.path.exists())
    config = config or TrainConfig(**SMALL)
    events = list(learn(folder, config, run, device="cpu", **options))
    assert isinstance(events[-1], Finished)
    return events[-1]


# arms and generators


def test_each_arm_has_its_generators(pairs):
    made = load_stainers(pairs, "he")
    assert [one.stain for one in made] == ["pas", "masson", "pasm"]
    assert arms("all", made) == {"all": (0, 1, 2)}
    assert arms("masson", made) == {"masson": (1,)}
    assert arms("source", ()) == {"source": ()}
    every = arms("every", made)
    assert list(every) == ["source", "pas", "masson", "pasm", "all"]
    assert list(map(len, every.values())) == [0, 1, 1, 1, 3]
    assert list(arms("every", made[:1])) == ["source", "all"]


def test_a_pair_is_taken_from_the_images_own_end(pairs):
    (made,) = load_stainers(pairs[2:], "he")
    (back,) = load_stainers(pairs[2:], "pasm")
    assert (made.stain, back.stain) == ("pasm", "he")
    assert not (made.network.first.weight == back.network.first.weight).all()


@pytest.mark.parametrize(
    ("config", "options", "error", "said"),
    [
        ({}, {}, SettingError, "arm=all needs generators"),
        ({"arm": "pas"}, {"stain": "he", "generators": [1]}, SettingError, "not among source, masson"),
        ({"arm": "source"}, {"stain": "he", "generators": [0]}, SettingError, "count for nothing"),
        ({}, {"generators": [0]}, SettingError, "nobody says which stain"),
        ({}, {"stain": "he", "generators": [0, 0]}, SettingError, "both make pas of he"),
        ({}, {"stain": "masson", "generators": [0, 1]}, SourceStainError, "he-pas takes an image in"),
        ({}, {"stain": "he", "generators": ["gone"]}, ModelNotFoundError, "'gone'"),
        ({"arm": "source", "frozen_trunk": True}, {}, SettingError, "backend=resnet must learn"),
        ({"arm": "source", "backend": "gone"}, {}, ModelNotFoundError, "'gone'"),
        ({"arm": "source"}, {"folds": 4}, DataFolderError, "4 folds of 3 patients"),
    ],
    ids=lambda one: "" if isinstance(one, dict) else str(one),
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(  # noqa: PLR0917
    folder, pairs, config, options, error, said
):
    named = [pairs[one] if isinstance(one, int) else one for one in options.get("generators", ())]
    with pytest.raises(error, match=said) as raised:
        check(folder, TrainConfig(**{**SMALL, **config}), **{**options, "generators": named})
    assert "\n" not in str(raised.value)


def test_a_fold_that_would_learn_one_class_is_refused(tmp_path):
    images(tmp_path, patients=("ann",))
    images(tmp_path, patients=("bob",), classes=("0",))
    with pytest.raises(DataFolderError, match="no readable image of class 1"):
        check(read_folder(tmp_path), TrainConfig(**{**SMALL, "arm": "source"}), folds=2)


def test_names_stand_between_commas():
    assert split("a, b,c") == ("a", "b", "c")
    with pytest.raises(ValueError, match="empty name"):
        split("a,,b")


# runs


def test_every_arm_is_tested_on_the_same_folds_and_tables_are_written(folder, pairs, tmp_path):
    config = TrainConfig(**{**SMALL, "arm": "every", "epochs": 1})
    done = trained(folder, tmp_path / "run", config, generators=pairs[:2], stain="he", folds=3)
    assert len(done.result) == 4
    for one in done.result:
        assert one.counts["n_patients"] == 3
        assert one.metrics["gap"].value == pytest.approx(
            one.metrics["training_balanced_accuracy"].value - one.metrics["balanced_accuracy"].value
        )
    text = (tmp_path / "run" / "tables.md").read_text()
    for row in ("HE_SOURCE", "HE_PAS", "HE_MASSON", "HE_ALL"):
        assert f"| {row} |" in text
    for head in (
        "| arm | 0 | 1 | Avg |",
        "Training | Testing | Gap",
        "F1 | Acc | AUC",
        "less HE_SOURCE",
    ):
        assert head in text
    for arm, stains in (("source", ("he",)), ("pas", ("he", "pas"))):
        assert G2CModel.load(tmp_path / "run/arms" / arm, "cpu").stains == stains
    assert G2CModel.load(tmp_path / "run", "cpu").stains == ("he", "pas", "masson")
    card = read_card(tmp_path / "run/model")
    assert card.metrics["balanced_accuracy"].value is not None
    assert "ann" not in card.model_dump_json()


def test_a_model_says_what_its_network_said(folder, pairs, tmp_path):
    trained(folder, tmp_path / "run", generators=pairs[:1], stain="he")
    model = G2CModel.load(tmp_path / "run", "cpu")
    parts = [model.logits(folder.images[:10]), model.logits(folder.images[10:])]
    np.testing.assert_allclose(np.concatenate(parts), model.logits(folder.images), atol=0.05)
    shares = model.probability(parts[0])
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    assert model.logits([]).shape == (0, 2)


@pytest.fixture
def as_embedded(monkeypatch, pairs, tmp_path):
    """The pairs, as if they were in every installation."""
    monkeypatch.setattr(generators, "zoo", lambda: tmp_path / "pairs")
    return pairs


@pytest.mark.parametrize("joint", [False, True])
def test_embedded_generators_are_named_unless_they_learnt(folder, as_embedded, tmp_path, joint):
    config = TrainConfig(**{**SMALL, "joint": joint})
    trained(folder, tmp_path / "run", config, generators=as_embedded[:1], stain="he")
    card = read_card(tmp_path / "run/model")
    assert card.settings["generators"][0]["named"] != joint
    assert card.settings["generators"][0]["model"] == "he-pas"


def test_a_named_generator_must_be_there_and_the_same(folder, as_embedded, tmp_path, monkeypatch):
    config = TrainConfig(**{**SMALL, "joint": False})
    trained(folder, tmp_path / "run", config, generators=as_embedded[:1], stain="he")
    with pytest.raises(ModelNotFoundError, match="by the generator he-pas, which is missing"):
        G2CModel.load(tmp_path / "run", "cpu")
    monkeypatch.chdir(tmp_path / "pairs")
    expected = G2CModel.load(tmp_path / "run", "cpu")
    assert expected.stains == ("he", "pas")
    pair(tmp_path / "pairs", seed=9)
    with pytest.raises(ModelError, match="not those that this model was trained with"):
        G2CModel.load(tmp_path / "run", "cpu")


def test_a_still_training_gives_the_model_that_looks_anew(folder, pairs, tmp_path):
    config = TrainConfig(
        **{**SMALL, "backend": "efficientnet-lite0", "frozen_trunk": True, "joint": False},
        flips=False, brightness=0.0, saturation=0.0,
    )  # fmt: skip
    done = trained(folder, tmp_path / "run", config, generators=pairs[:1], stain="he", folds=3)
    assert done.result[0].counts["n_images"] == 24
    model = G2CModel.load(tmp_path / "run", "cpu")
    recall = (model.logits(folder.images).argmax(1) == folder.labels)[folder.labels == 1].mean()
    assert model.card.settings["training_accuracy"]["1"] == pytest.approx(recall, abs=0.1)
    weights = tmp_path / "run/model/weights.safetensors"
    assert weights.stat().st_size < 300_000  # neither the trunk nor nothing: a pair and a front


# evaluating


@pytest.fixture
def levels(tmp_path):
    """Glomeruli of three kinds, and models of the two levels."""
    data = images(tmp_path / "glomeruli", classes=("gs", "noa", "ss"))
    config = TrainConfig(**{**SMALL, "arm": "source", "epochs": 1})
    for name, classes in (("first", "noa,s=ss+gs"), ("second", "gs,ss")):
        trained(read_folder(data, groups(classes)), tmp_path / name, config)
    return data


def test_the_second_level_is_counted_both_ways(levels, tmp_path):
    model = G2CModel.load(tmp_path / "second", "cpu")
    report = evaluated(levels, model, first=str(tmp_path / "first"))
    metrics = report.metrics
    assert {"accuracy_gs", "accuracy_ss", "balanced_accuracy", "f1", "auc", "gap"} <= metrics.keys()
    assert metrics["through_balanced_accuracy"].value <= metrics["balanced_accuracy"].value
    level = G2CModel.load(tmp_path / "first", "cpu")
    found = read_folder(levels, groups("gs,ss"))
    right = level.logits(found.images).argmax(1) == 1
    called = model.logits(found.images).argmax(1) == found.labels
    for kind, name in enumerate(("gs", "ss")):
        own = found.labels == kind
        assert metrics[f"through_accuracy_{name}"].value == pytest.approx(
            (called & right)[own].mean()
        )
        if right.any():
            given = metrics[f"given_accuracy_{name}"].value
            expected = called[own & right].mean() if (own & right).any() else None
            assert given == (expected if expected is None else pytest.approx(expected))
    assert any("as in the paper" in note for note in report.notes)
    assert any("too good" in note for note in report.notes)
    json.dumps(report.to_dict())


def test_levels_and_arms_that_do_not_fit_are_refused(levels, tmp_path):
    model = G2CModel.load(tmp_path / "first", "cpu")
    with pytest.raises(SettingError, match="is no first level"):
        evaluated(levels, model, first=str(tmp_path / "second"))
    with pytest.raises(SettingError, match="can't be compared"):
        evaluated(levels, model, against=str(tmp_path / "second"))


def test_an_arm_gains_nothing_on_itself(levels, tmp_path):
    model = G2CModel.load(tmp_path / "first", "cpu")
    report = evaluated(levels, model, against=str(tmp_path / "first"))
    assert report.metrics["balanced_accuracy_gain"] == (0, 0, 0)
    assert report.metrics["patient_p"].value is None


# explaining


def test_contributions_add_up_and_say_which_stain_changed_the_decision(folder, pairs, tmp_path):
    trained(folder, tmp_path / "run", generators=pairs[:2], stain="he")
    model = G2CModel.load(tmp_path / "run", choose_device("cpu").name)
    model.network.front.weight.normal_(0, 3)  # decisions that differ
    said = contributions(model, folder.images)
    assert said.parts.shape == (24, 3, 2)
    np.testing.assert_allclose(said.baseline + said.parts.sum(1), said.logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(said.logits, model.logits(folder.images), atol=0.3, rtol=0.05)
    for number in range(24):
        text = said.said(number)
        assert said.classes[said.decision[number]] in text
        alone = said.source_alone[number] == said.decision[number]
        assert ("alone already" in text) == alone
        assert text.startswith(said.classes[said.decision[number]])
    assert said.changed.shape == (24, 2)
    assert said.without.shape == (24, 3)
    without = (said.logits - said.parts[:, 1]).argmax(1)
    np.testing.assert_array_equal(said.without[:, 1], without)
