"""How far generated IDC patches are from real ones of patients that the generator never saw.

    python benchmarks/idc_generator.py DIR [--model idc-generator] [--write]

DIR is the folder of patches that the generator was trained on; its patients that are not on the
card were held out. Every figure comes with the same one for real patches of the training
patients: what two groups of patients differ by anyway. ``--write`` puts them on the card.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from idc_tables import markdown
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from napari_pathogan.engine.models import CARD, Metric, find_models
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.idc.annotated import read_training_folder
from napari_pathogan.tasks.idc.generate import FOLDER, TASK, IdcGenerator, labels
from napari_pathogan.tasks.idc.metrics import auc
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.network import SIZES, Discriminator

if TYPE_CHECKING:
    from napari_pathogan.tasks.idc.data import PatchFolder

NEIGHBOURS = 3  # of precision and recall
WIDTH, EPOCHS, BATCH, RATE = 0.25, 4, 64, 1e-3  # of the network that learns to tell them apart
RUN = "python benchmarks/idc_generator.py DIR, against patients held out"


@torch.inference_mode()
def features(model: IdcModel, images: np.ndarray) -> np.ndarray:
    """The IDC network's last features, averaged over each patch: (N, C)."""
    parts = []
    for start in range(0, len(images), 256):
        x = torch.from_numpy(images[start : start + 256]).permute(0, 3, 1, 2).float() / 127.5 - 1
        parts.append(model.network.features(x).view(len(x), -1, SIZES[5] ** 2).mean(2).numpy())
    return np.concatenate(parts).astype(np.float64)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of two Gaussians fitted to features (Heusel et al. 2017)."""
    root = sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    spread = np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + spread)


def covered(points: np.ndarray, by: np.ndarray) -> float:
    """Share of ``points`` nearer to one of ``by`` than its own neighbours (Kynkaanniemi 2019)."""
    reach = np.sort(cdist(by, by), 1)[:, NEIGHBOURS]
    return float((cdist(points, by) <= reach).any(1).mean())


def nearest(points: np.ndarray, to: np.ndarray) -> float:
    """The median distance to the nearest of ``to``."""
    return float(np.median(cdist(points, to).min(1)))


def simple(images: np.ndarray) -> np.ndarray:
    """Mean, spread and neighbour differences of each channel: (N, 12)."""
    x = images.astype(np.float32) / 255
    steps = (np.abs(np.diff(x, axis=axis)).mean((1, 2)) for axis in (1, 2))
    return np.concatenate([x.mean((1, 2)), x.std((1, 2)), *steps], 1)


def told_apart_simply(known: tuple[np.ndarray, ...], new: tuple[np.ndarray, ...]) -> float:
    """AUC of logistic regression on :func:`simple`; both are pairs of images, other and real."""
    x, y = _pair(known)
    judge = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(simple(x), y)
    x, y = _pair(new)
    return auc(y, judge.decision_function(simple(x))) or 0.0


def told_apart(known: tuple[np.ndarray, ...], new: tuple[np.ndarray, ...]) -> float:
    """AUC of a small network trained on the first pair, on the second."""
    torch.manual_seed(0)
    network = Discriminator(WIDTH, dropout=0.2)
    x, y = (torch.from_numpy(part) for part in _pair(known))
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    for _ in range(EPOCHS):
        for index in torch.randperm(len(x)).split(BATCH):
            flipped = _prepared(x[index]).flip([2, 3][: int(torch.randint(3, (1,)))])
            loss = F.binary_cross_entropy_with_logits(network(flipped)[0], y[index].float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval()
    x, y = (torch.from_numpy(part) for part in _pair(new))
    with torch.inference_mode():
        scores = torch.cat([network(_prepared(part))[0] for part in x.split(256)])
    return auc(y.numpy(), scores.numpy()) or 0.0


def _pair(images: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images and whether each is of the second kind."""
    return np.concatenate(images), np.repeat([0, 1], [len(part) for part in images])


def _prepared(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2).float() / 127.5 - 1


def measure(patches: PatchFolder, generator: IdcGenerator) -> dict[str, dict[str, float]]:
    """All figures of generated patches, and of real ones of the training patients.

    Raises
    ------
    SystemExit
        If no patient was held out.
    """
    seen = {name for data in generator.card.training_data for name in data.patients}
    new = [name for name in patches.names if name not in seen]
    if not new:
        msg = "the generator was trained on all of these patients; hold some out (--holdout)"
        raise SystemExit(msg)
    judge = IdcModel.load("idc-cgan", device="cpu")
    held, own = patches.of(new), patches.of(sorted(seen))
    rng = np.random.default_rng(0)
    halves = np.array_split(rng.permutation(len(own)), 2)
    known, fresh = own.images[halves[0]], own.images[halves[1]]
    fresh = fresh[: len(held)]
    # as many IDC patches as the training patients have: not a matter of prevalence
    kinds = [round((own.labels == kind).mean() * len(known)) for kind in (0, 1)]
    drawn, again = (
        np.concatenate(
            [generator.generate(n, c, seed) for n, c in zip(kinds, ("healthy", "IDC"), strict=True)]
        )
        for seed in (1, 2)
    )
    again = again[rng.permutation(len(again))[: len(held)]]
    at = {
        name: features(judge, images)
        for name, images in {
            "held": held.images,
            "known": known,
            "fresh": fresh,
            "again": again,
        }.items()
    }
    rows = {}
    for name, sample in (("generated", at["again"]), ("real, training patients", at["fresh"])):
        rows[name] = {
            "frechet_distance": frechet(sample, at["held"]),
            "precision": covered(sample, at["held"]),
            "recall": covered(at["held"], sample),
            "nearest_training_patch": nearest(sample, at["known"])
            / nearest(at["held"], at["known"]),
        }
    rows["generated"] |= {
        "auc_real_or_generated": told_apart((drawn, known), (again, held.images)),
        "auc_simple_features": told_apart_simply((drawn, known), (again, held.images)),
        "class_agreement": agreement(judge, generator.generate(1000, seed=3), labels(1000, None)),
    }
    rows["real, training patients"] |= {
        "auc_real_or_generated": float("nan"),
        "auc_simple_features": float("nan"),
        "class_agreement": agreement(judge, fresh, own.labels[halves[1]][: len(held)]),
    }
    return rows


def agreement(judge: IdcModel, images: np.ndarray, asked: np.ndarray) -> float:
    """Balanced accuracy with which the embedded IDC model finds the class asked for."""
    called = judge.probability(judge.logits(images))[0] >= judge.threshold
    return float(np.mean([(called == kind)[asked == kind].mean() for kind in (0, 1)]))


def main() -> None:
    """Print the table; put it on the card if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--model", default=TASK, help="name of a generator, or its run's folder")
    parser.add_argument("--write", action="store_true", help="put the figures on its card")
    options = parser.parse_args()
    generator = IdcGenerator.load(options.model, device="cpu")
    rows = measure(read_training_folder(options.folder), generator)
    print(markdown(rows))
    if options.write:
        inside = Path(options.model) / FOLDER
        folder = inside if inside.is_dir() else find_models(TASK)[options.model]
        metrics = {name: Metric(value=round(v, 4)) for name, v in rows["generated"].items()}
        card = generator.card.model_copy(update={"metrics": metrics, "measured_by": RUN})
        write_text(folder / CARD, card.model_dump_json(indent=1), OURS)


if __name__ == "__main__":
    main()
