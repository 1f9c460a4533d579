"""Does a reader's annotating pay? ``python benchmarks/retrain.py DIR``: a simulated doctor.

Each patient of a folder of patches is left out in turn: a head and its student learn from the others.
Then a doctor, who knows the true labels, annotates patches of the patient, chosen at random or by the
model, and the head is refitted to them (:mod:`napari_pathogan.tasks.idc.live`, as the dock and
``pathogan retrain`` do). Measured is the AUC on the rest of the patient's patches, patch by patch and as a heat map, before and
after; with ``--deep`` also after a deep round (:mod:`napari_pathogan.tasks.idc.learn_on`) on those at random; and how far active choice is ahead of random choice on the patches that neither has annotated
(``versus``). Prints a Markdown table; intervals are of the mean over patients (bootstrap).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from idc_frozen import features, returned
from safetensors.numpy import load_file, save_file

from napari_pathogan.colour.slide_colours import SlideColours
from napari_pathogan.engine.cells import CellGrid
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.pixels import as_input
from napari_pathogan.engine.ranking import auc
from napari_pathogan.engine.refit import Past
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.files import write_text, written
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.idc import learn_on, live
from napari_pathogan.tasks.idc.augment import Palette
from napari_pathogan.tasks.idc.config import DEEP_RECIPES, RECIPES
from napari_pathogan.tasks.idc.data import PATCH_PX, read_patches
from napari_pathogan.tasks.idc.frozen import FrozenHead
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.network import to_bytes
from napari_pathogan.tasks.idc.predict import ScoringPlan
from napari_pathogan.tasks.idc.score import score
from napari_pathogan.tasks.idc.student import distil

if TYPE_CHECKING:
    from napari_pathogan.tasks.idc.data import PatchFolder
    from napari_pathogan.tasks.idc.live import AnnotatedFeatures

Kept = dict[str, np.ndarray]

COUNTS = (10, 20, 40)
SEEDS = 5  # of random choices
ROUND = 5  # patches that are annotated before the head is refitted
WAYS = ("random", "active", "versus")
DEEP, DEEP_VERSUS = "random, deep", "deep versus head"
DEEP_SEEDS = 2
STUDENT = "student."
FIT = "none: fitted to the slide"


def looks_of(patches: PatchFolder, head: FrozenHead, reference: SlideColours) -> np.ndarray:
    """All patches in their own colours, and carried to the reference: (2, N, F)."""
    looks = np.empty((2, len(patches), sum(head.parts)), np.float32)
    for name in patches.names:
        which = patches.patients == name
        carried = SlideColours.measure(patches.images[which]).map_to(reference)
        for look, recolour in zip(looks, (None, carried), strict=True):
            look[which] = features(head, patches.images[which], recolour)
    return looks


def left_out(patches: PatchFolder, looks: np.ndarray, model: IdcModel, name: str) -> Kept:
    """What a head and a student that do not know a patient are, and what they see of them."""
    own, recipe, device = patches.patients == name, RECIPES["quick"], choose_device("cpu")
    others, labels = patches.take(~own), np.tile(patches.labels[~own], 2)
    network, learnt = FrozenHead(**arguments(model, student=False)), np.concatenate(looks[:, ~own])
    network.fit(learnt, labels, recipe.c)
    said = np.mean([network.say(x) for x in looks[:, ~own]], 0)
    palette, epochs = Palette(others, device.torch), recipe.student
    network.student = returned(distil(others, palette, said, device, epochs=epochs))
    network.remember(others.images, learnt, labels, recipe.c)
    network.eval().requires_grad_(requires_grad=False)
    assert network.past is not None
    blind = replace(model, network=network, device=device)
    images = patches.images[own]
    return {
        "weight": network.idc_head.weight.numpy(),
        "bias": network.idc_head.bias.numpy(),
        "seen": blind.figures(images, blind.colours(images)).astype(np.float16),
        **{STUDENT + name: x.numpy() for name, x in network.student.state_dict().items()},
        **network.past.to_arrays(),
    }


def arguments(model: IdcModel, *, student: bool) -> dict[str, Any]:
    """Of a head like the model's."""
    return {**model.card.arguments, "student": student}


