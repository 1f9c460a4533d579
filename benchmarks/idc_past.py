"""Give a frozen IDC model what retraining begins with: ``python benchmarks/idc_past.py MODEL DIR``.

Models that are trained now keep it themselves; this is for those of earlier versions. The head is not
fitted anew: what it is held by is measured on the patches it was trained on, in their own colours and in
the reference's. Writes ``past.safetensors`` beside the weights, which stay as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from idc_frozen import features
from safetensors.numpy import save

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.models import PAST
from napari_pathogan.files import written
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.idc.data import read_patches
from napari_pathogan.tasks.idc.frozen import FrozenHead
from napari_pathogan.tasks.idc.model import IdcModel


def main() -> None:
    """Measure it and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    model = IdcModel.load(asked.model, device="cpu")
    network, patches = model.network, read_patches(asked.folder).labelled
    assert isinstance(network, FrozenHead)
    looks = np.empty((2, len(patches), sum(network.parts)), np.float32)
    for name in patches.names:
        which = patches.patients == name
        carried = SlideColours.measure(patches.images[which]).map_to(model.reference)
        for look, recolour in zip(looks, (None, carried), strict=True):
            seen = features(network, patches.images[which], recolour)
            look[which] = seen[:, : look.shape[1]]
    labels = np.tile(patches.labels, 2)
    recipe = model.card.recipe
    network.remember(patches.images, np.concatenate(looks), labels, recipe["c"])
    assert network.past is not None
    with written(asked.model / PAST, OURS) as beside:
        beside.write_bytes(save(network.past.to_arrays(), {"weights": model.card.sha256}))
    print(asked.model / PAST, (asked.model / PAST).stat().st_size, "bytes")


if __name__ == "__main__":
    main()
