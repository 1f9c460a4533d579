"""Simulated readers: Gaussian evidence, a true d' and criterion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.study.example import play
from napari_pathogan.study.layout import read_key

if TYPE_CHECKING:
    from napari_pathogan.study.record import Study, Trial


def simulate(study: Study, name: str, d_prime: float, criterion: float, seed: int) -> None:
    """Answer everything; evidence for the signal is normal around plus or minus half of d'."""
    rng = np.random.default_rng(seed)
    key = read_key(study.folder, None, study.manifest)
    pairs = study.manifest.mode == "pairs"
    half = d_prime * (math.sqrt(2) if pairs else 1) / 2

    def judge(images: tuple[str, ...], _: Trial) -> tuple[str, int, float]:
        truth = key.truth[images[0]]
        if truth.source == "control":
            signal, said = truth.real is pairs, truth.real is pairs
            evidence = 9.0 if said else -9.0
        else:
            signal = truth.real is pairs
            evidence = rng.normal(half if signal else -half) - criterion
        sure = 1 + min(4, int(2 * abs(evidence)))
        choice = study.choices[0 if evidence > 0 else 1] if pairs else None
        choice = choice or ("generated" if evidence > 0 else "real")
        return choice, sure, float(rng.lognormal(1, 0.4))

    play(study, name, judge)