def read(
    kept: Kept, patches: PatchFolder, model: IdcModel, name: str
) -> tuple[IdcModel, AnnotatedFeatures]:
    """The model that does not know a patient, and what it sees of them; nothing is annotated yet."""
    network = FrozenHead(**arguments(model, student=True))
    with torch.no_grad():
        network.idc_head.weight.copy_(torch.from_numpy(kept["weight"]))
        network.idc_head.bias.copy_(torch.from_numpy(kept["bias"]))
    own = {k.removeprefix(STUDENT): torch.from_numpy(v) for k, v in kept.items() if STUDENT in k}
    assert network.student is not None, "it was asked for"
    network.student.load_state_dict(own)
    network.past = Past.from_arrays(kept)
    network.eval().requires_grad_(requires_grad=False)
    cells = np.stack(patches.grid(name)[1], 1)
    grid = CellGrid(tuple(cells.max(0) + 1), PATCH_PX, PATCH_PX, (1.0, 1.0))
    wanted = np.zeros(grid.shape, bool)
    wanted[tuple(cells.T)] = True
    plan = ScoringPlan(grid, wanted.astype(np.float32), wanted, np.zeros_like(wanted))
    nothing = np.zeros(0, int)
    part = live.AnnotatedFeatures(
        live.SlideFeatures(plan, cells, kept["seen"]), nothing, nothing, nothing
    )
    return replace(model, network=network), part


def refitted(
    model: IdcModel, part: AnnotatedFeatures, labels: np.ndarray, rows: np.ndarray
) -> IdcModel:
    """The model after some patches are annotated; as it was as long as they are of one class."""
    if len(np.unique(labels[rows])) < 2:
        return model
    known = live.AnnotatedFeatures(part.seen, rows, labels[rows].astype(int), np.arange(len(rows)))
    return live.refitted(model, [known])


def order(
    model: IdcModel, part: AnnotatedFeatures, labels: np.ndarray, way: str, seed: int
) -> np.ndarray:
    """Patches in the order in which they are annotated."""
    if way == "random":
        return np.random.default_rng(seed).permutation(len(labels))[: max(COUNTS)]
    rows, now = np.zeros(0, int), model
    while len(rows) < max(COUNTS):
        new = live.most_telling(now, part.seen, rows, ROUND)
        rows = np.append(rows, new)
        now = refitted(model, part, labels, rows)
    return rows[: max(COUNTS)]


def aucs(
    model: IdcModel, part: AnnotatedFeatures, labels: np.ndarray, rest: np.ndarray
) -> np.ndarray:
    """Patch by patch, and as a heat map."""
    shown = part.seen.layers(model)[0][tuple(part.seen.where.T)]
    told = live.logits(model, part.seen.figures)
    return np.array([auc(labels[rest], x[rest]) or np.nan for x in (told, shown)])


def annotated(
    blind: IdcModel, part: AnnotatedFeatures, labels: np.ndarray
) -> dict[tuple[str, int], np.ndarray]:
    """By way and number of annotated patches: AUCs before and after (2, 2), means over the seeds.

    ``versus`` has those after random and after active choice, on what neither has annotated. Nothing
    of a patient of whom too few patches are left to rank.
    """
    active = order(blind, part, labels, "active", 0)
    pairs: dict[tuple[str, int], list[np.ndarray]] = {}

    def measure(way: str, n: int, known: np.ndarray, *models: IdcModel) -> None:
        rest = np.ones(len(labels), bool)
        rest[known] = False
        if len(np.unique(labels[rest])) == 2:
            found = np.stack([aucs(model, part, labels, rest) for model in models])
            pairs.setdefault((way, n), []).append(found)

    measure(FIT, 0, np.zeros(0, int), blind, live.fitted(blind, part.seen))
    for n in COUNTS:
        chosen = refitted(blind, part, labels, active[:n])
        measure("active", n, active[:n], blind, chosen)
        for seed in range(SEEDS):
            chance = order(blind, part, labels, "random", seed)[:n]
            drawn = refitted(blind, part, labels, chance)
            measure("random", n, chance, blind, drawn)
            measure("versus", n, np.append(active[:n], chance), drawn, chosen)
    return {key: np.mean(found, 0) for key, found in pairs.items()}


def carried(patches: PatchFolder, model: IdcModel, name: str) -> np.ndarray:
    """A patient's patches in the colours in which their heat map looks at them."""
    images = patches.images[patches.patients == name]
    recolour = model.colours(images).map_to(model.reference, model.share)
    return to_bytes(as_input(torch.from_numpy(images), recolour))


