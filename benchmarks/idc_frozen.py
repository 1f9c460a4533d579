"""Does a head on a frozen trunk hold in other colours? ``python benchmarks/idc_frozen.py DIR``.

Each patient of a folder of patches is left out in turn. Heads are fitted to the others in their own
colours, and to both these and the reference's, and the latter teach a small network; they look at
the patient as they are and in foreign colours (carried 1.2 times the way to those of another
patient), each plainly and carried half way to the reference, as heat maps do.
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
from napari_pathogan.tasks.idc.augment import Palette
from napari_pathogan.tasks.idc.calibrate import UNFITTED, fit
from napari_pathogan.tasks.idc.config import RECIPES
from napari_pathogan.tasks.idc.context import Context, on_grids
from napari_pathogan.tasks.idc.crossval import PRETRAINED_SHARE, SHARES, SIGMAS
from napari_pathogan.tasks.idc.data import read_patches
from napari_pathogan.tasks.idc.frozen import FrozenHead
from napari_pathogan.tasks.idc.metrics import auc, patient_aucs
from napari_pathogan.tasks.idc.score import score
from napari_pathogan.tasks.idc.student import distil

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from napari_pathogan.engine.events import Event
    from napari_pathogan.tasks.idc.data import PatchFolder
    from napari_pathogan.tasks.idc.network import Discriminator

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


def ways(patches: PatchFolder) -> Iterator[tuple[str, np.ndarray, np.ndarray, Map]]:
    """Each way to look at each patient: its name, which patches, in what colours, carried how."""
    rng = np.random.default_rng(0)
    own = {n: SlideColours.measure(patches.of([n]).images) for n in patches.names}
    reference = SlideColours.average(list(own.values()))
    for name in patches.names:
        which = patches.patients == name
        images = patches.images[which]
        strange = shifted(images, own[name], own[rng.choice([n for n in own if n != name])])
        back = SlideColours.measure(strange).map_to(reference, PRETRAINED_SHARE)
        yield "own", which, images, None
        yield "reference", which, images, own[name].map_to(reference)
        yield "own, half way", which, images, own[name].map_to(reference, PRETRAINED_SHARE)
        yield "foreign", which, strange, None
        yield "foreign, half way", which, strange, back


def seen(patches: PatchFolder, head: FrozenHead) -> dict[str, np.ndarray]:
    """Features (N, F) of all patches in all ways."""
    found: dict[str, np.ndarray] = {}
    for way, which, images, recolour in ways(patches):
        whole = found.setdefault(way, np.empty((len(patches), sum(head.parts)), np.float32))
        whole[which] = features(head, images, recolour)
    return found


def logits(
    patches: PatchFolder, head: FrozenHead, learnt: list[str], looks: dict[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Logits (N,) of each patient by what learnt from the others, by who says so and how they look."""
    heads, students = ({way: np.empty(len(patches)) for way in looks} for _ in range(2))
    for name in patches.names:
        test = patches.patients == name
        labels = np.tile(patches.labels[~test], len(learnt))
        head.fit(np.concatenate([looks[one][~test] for one in learnt]), labels, RECIPES["quick"].c)
        for way, one in looks.items():
            heads[way][test] = head.say(one[test])
        if len(learnt) > 1:
            others, device = patches.take(~test), choose_device("auto")
            said = np.mean([head.say(looks[one][~test]) for one in learnt], 0)
            palette, epochs = Palette(others, device.torch), RECIPES["quick"].student
            student = returned(distil(others, palette, said, device, epochs=epochs))
            for way, which, images, recolour in ways(patches):
                if np.array_equal(which, test):
                    found = score(student, images, device, recolour=recolour)
                    students[way][test] = found[:, 0]
    if len(learnt) == 1:
        return {"head": heads}
    both = {way: (heads[way] + students[way]) / 2 for way in looks}
    return {"head": heads, "student": students, "both": both}


def returned(generator: Generator[Event, None, Discriminator]) -> Discriminator:
    """What a generator returns at its end."""
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value


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
    looks = seen(patches, head)
    near = Context(SIGMAS, SHARES, UNFITTED)
    for title, learnt in {
        "own colours": ["own"],
        "own and the reference's": ["own", "reference"],
    }.items():
        for who, found in logits(patches, head, learnt, looks).items():
            mixed = {w: on_grids(patches, x[:, None], near)[:, 0] for w, x in found.items()}
            for way in ("own", "own, half way", "foreign", "foreign, half way"):
                scores, home = mixed[way], mixed[way.replace("foreign", "own")]
                each = patient_aucs(patches.labels, scores, patches.patients).values()
                row = {
                    "learnt": title,
                    "says": who,
                    "looked at": way,
                    "heat_map_auc": round(auc(patches.labels, scores) or 0, 4),
                    "within": round(float(np.mean(list(each))), 4),
                    "balanced_accuracy": round(called(patches, scores, home), 4),
                    "patch_auc": round(auc(patches.labels, found[way]) or 0, 4),
                }
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
