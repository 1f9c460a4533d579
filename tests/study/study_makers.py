"""What tests of studies are made of: noise images, studies, simulated readers."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_pathogan.engine.events import Warn
from napari_pathogan.errors import StudyError
from napari_pathogan.study.config import make_config
from napari_pathogan.study.design import new_study
from napari_pathogan.study.example import play
from napari_pathogan.study.layout import key_path, read_key
from napari_pathogan.study.record import Study

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.study.record import Session, Trial


def noise_images(folder: Path, n: int, seed: int, side: int = 16) -> Path:
    """Write ``n`` different images."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number:03}.png")
    return folder


def made(settings: dict, folder: Path) -> Study:
    *_, finished = new_study(make_config(settings), folder)
    return finished.result


def events(settings: dict, folder, draw=None) -> list:
    return list(new_study(make_config(settings), folder, draw))


def warnings(settings: dict, folder, draw=None) -> list[str]:
    return [x.message for x in events(settings, folder, draw) if isinstance(x, Warn)]


def small(sources: dict, **changed) -> dict:
    return {**sources, "n_real": 8, "n_generated": 8, **changed}


def refused(settings: dict, folder, said: str, draw=None) -> None:
    with pytest.raises(StudyError, match=said):
        events(settings, folder, draw)
    assert not folder.exists()
    assert not key_path(folder).exists()


def copied(template: Path, folder: Path) -> Study:
    """A copy of a study with its key, as a user would copy it."""
    shutil.copytree(template, folder)
    shutil.copy(key_path(template), key_path(folder))
    return Study.open(folder)


def answer(session: Session, times: int = 1, choice: str | None = None) -> list[str]:
    """Answer some trials; their ids."""
    done = []
    for _ in range(times):
        trial = session.trial
        assert trial is not None
        done.append(trial.id)
        session.answer(choice or session.study.choices[0], 3, 1.5, trial=trial.id)
    return done


def lines(study: Study) -> list[str]:
    (path,) = (study.folder / "readers").glob("*.jsonl")
    return path.read_text("utf-8").splitlines()


def simulate(study: Study, name: str, d_prime: float, criterion: float, seed: int) -> None:
    """Answer everything; evidence for the signal is normal around plus or minus half of d'.

    The order is secret and new in every study, so each kind of trial has random numbers of its
    own: how many answers are right depends on the seed alone.
    """
    key = read_key(study.folder, None, study.manifest)
    items = {item.id: item for item in study.manifest.items}
    pairs = study.manifest.mode == "pairs"
    half = d_prime * (math.sqrt(2) if pairs else 1) / 2
    streams: dict[tuple, np.random.Generator] = {}

    def judge(images: tuple[str, ...], trial: Trial) -> tuple[str, int, float]:
        signal = key.truth[images[0]].real is pairs
        item, _, time = trial.id.partition(".")
        kind = items[item].kind
        number = [seed, signal, len(kind), int(time)]
        rng = streams.setdefault(tuple(number), np.random.default_rng(number))
        evidence = rng.normal(half if signal else -half) - criterion
        if kind == "control":
            evidence = 9.0 if signal else -9.0
        sure = 1 + min(4, int(2 * abs(evidence)))
        choice = study.choices[(evidence > 0) is not pairs]
        return choice, sure, float(rng.lognormal(1, 0.4))

    play(study, name, judge)
