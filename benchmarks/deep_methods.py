"""Which gains more by a deep round, a cGAN or its CNN alone? ``python benchmarks/deep_methods.py DIR --keep FOLDER``.

The simulated doctor of ``retrain.py``: of each fold of patients a network learns from the others (recipe ``quick``,
width 0.25), as a cGAN and as its CNN. Then patches of each patient of the fold are annotated with their true labels, at
random, and the network learns on from them in a deep round (:mod:`napari_pathogan.tasks.idc.learn_on`). Measured is the AUC
within the patient on the patches that were not annotated, patch by patch and as a heat map, before and after. Prints a
Markdown table of the patients that are done; intervals are of means over patients (bootstrap). What is learnt and
measured stays in FOLDER, from where the same command goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from retrain import carried, interval

from napari_pathogan.engine.cells import CellGrid
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Finished
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.ranking import auc
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.idc import learn_on, live
from napari_pathogan.tasks.idc.config import DEEP_RECIPES, RECIPES
from napari_pathogan.tasks.idc.data import PATCH_PX, read_patches
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.predict import ScoringPlan
from napari_pathogan.tasks.idc.train import train

if TYPE_CHECKING:
    from napari_pathogan.tasks.idc.data import PatchFolder
    from napari_pathogan.tasks.idc.live import AnnotatedFeatures

METHODS = "cnn", "cgan"


def blind_model(patches: PatchFolder, method: str, run: RunFolder) -> IdcModel:
    """A model that learns from patches by a method; calibrated as ``idc-cgan``, which no AUC depends on."""
    config = RECIPES["quick"].adjusted((), method=method, width=0.25)
    run.start(config, resume=True)
    *_, last = train(patches, config, run, device="cpu")
    assert isinstance(last, Finished)
    network, reference = last.result.network, last.result.reference
    network = network.eval().requires_grad_(requires_grad=False)
    return replace(
        IdcModel.load("idc-cgan", "cpu"),
        network=network,
        reference=reference,
        device=choose_device("cpu"),
    )


def looked(model: IdcModel, patches: PatchFolder, name: str) -> AnnotatedFeatures:
    """What a model sees of a patient, of whom nothing is annotated."""
    cells = np.stack(patches.grid(name)[1], 1)
    grid = CellGrid(tuple(cells.max(0) + 1), PATCH_PX, PATCH_PX, (1.0, 1.0))
    wanted = np.zeros(grid.shape, bool)
    wanted[tuple(cells.T)] = True
    plan = ScoringPlan(grid, wanted.astype(np.float32), wanted, np.zeros_like(wanted))
    images, nothing = patches.images[patches.patients == name], np.zeros(0, int)
    seen = model.figures(images, model.colours(images))
    features = live.SlideFeatures(plan, cells, seen.astype(np.float16))
    return live.AnnotatedFeatures(features, nothing, nothing, nothing)


def aucs(
    model: IdcModel, part: AnnotatedFeatures, labels: np.ndarray, rest: np.ndarray
) -> list[float]:
    """Patch by patch, and as a heat map."""
    shown = part.seen.layers(model)[0][tuple(part.seen.where.T)]
    told = live.logits(model, part.seen.figures)
    return [auc(labels[rest], x[rest]) or np.nan for x in (told, shown)]


def deepened(
    blind: IdcModel, patches: PatchFolder, name: str, n: int, seed: int
) -> list[list[float]] | None:
    """AUCs before and after a deep round on ``n`` patches; None where too few of a class are left or drawn."""
    part = looked(blind, patches, name)
    labels = patches.labels[patches.patients == name].astype(int)
    rows = np.sort(np.random.default_rng(seed).permutation(len(labels))[:n])
    rest = np.ones(len(labels), bool)
    rest[rows] = False
    if len(np.unique(labels[rest])) < 2 or len(np.unique(labels[rows])) < 2:
        return None
    known = live.AnnotatedFeatures(part.seen, rows, labels[rows], np.arange(len(rows)))
    order = np.append(rows, np.flatnonzero(rest))
    lesson = learn_on.SlideLesson(known, carried(patches, blind, name)[order], order)
    network, scale = learn_on.learner(blind)
    sorts = learn_on.sorts_of(blind, blind, [lesson], np.ones(len(rows), bool))
    config = DEEP_RECIPES["quick"]
    with TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        run.start(config)
        trainer = learn_on.Trainer(network, scale, sorts, config, blind.device)
        list(trainer.train(run))
    deep = learn_on.with_network(blind, trainer.trained())
    return [aucs(blind, part, labels, rest), aucs(deep, looked(deep, patches, name), labels, rest)]


def table(found: dict[str, list[list[float]]]) -> str:
    """Markdown, of the patients that both methods have done."""
    names = sorted({key.split()[1] for key in found})
    names = [one for one in names if all(f"{way} {one}" in found for way in METHODS)]
    lines = [
        "| method | patients | patch by patch before | gain | heat map before | gain |",
        "|---|---|---|---|---|---|",
    ]
    gains = {}
    for method in METHODS:
        both = np.array([found[f"{method} {name}"] for name in names])  # (P, before or after, 2)
        gains[method] = gain = both[:, 1] - both[:, 0]
        lines.append(
            f"| {method} | {len(names)} | {both[:, 0, 0].mean():.3f} | {interval(gain[:, 0])} | "
            f"{both[:, 0, 1].mean():.3f} | {interval(gain[:, 1])} |"
        )
    more = gains["cgan"] - gains["cnn"]
    lines.append(
        f"| cgan gains more by | {len(names)} | | {interval(more[:, 0])} | | {interval(more[:, 1])} |"
    )
    return "\n".join(lines)


def main() -> None:
    """Learn, annotate, learn on, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--keep", type=Path, required=True, help="folder for what is learnt and measured"
    )
    parser.add_argument("--folds", type=int, default=2, help="of patients, for the networks")
    parser.add_argument("--annotated", type=int, default=40, help="patches")
    parser.add_argument("--seeds", type=int, default=1, help="random choices of them")
    asked = parser.parse_args()
    patches = read_patches(asked.folder).labelled
    fold = patient_folds(patches.patients, asked.folds)
    asked.keep.mkdir(parents=True, exist_ok=True)
    file = asked.keep / "found.json"
    found: dict[str, list[list[float]]] = json.loads(file.read_text()) if file.is_file() else {}
    for k in range(asked.folds):
        names = np.unique(patches.patients[fold == k]).tolist()
        models = {
            way: blind_model(patches.take(fold != k), way, RunFolder(asked.keep / f"{way}-{k}"))
            for way in METHODS
        }
        for name in names:
            for way, model in models.items():
                if f"{way} {name}" in found:
                    continue
                tries = [
                    deepened(model, patches, name, asked.annotated, s) for s in range(asked.seeds)
                ]
                if done := [one for one in tries if one is not None]:
                    found[f"{way} {name}"] = np.mean(done, 0).tolist()
                    write_text(file, json.dumps(found), OURS)
            print(f"{name} is done", flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
