"""What each part of the class recipe brings: `python benchmarks/nuclei_classes.py DIR`.

DIR holds images/ and points/ at 0.55 um/px. Every row fits class heads to four of five groups of images
of like colours and scores them on the group that they have not seen, each with another seed; clusters
are matched on the labels of the images they were fitted to. The game of generator and critic is left
out, since it leaves a fitted class head alone.

With `--paper STEPS` they are the paper's own InfoGAN (recipe `paper`, three classes and
five), whose class head learns in the game, after so many steps of its generator. With `--drawn MODEL`
they are the classes of that model: how far what it draws is from the nuclei of DIR.
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
from napari_pathogan.engine.pixels import as_input
from napari_pathogan.tasks.nuclei.model import NucleiModel
from napari_pathogan.tasks.nuclei_classes import anchor, kmeans
from napari_pathogan.tasks.nuclei_classes.augment import Palette, middle, vary
from napari_pathogan.tasks.nuclei_classes.baseline import ring_figures
from napari_pathogan.tasks.nuclei_classes.config import RECIPES, TrainConfig
from napari_pathogan.tasks.nuclei_classes.crops import CROP_PX
from napari_pathogan.tasks.nuclei_classes.crossval import FOLDS, assemble, logits_of, most_frequent
from napari_pathogan.tasks.nuclei_classes.data import ROOM_PX, Nuclei, image_groups, read_nuclei
from napari_pathogan.tasks.nuclei_classes.describe import describe, suggest
from napari_pathogan.tasks.nuclei_classes.evaluate import labelled, probabilities, scored_on, values
from napari_pathogan.tasks.nuclei_classes.model import ClassModel, as_bytes
from napari_pathogan.tasks.nuclei_classes.network import Critic
from napari_pathogan.tasks.nuclei_classes.train import Trained, Trainer

MPP = 0.55
ROUNDS, NEIGHBOURS, JITTER = 5, 0.8, 0.3
DRAWN, REAL = 400, 800  # nuclei of a class that are compared
_SOME = 512  # nuclei at once
_LEAST = 1e-2  # spread of a filter that hardly stirs on real nuclei


class Seen:
    """The figures of all nuclei, as they are and restained, in some colours."""

    def __init__(self, nuclei: Nuclei, head: str, *, normalise: bool, density: bool) -> None:
        palette = Palette(nuclei, normalise=normalise, density=density)
        self.head = head
        image = torch.from_numpy(np.unique(nuclei.images, return_inverse=True)[1])
        pictures = palette.recolour(torch.from_numpy(nuclei.cropped(ROOM_PX)), image)
        torch.manual_seed(0)
        critic = Critic(3, 1, head=head)
        views = [middle(pictures) * 2 - 1, *(vary(pictures, JITTER) for _ in range(3))]
        parts = [[critic.figures(some) for some in view.split(_SOME)] for view in views]
        self.figures = torch.stack([torch.cat(part) for part in parts])
        wide = palette.recolour(torch.from_numpy(nuclei.wide), image)
        by_eye = head == "figures"
        self.described = describe(as_bytes(wide * 2 - 1)) if by_eye else self.figures[0].numpy()


def fitted(seen: Seen, nuclei: Nuclei, train: np.ndarray, seed: int, how: dict) -> np.ndarray:
    """Clusters of all nuclei, by a class head fitted to those in ``train``."""
    torch.manual_seed(seed)
    critic = Critic(how["classes"], 1, head=seen.head)
    views = seen.figures[: 4 if how["jitter"] else 1, train]
    critic.standardise(views[0])
    target = torch.from_numpy(suggest(seen.described[train], how["classes"], seed))
    near = torch.from_numpy(nuclei.take(train).neighbours(4))
    options = {"rounds": how["rounds"], "neighbours": how["neighbours"]}
    list(anchor.fit(critic, views, target, near, **options))
    with torch.no_grad():
        return critic.fitted(critic.scaled(seen.figures[0])).argmax(1).numpy()


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


def row(title: str, clusters: list[np.ndarray], nuclei: Nuclei, k: int) -> None:
    """Print one row of the table."""
    known = labelled(nuclei, most_frequent(nuclei, 3))
    fold = image_groups(nuclei, FOLDS)[known.which]
    counts = np.stack(
        [scored_on(fold == i, c[known.which], known, k) for i, c in enumerate(clusters)]
    )
    found = values(counts, known.names)
    f1 = " | ".join(f"{found[f'f1_{name}'].value:.2f}" for name in known.names)
    each = np.array([np.trace(c.sum(0)) / c.sum() for c in counts])
    print(f"| {title} | {found['accuracy']} | {each.std():.3f} | {f1} |", flush=True)


def parts(nuclei: Nuclei) -> None:
    """Print a row for each part of the recipe, and for k-means."""
    fold = image_groups(nuclei, FOLDS)
    full = {"classes": 3, "rounds": ROUNDS, "neighbours": NEIGHBOURS, "jitter": True}
    rings = Seen(nuclei, "rings", normalise=True, density=True)
    for title, seen, change in (
        ("all of it", rings, {}),
        ("one round", rings, {"rounds": 1}),
        ("without neighbours", rings, {"neighbours": 0.0}),
        ("without restained views", rings, {"jitter": False}),
        (
            "colours as they are",
            Seen(nuclei, "rings", normalise=False, density=False),
            {},
        ),
        ("five classes", rings, {"classes": 5}),
        ("the 40 figures", Seen(nuclei, "figures", normalise=True, density=False), {}),
    ):
        how = full | change
        runs = [fitted(seen, nuclei, fold != i, i, how) for i in range(FOLDS)]
        row(title, runs, nuclei, how["classes"])
    figures = ring_figures(nuclei)
    scaled = (figures - figures.mean(0)) / figures.std(0)
    runs = [kmeans.cluster(scaled, 3, seed) for seed in range(FOLDS)]
    row("k-means on the rings", runs, nuclei, 3)


def papers(nuclei: Nuclei, steps: int, batch: int, seeds: int) -> None:
    """Print a row for the paper's InfoGAN with three classes, and one for five."""
    fold = image_groups(nuclei, FOLDS)
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
        seen = model.inputs(nuclei.crops[own], nuclei.stains[name])
        images += [as_bytes(x) for x in seen]
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
    else:
        parts(nuclei)


if __name__ == "__main__":
    main()
