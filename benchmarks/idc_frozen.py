"""Does a head on a frozen trunk hold in other colours? ``python benchmarks/idc_frozen.py DIR``.

Each patient of a folder of patches is left out in turn. Heads are fitted to the others in their own
colours, and to both these and the reference's; they look at the patient as they are and in
foreign colours (carried 1.2 times the way to those of another patient), each plainly and carried
half way to the reference, as heat maps do.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.backbones import DEFAULT
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.pixels import as_input
from napari_pathogan.tasks.idc.calibrate import UNFITTED, fit
from napari_pathogan.tasks.idc.config import RECIPES
from napari_pathogan.tasks.idc.context import Context, on_grids
from napari_pathogan.tasks.idc.crossval import PRETRAINED_SHARE, SHARES, SIGMAS
from napari_pathogan.tasks.idc.data import read_patches
from napari_pathogan.tasks.idc.frozen import FrozenHead
from napari_pathogan.tasks.idc.metrics import auc, patient_aucs

if TYPE_CHECKING:
    from napari_pathogan.tasks.idc.data import PatchFolder

FURTHER = 1.2  # than the other patient's colours
Map = tuple[np.ndarray, np.ndarray] | None


def features(head: FrozenHead, images: np.ndarray, recolour: Map) -> np.ndarray:
    """What the head's trunk sees of patches."""
    device, found = choose_device("auto"), []
    for start in range(0, len(images), 128):
        part = torch.from_numpy(np.ascontiguousarray(images[start : start + 128]))
        with torch.inference_mode(), device.autocast:
            x = as_input(part.to(device.torch), recolour)
            found.append(head.features(x).cpu().numpy())
    return np.concatenate(found)


def shifted(images: np.ndarray, own: SlideColours, other: SlideColours) -> np.ndarray:
    """Patches in foreign colours, as bytes."""
    matrix, offset = own.map_to(other, FURTHER)
    return np.clip(np.rint((images / 255 @ matrix.T + offset) * 255), 0, 255).astype(np.uint8)


def seen(patches: PatchFolder, head: FrozenHead) -> dict[str, np.ndarray]:
    """Features (N, F) of all patches in all ways."""
    rng = np.random.default_rng(0)
    own = {n: SlideColours.measure(patches.of([n]).images) for n in patches.names}
    reference = SlideColours.average(list(own.values()))
    ways = {
        way: np.empty((len(patches), sum(head.parts)), np.float32)
        for way in ("own", "reference", "own, half way", "foreign", "foreign, half way")
    }
    for name in patches.names:
        which = patches.patients == name
        images = patches.images[which]
        strange = shifted(images, own[name], own[rng.choice([n for n in own if n != name])])
        back = SlideColours.measure(strange).map_to(reference, PRETRAINED_SHARE)
        ways["own"][which] = features(head, images, None)
        ways["reference"][which] = features(head, images, own[name].map_to(reference))
        half = own[name].map_to(reference, PRETRAINED_SHARE)
        ways["own, half way"][which] = features(head, images, half)
        ways["foreign"][which] = features(head, strange, None)
        ways["foreign, half way"][which] = features(head, strange, back)
    return ways


def logits(
    patches: PatchFolder, head: FrozenHead, learnt: list[np.ndarray], looked: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Logits (N,) of each patient by a head fitted to the others, for each way to look."""
    out = {way: np.empty(len(patches)) for way in looked}
    for name in patches.names:
        test = patches.patients == name
        labels = np.tile(patches.labels[~test], len(learnt))
        head.fit(np.concatenate([one[~test] for one in learnt]), labels, RECIPES["quick"].c)
        for way, one in looked.items():
            with torch.inference_mode():
                out[way][test] = head.idc(torch.from_numpy(one[test]))[:, 0].numpy()
    return out


def called(patches: PatchFolder, scores: np.ndarray, home: np.ndarray) -> float:
    """Balanced accuracy of calls by calibrations fitted to other patients' logits at home."""
    right = np.zeros(len(patches), bool)
    for name in patches.names:
        test = patches.patients == name
        fitted = fit(home[~test], patches.labels[~test], patches.patients[~test])
        call = fitted.probability(scores[test][:, None])[0] >= fitted.threshold
        right[test] = call == (patches.labels[test] == 1)
    return float(np.mean([right[patches.labels == label].mean() for label in (0, 1)]))


def main() -> None:
    """Print a JSON line for each way to learn and to look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default=DEFAULT)
    asked = parser.parse_args()
    patches = read_patches(asked.folder).labelled
    head = FrozenHead(asked.backbone, RECIPES["quick"].side)
    ways = seen(patches, head)
    near = Context(SIGMAS, SHARES, UNFITTED)
    for title, learnt in {
        "own colours": [ways["own"]],
        "own and the reference's": [ways["own"], ways["reference"]],
    }.items():
        looked = {way: one for way, one in ways.items() if way != "reference"}
        found = logits(patches, head, learnt, looked)
        mixed = {w: on_grids(patches, x[:, None], near)[:, 0] for w, x in found.items()}
        for way, scores in mixed.items():
            home = mixed[way.replace("foreign", "own")]
            each = patient_aucs(patches.labels, scores, patches.patients).values()
            row = {
                "learnt": title,
                "looked at": way,
                "heat_map_auc": round(auc(patches.labels, scores) or 0, 4),
                "within": round(float(np.mean(list(each))), 4),
                "balanced_accuracy": round(called(patches, scores, home), 4),
                "patch_auc": round(auc(patches.labels, found[way]) or 0, 4),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