def deepened(
    blind: IdcModel,
    part: AnnotatedFeatures,
    labels: np.ndarray,
    images: np.ndarray,
    *,
    seed: int,
    n: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """AUCs of the blind model, a refitted and a deep one on what was not annotated; None where too few are left."""
    rows = np.sort(order(blind, part, labels, "random", seed)[:n])
    rest = np.ones(len(labels), bool)
    rest[rows] = False
    if len(np.unique(labels[rest])) < 2 or len(np.unique(labels[rows])) < 2:
        return None
    known = live.AnnotatedFeatures(part.seen, rows, labels[rows], np.arange(len(rows)))
    others = np.flatnonzero(rest)
    lesson = learn_on.SlideLesson(known, images[np.append(rows, others)], np.append(rows, others))
    teacher, (network, scale) = live.refitted(blind, [known]), learn_on.learner(blind)
    sorts = learn_on.sorts_of(teacher, blind, [lesson], np.ones(len(rows), bool))
    config = DEEP_RECIPES["quick"]
    with TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        run.start(config)
        trainer = learn_on.Trainer(network, scale, sorts, config, blind.device)
        list(trainer.train(run))
    made = trainer.trained()
    figures = part.seen.figures.copy()
    figures[:, -1] = score(made, images, blind.device)[:, 0]
    changed = replace(part, seen=replace(part.seen, figures=figures))
    deep = learn_on.with_network(teacher, made)
    return (
        aucs(blind, part, labels, rest),
        aucs(teacher, part, labels, rest),
        aucs(deep, changed, labels, rest),
    )


def deep_rounds(
    blind: IdcModel, part: AnnotatedFeatures, labels: np.ndarray, images: np.ndarray
) -> dict[tuple[str, int], np.ndarray]:
    """As :func:`annotated`, after deep rounds; also against the head that was refitted alone."""
    pairs = {}
    for n in COUNTS:
        found = [
            one
            for seed in range(DEEP_SEEDS)
            if (one := deepened(blind, part, labels, images, seed=seed, n=n)) is not None
        ]
        if found:
            was, head, deep = np.mean(found, 0)
            pairs[DEEP, n], pairs[DEEP_VERSUS, n] = np.stack([was, deep]), np.stack([head, deep])
    return pairs


def interval(values: np.ndarray) -> str:
    """Mean over patients and its 95 % interval."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{values.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="idc-lite0", help="whose trunk and calibration are used")
    parser.add_argument("--keep", type=Path, help="folder for what is learnt: to go on from there")
    parser.add_argument("--deep", action="store_true", help="a deep round too: a minute a patient")
    parser.add_argument("-o", "--output", type=Path, help="the table, Markdown")
    asked = parser.parse_args()
    patches, model = read_patches(asked.folder).labelled, IdcModel.load(asked.model, "cpu")
    head = FrozenHead(**{**model.card.arguments, "student": False})
    looks: np.ndarray | None = None
    before: dict[tuple[str, int], list[np.ndarray]] = {}
    after: dict[tuple[str, int], list[np.ndarray]] = {}
    for name in patches.names:
        file = asked.keep and asked.keep / f"{name}.safetensors"
        if not file or not file.is_file():
            looks = looks_of(patches, head, model.reference) if looks is None else looks
            kept = left_out(patches, looks, model, name)
            if file:
                with written(file, OURS) as beside:
                    save_file(kept, beside)
        else:
            kept = load_file(file)
        blind, part = read(kept, patches, model, name)
        labels = patches.labels[patches.patients == name].astype(int)
        for key, (one, two) in annotated(blind, part, labels).items():
            before.setdefault(key, []).append(one)
            after.setdefault(key, []).append(two)
        if asked.deep:
            images = carried(patches, blind, name)
            for key, (one, two) in deep_rounds(blind, part, labels, images).items():
                before.setdefault(key, []).append(one)
                after.setdefault(key, []).append(two)
        print(f"{name} is done", flush=True)
    lines = [
        "| annotated | chosen | patients | patch by patch before | gain | heat map before | gain |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [(0, FIT), *((n, way) for n in COUNTS for way in (*WAYS, DEEP, DEEP_VERSUS))]
    for n, way in rows:
        if (way, n) in before:
            one, two = np.array(before[way, n]), np.array(after[way, n])
            lines.append(
                f"| {n} | {way} | {len(one)} | {one[:, 0].mean():.3f} | {interval((two - one)[:, 0])} | "
                f"{one[:, 1].mean():.3f} | {interval((two - one)[:, 1])} |"
            )
    print("\n".join(lines))
    if asked.output:
        write_text(asked.output, "\n".join(lines) + "\n", OURS)


if __name__ == "__main__":
    main()
