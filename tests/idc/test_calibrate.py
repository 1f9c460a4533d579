"""Calibration: probabilities that mean what they say, and the spread between patients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from napari_pathogan.tasks.idc import calibrate


def patients_with_shifts(shifts: list[float], n: int = 800, seed: int = 0):
    """Logits (N,), labels and patients; each patient's log odds are off by its shift."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (len(shifts), n))
    labels = rng.random(logits.shape) < expit(logits + np.array(shifts)[:, None])
    names = np.repeat([f"p{i}" for i in range(len(shifts))], n)
    return logits.ravel(), labels.ravel().astype(int), names


def test_finds_the_spread_between_patients():
    shifts = [-2.0, -1.0, 0.0, 1.0, 2.0]
    fitted = calibrate.fit(*patients_with_shifts(shifts))
    # the slope shrinks a little as shifts blur the pooled curve, and the shifts with it
    assert fitted.patient_sd == pytest.approx(np.std(shifts), rel=0.25)


def test_spread_stays_finite_for_a_patient_that_is_sure_and_wrong():
    logits, labels, names = patients_with_shifts([0.0, 0.0])
    labels[names == "p1"] = logits[names == "p1"] < 0
    logits[names == "p1"] *= 10
    assert 0 < calibrate.fit(logits, labels, names).patient_sd < 3
