"""What each part of the class recipe brings: `python benchmarks/nuclei_classes.py DIR`.

DIR holds images/ and points/ at 0.55 um/px. Every row fits class heads to four fifths of the images
and scores them on the fifth that they have not seen, five times over, each with another seed; clusters
are matched on the labels of the images they were fitted to. The game of generator and critic is left
out, since it leaves a fitted class head alone.

With `--labels` the rows are taught the labels of the four fifths: how far the classes can be told
apart at all. With `--paper STEPS` they are the paper's own InfoGAN (recipe `paper`, three classes and
five), whose class head learns in the game, after so many steps of its generator. With `--drawn MODEL`
they are the classes of that model: how far what it draws is from the nuclei of DIR.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.pixels import as_input
from napari_pathogan.tasks.nuclei.model import NucleiModel
from napari_pathogan.tasks.nuclei_classes import anchor, kmeans
from napari_pathogan.tasks.nuclei_classes.augment import Palette, middle, vary
from napari_pathogan.tasks.nuclei_classes.config import RECIPES, TrainConfig
from napari_pathogan.tasks.nuclei_classes.crops import CROP_PX
from napari_pathogan.tasks.nuclei_classes.crossval import FOLDS, assemble, logits_of, most_frequent
from napari_pathogan.tasks.nuclei_classes.data import Nuclei, read_nuclei
from napari_pathogan.tasks.nuclei_classes.describe import describe, suggest
from napari_pathogan.tasks.nuclei_classes.evaluate import labelled, probabilities, scored_on, values
from napari_pathogan.tasks.nuclei_classes.model import ClassModel, as_bytes
from napari_pathogan.tasks.nuclei_classes.network import Critic
from napari_pathogan.tasks.nuclei_classes.train import Trained, Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sklearn.base import ClassifierMixin

MPP = 0.55
ROUNDS, NEIGHBOURS, JITTER = 5, 0.8, 0.3
WIDTH, EPOCHS, BATCH, LR = 16, 8, 64, 2e-3  # of the network that is taught labels
DRAWN, REAL = 400, 800  # nuclei of a class that are compared
_SOME = 512  # nuclei at once
_LEAST = 1e-2  # spread of a filter that hardly stirs on real nuclei


class Seen:
    """The figures of all nuclei, as they are and restained, in some colours."""

    def __init__(self, nuclei: Nuclei, *, normalise: bool) -> None:
        palette = Palette(nuclei, normalise=normalise)
        image = torch.from_numpy(np.unique(nuclei.images, return_inverse=True)[1])
        self.pictures = palette.recolour(torch.from_numpy(nuclei.pictures), image)
        torch.manual_seed(0)
        critic = Critic(3, 1, head="figures")
        views = [middle(self.pictures) * 2 - 1, *(vary(self.pictures, JITTER) for _ in range(3))]
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
    trained = Trained(trainer.judging(), trainer.drawing(), trainer.palette.reference)
    return logits_of(nuclei, assemble(trained, config, nuclei.mpp, "cpu")).argmax(1)


def taught(pictures: torch.Tensor, own: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """Classes of all nuclei, by a critic of the paper's shape that is taught those of ``own``."""
    torch.manual_seed(seed)
    network = Critic(3, WIDTH)
    optimiser = torch.optim.AdamW(network.parameters(), LR, weight_decay=0.05)
    steps = EPOCHS * -(-len(own) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, steps)
    index, target = torch.from_numpy(own), torch.from_numpy(classes)
    for _ in range(EPOCHS):
        for some in torch.randperm(len(own)).split(BATCH):
            logits = network.classes(vary(pictures[index[some]], JITTER))
            loss = torch.nn.functional.cross_entropy(logits, target[some])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        parts = [middle(some) * 2 - 1 for some in pictures.split(_SOME)]
        turned = [sum(network.classes(x.rot90(i, (2, 3))) for i in range(4)) for x in parts]
    return torch.cat(turned).argmax(1).numpy()


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


def parts(nuclei: Nuclei) -> None:
    """Print a row for each part of the recipe, and for k-means."""
    fold = patient_folds(nuclei.images, FOLDS)
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


def with_labels(nuclei: Nuclei) -> None:
    """Print a row for each way of learning from the labels themselves."""
    seen, fold = Seen(nuclei, normalise=True), patient_folds(nuclei.images, FOLDS)
    figures = seen.figures[0].numpy()
    known = labelled(nuclei, most_frequent(nuclei, 3))
    shown = [fold[known.which] != i for i in range(FOLDS)]

    def told(classifier: ClassifierMixin) -> Iterator[np.ndarray]:
        for own in shown:
            classifier.fit(figures[known.which[own]], known.classes[own])
            yield classifier.predict(figures)

    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    row("logistic regression on the 40 figures", list(told(logistic)), nuclei, 3)
    boosted = HistGradientBoostingClassifier(max_iter=200, random_state=0)
    row("gradient boosting on the 40 figures", list(told(boosted)), nuclei, 3)
    runs = [
        taught(seen.pictures, known.which[own], known.classes[own], seed)
        for seed, own in enumerate(shown)
    ]
    row("a network on the pictures", runs, nuclei, 3)


