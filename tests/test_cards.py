"""What the card of every embedded model says of its figures, of those to come too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from napari_pathogan.engine.models import (
    CARD,
    LOOKED_ONCE,
    Metric,
    ModelCard,
    read_card,
    save_model,
    zoo,
)

CARDS = sorted(folder.parent.name for folder in zoo().glob(f"*/{CARD}"))
BACKBONE = "backbone"  # predicts nothing by itself
UNMEASURED = {"masses-blending", "nuclei-classes-tnbc"}


@pytest.mark.parametrize("name", CARDS)
def test_it_says_on_whom_how_often_looked_at_and_by_which_command(name):
    card = read_card(zoo() / name)
    assert card.training_data
    assert card.not_for
    if card.task == BACKBONE:
        return
    assert card.looks
    if not card.metrics:
        assert name in UNMEASURED
        assert card.looks.startswith("never: ")
        assert not card.measured_by
        return
    assert card.measured_by.startswith(("pathogan ", "python benchmarks/"))
    unseen = ("out of fold", "left out", "held out", "had not seen", "was not", "four others")
    assert any(words in card.measured_by for words in unseen)


def test_what_is_trained_anew_was_looked_at_once(tmp_path):
    card = ModelCard(name="a", title="A", task="t", architecture="a")
    assert not save_model(tmp_path / "a", card, {}).looks
    measured = card.model_copy(update={"metrics": {"auc": Metric(value=0.5)}})
    assert save_model(tmp_path / "b", measured, {}).looks == LOOKED_ONCE
    own = measured.model_copy(update={"looks": "twice"})
    assert save_model(tmp_path / "c", own, {}).looks == "twice"


def test_readme_says_of_masses_what_the_card_says():
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
    said = re.search(r"detector finds (\d+) % of the masses at 0\.5", " ".join(readme.split()))
    found = read_card(zoo() / "masses-inbreast").metrics["tpr_at_0.5"].value
    assert int(said[1]) == round(100 * found)
