"""What each part of the class recipe brings: `python benchmarks/nuclei_classes.py DIR`.

DIR holds images/ and points/ at 0.55 um/px. Every row fits class heads to four fifths of the images
and scores them on the fifth that they have not seen, five times over, each with another seed; clusters
are matched on the labels of the images they were fitted to. The game of generator and critic is left
out, since it leaves a fitted class head alone.

With `--paper STEPS` the rows are the paper's own InfoGAN (recipe `paper`, three classes and five),
whose class head learns in the game, after so many steps of its generator.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.nuclei.classes import anchor, kmeans
from napari_pathogan.nuclei.classes.augment import Palette, middle, vary
from napari_pathogan.nuclei.classes.crossval import FOLDS, assemble, logits_of, most_frequent
from napari_pathogan.nuclei.classes.data import Nuclei, read_nuclei
from napari_pathogan.nuclei.classes.describe import describe, suggest
from napari_pathogan.nuclei.classes.evaluate import labelled, scored_on, values
from napari_pathogan.nuclei.classes.model import as_bytes
from napari_pathogan.nuclei.classes.network import Critic
from napari_pathogan.nuclei.classes.recipe import RECIPES, TrainConfig
from napari_pathogan.nuclei.classes.train import Trained, Trainer

MPP = 0.55
ROUNDS, NEIGHBOURS, JITTER = 5, 0.8, 0.3
_SOME = 512  # nuclei at once


class Seen:
    """The figures of all nuclei, as they are and restained, in some colours."""

    def __init__(self, nuclei: Nuclei, *, normalise: bool) -> None:
        palette = Palette(nuclei, normalise=normalise)
        image = torch.from_numpy(np.unique(nuclei.images, return_inverse=True)[1])
        x = palette.recolour(torch.from_numpy(nuclei.pictures), image)
        torch.manual_seed(0)
        critic = Critic(3, 1, head="figures")
        views = [middle(x) * 2 - 1, *(vary(x, JITTER) for _ in range(3))]
        parts = [[critic.figures(some) for some in view.split(_SOME)] for view in views]
        self.figures = torch.stack([torch.cat(part) for part in parts])
        wide = palette.recolour(torch.from_numpy(nuclei.wide), image)
        self.described = describe(as_bytes(wide * 2 - 1))


def fitted(seen: Seen, nuclei: Nuclei, train: np.ndarray, seed: int, how: dict) -> np.ndarray:
    """Clusters of all nuclei, by a class head fitted to those in ``train``."""
    torch.manual_seed(seed)
    critic = Critic(how["classes"], 1, head="figures")
    views = seen.figures[: 4 if how["jitter"] else 1, train]
    critic.standardise(views[0])
    target = torch.from_numpy(suggest(seen.described[train], how["classes"], seed))
    near = torch.from_numpy(nuclei.take(train).neighbours(4))
    options = {"rounds": how["rounds"], "neighbours": how["neighbours"]}
    list(anchor.fit(critic, views, target, near, **options))
    with torch.no_grad():
        hidden = critic.hidden(critic.scaled(seen.figures[0])).relu()
        return critic.classify(hidden).argmax(1).numpy()


def played(nuclei: Nuclei, train: np.ndarray, config: TrainConfig, steps: int) -> np.ndarray:
    """Clusters of all nuclei, by the paper's InfoGAN after some steps on those in ``train``."""
    trainer = Trainer(nuclei.take(train), config, choose_device("cpu", "float32"))
    number = 0
    while number < steps:
        for batch in trainer.batches()[: steps - number]:
            losses = trainer.step(batch, number)
            number += 1
        shown = ", ".join(f"{name} {float(loss):.2f}" for name, loss in losses.items())
        print(f"# step {number}: {shown}", file=sys.stderr, flush=True)
    trained = Trained(trainer.network(1), trainer.network(0), trainer.palette.reference)
    return logits_of(nuclei, assemble(trained, config, nuclei.mpp, "cpu")).argmax(1)


def row(title: str, clusters: list[np.ndarray], nuclei: Nuclei, k: int) -> None:
    """Print one row of the table."""
    known = labelled(nuclei, most_frequent(nuclei, 3))
    fold = patient_folds(nuclei.images, FOLDS)[known.which]
    counts = np.stack(
        [scored_on(fold == i, c[known.which], known, k) for i, c in enumerate(clusters)]
    )
    found = values(counts, known.names)
    f1 = " | ".join(f"{found[f'f1_{name}'].value:.2f}" for name in known.names)
    each = np.array([np.trace(c.sum(0)) / c.sum() for c in counts])
    print(f"| {title} | {found['accuracy']} | {each.std():.3f} | {f1} |", flush=True)


def main() -> None:
    """Print the table of the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--paper", type=int, metavar="STEPS", help="the paper's InfoGAN instead")
    parser.add_argument("--batch", type=int, default=RECIPES["paper"].batch, help="of the paper's")
    parser.add_argument(
        "--seeds", type=int, default=2, help="of the paper's, each a fifth of its own"
    )
    options = parser.parse_args()
    nuclei = read_nuclei(options.folder, MPP)
    fold = patient_folds(nuclei.images, FOLDS)
    names = " | ".join(f"F1 {name}" for name in most_frequent(nuclei, 3))
    print(f"| recipe | accuracy | spread | {names} |\n| --- | --- | --- | --- | --- | --- |")
    if options.paper:
        for classes in (3, 5):
            own = replace(RECIPES["paper"], classes=classes, batch=options.batch)
            runs = [
                played(nuclei, fold != i, replace(own, seed=i), options.paper)
                for i in range(options.seeds)
            ]
            title = f"the paper's, {classes} classes, {options.paper} steps of {options.batch}"
            row(title, runs, nuclei, classes)
        return
    full = {"classes": 3, "rounds": ROUNDS, "neighbours": NEIGHBOURS, "jitter": True}
    colours = {True: Seen(nuclei, normalise=True), False: Seen(nuclei, normalise=False)}
    for title, normalise, change in (
        ("all of it", True, {}),
        ("three figures alone, one round", True, {"rounds": 1}),
        ("without neighbours", True, {"neighbours": 0.0}),
        ("without restained views", True, {"jitter": False}),
        ("without normalised colours", False, {}),
        ("five classes", True, {"classes": 5}),
    ):
        how, seen = full | change, colours[normalise]
        runs = [fitted(seen, nuclei, fold != i, i, how) for i in range(FOLDS)]
        row(title, runs, nuclei, how["classes"])
    for title, seen in (("normalised", colours[True]), ("as they are", colours[False])):
        figures = seen.figures[0].numpy()
        scaled = (figures - figures.mean(0)) / figures.std(0)
        runs = [kmeans.cluster(scaled, 3, seed) for seed in range(FOLDS)]
        row(f"k-means on the 40 figures, colours {title}", runs, nuclei, 3)


if __name__ == "__main__":
    main()