def papers(nuclei: Nuclei, steps: int, batch: int, seeds: int) -> None:
    """Print a row for the paper's InfoGAN with three classes, and one for five."""
    fold = patient_folds(nuclei.images, FOLDS)
    for classes in (3, 5):
        own = replace(RECIPES["paper"], classes=classes, batch=batch)
        runs = [played(nuclei, fold != i, replace(own, seed=i), steps) for i in range(seeds)]
        row(f"the paper's, {classes} classes, {steps} steps of {batch}", runs, nuclei, classes)


def drawn(folder: Path, name: str) -> None:
    """Print a row for each class of a model: what it draws beside what it calls so.

    Distances are kernel distances (Binkowski et al. 2018, third power) between what the way down
    of `nuclei-unet` makes of the nuclei, filter by filter in standard deviations of real ones.
    """
    model = ClassModel.load(name, device="cpu")
    nuclei = read_nuclei(folder, model.mpp)
    called = probabilities(nuclei, model).argmax(1)
    half = patient_folds(nuclei.images, 2)
    print("| class | called as asked | distance | real, half against half | variety |")
    print("| --- | --- | --- | --- | --- |")
    rng = np.random.default_rng(0)
    for label, title in enumerate(model.names):
        own = rng.permutation(np.flatnonzero(called == label))[:REAL]
        crops = model.generate(DRAWN, label)
        asked = (model.logits(crops).argmax(1) == label).mean()
        real, fake = encoded(in_colours_of(model, nuclei.take(own)), model), encoded(crops, model)
        mean, spread = real.mean(0), real.std(0).clamp(min=_LEAST)
        real, fake = (real - mean) / spread, (fake - mean) / spread
        # taking images one by one sorts the nuclei, so the halves are sorted likewise
        side = half[own][np.argsort(nuclei.images[own], kind="stable")]
        floor = kernel_distance(real[side == 0], real[side == 1])
        far, variety = kernel_distance(real, fake), float(fake.std(0).mean())
        print(f"| {title} | {asked:.1%} | {far:.2f} | {floor:.2f} | {variety:.2f} |", flush=True)


def in_colours_of(model: ClassModel, nuclei: Nuclei) -> np.ndarray:
    """Real nuclei in a model's reference colours, image by image: uint8 (N, 40, 40, 3)."""
    images = []
    for name, own in nuclei.by_image():
        stain = nuclei.stains[name]
        recolour = stain.map_to(model.reference) if stain else None
        images.append(as_bytes(as_input(torch.from_numpy(nuclei.crops[own]), recolour)))
    return np.concatenate(images)


@torch.inference_mode()
def encoded(crops: np.ndarray, model: ClassModel) -> torch.Tensor:
    """Means of every filter on the nuclei U-Net's way down: (N, 40, 40, 3) -> (N, 496)."""
    unet = NucleiModel.load("nuclei-unet", device="cpu")
    size = round(CROP_PX * model.mpp / unet.mpp)
    edge = -size % unet.network.multiple
    found = []
    for some in torch.from_numpy(crops).split(_SOME):
        x = torch.nn.functional.interpolate(as_input(some, None), (size, size), mode="bilinear")
        x = torch.nn.functional.pad(x, [edge // 2, edge - edge // 2] * 2, mode="reflect")
        stages = unet.network.features(x)
        found.append(torch.cat([stage.mean((2, 3)) for stage in stages], 1))
    return torch.cat(found)


def kernel_distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Squared kernel distance of vectors (N, F) and (M, F), without bias: about 0 between equals."""

    def alike(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: torch.Tensor) -> torch.Tensor:
        table = alike(x, x)
        return (table.sum() - table.trace()) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * alike(a, b).mean())


def main() -> None:
    """Print the tables of the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", action="store_true", help="learn from labels instead")
    parser.add_argument("--paper", type=int, metavar="STEPS", help="the paper's InfoGAN instead")
    parser.add_argument("--batch", type=int, default=RECIPES["paper"].batch, help="of the paper's")
    parser.add_argument(
        "--seeds", type=int, default=2, help="of the paper's, each a fifth of its own"
    )
    parser.add_argument("--drawn", metavar="MODEL", help="what this model draws instead")
    options = parser.parse_args()
    if options.drawn:
        drawn(options.folder, options.drawn)
        return
    nuclei = read_nuclei(options.folder, MPP)
    names = " | ".join(f"F1 {name}" for name in most_frequent(nuclei, 3))
    print(f"| recipe | accuracy | spread | {names} |\n| --- | --- | --- | --- | --- | --- |")
    if options.paper:
        papers(nuclei, options.paper, options.batch, options.seeds)
    elif options.labels:
        with_labels(nuclei)
    else:
        parts(nuclei)


if __name__ == "__main__":
    main()
