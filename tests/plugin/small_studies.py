"""Small studies for the tests of the reader study's dock."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from napari_pathogan.study.design import make_config, new_study
from napari_pathogan.study.record import Study


def make_images(folder, n, seed, size=24):
    """A folder of noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(n):
        pixels = rng.integers(0, 255, (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def make_study(folder, n, *, mode="yes-no", **session):
    """A study of n real and n generated images of noise."""
    sources = {
        kind: [{"folder": make_images(folder / kind, n + 4, seed)}]
        for seed, kind in enumerate(("real", "generated"))
    }
    settings = {"name": "Noise", "mode": mode, "n_real": n, "n_generated": n, **sources}
    for _ in new_study(make_config({**settings, "session": session}), folder / "study"):
        pass
    return Study.open(folder / "study")


def answers(study):
    """All answers on the disk, as they were written, in order."""
    (record,) = (study.folder / "readers").glob("*.jsonl")
    lines = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
    return [line for line in lines if line["what"] == "answer"]
