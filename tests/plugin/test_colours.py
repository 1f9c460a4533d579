"""Colours with different meanings in one view are told apart, also by those who see fewer of them."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_pathogan.engine.models import zoo
from napari_pathogan.plugin.idc.layers import OUTLINE_COLOUR
from napari_pathogan.plugin.masses.layers import COLOURS
from napari_pathogan.plugin.nuclei.colours import FOUND_COLOUR
from napari_pathogan.plugin.nuclei.layers import RING_COLOURS
from napari_pathogan.plugin.viewer.lines import FRAME_COLOUR
from napari_pathogan.tasks import task_of
from napari_pathogan.tasks.nuclei_classes.naming import PALETTE

LEAST = 20  # CIEDE2000
# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
VISION = {
    "usual": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
MODELS = sorted(path.name for path in zoo().glob("nuclei-classes-*"))
VIEWS = {
    "masses": tuple(COLOURS.values()),
    "IDC": (*task_of("idc").retraining.classes.values(), OUTLINE_COLOUR, FRAME_COLOUR),
    "groups of nuclei": (*PALETTE[:5], RING_COLOURS[0]),
    "nuclei without classes": (FOUND_COLOUR, RING_COLOURS[0]),
    **{
        name: tuple(json.loads((zoo() / name / "model.json").read_text())["settings"]["colours"])
        + RING_COLOURS[:1]
        for name in MODELS
    },
}


def seen(colour, vision):
    """L*a*b* of a colour as it is seen."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(VISION[vision]) @ linear, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(shown[None, None])[0, 0]


def difference(one, other, vision):
    return float(deltaE_ciede2000(seen(one, vision), seen(other, vision)))


def test_the_measure_knows_what_is_confused():
    assert difference("#e5484d", "#46a758", "usual") > 60
    assert difference("#e5484d", "#46a758", "deutan") < 5


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("view", VIEWS)
def test_colours_in_one_view_are_told_apart(view, vision):
    for one, other in itertools.combinations(VIEWS[view], 2):
        apart = difference(one, other, vision)
        assert apart >= LEAST, f"{one} and {other}: {apart:.0f}"
