"""How often the intervals of a reader study hold the truth: simulated readers of known skill.

    .venv/bin/python benchmarks/study.py [--studies 400]

Each study has 50 + 50 images and some readers. A reader's d' is drawn around 1 (or is 1 for all);
images are more or less easy for all readers alike. An interval of 95 % should hold the truth in
95 of 100 studies.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from napari_pathogan.study.detection import auc, auc_interval, detection
from napari_pathogan.study.judgements import Judgement, Reader
from napari_pathogan.study.layout import Item, Truth
from napari_pathogan.study.resampling import pooled_figures
from napari_pathogan.study.statistics import clopper_pearson, wilson

IMAGES = 50  # of either kind
SKILL, CRITERION = 1.0, 0.3
ROUNDS = 500
TRIALS = [
    (
        Item(id=f"{i:03}", images=(f"{i:03}",), kind="study", block=0),
        Truth(real=i < IMAGES, source="x", origin=f"{i:03}"),
    )
    for i in range(2 * IMAGES)
]


def one_reader(rng: np.random.Generator, skill: float, ease: np.ndarray, common: float) -> Reader:
    """Answers to all images; ``common`` is the share of the noise that images have for all."""
    judgements = []
    for (item, truth), shared in zip(TRIALS, ease, strict=True):
        noise = np.sqrt(common) * shared + np.sqrt(1 - common) * rng.standard_normal()
        evidence = (-skill if truth.real else skill) / 2 + noise - CRITERION
        judgements.append(
            Judgement(
                item=item,
                time=1,
                images=item.images,
                truth=truth,
                signal=not truth.real,
                said=bool(evidence > 0),
                confidence=1 + min(4, int(2 * abs(evidence))),
                time_s=1.0,
                zoomed=False,
            )
        )
    return Reader("", tuple(judgements), (), (), 0)


def of_one(studies: int) -> dict[str, float]:
    """Share of studies in which the intervals of a single reader hold the truth."""
    rng = np.random.default_rng(0)
    hit, false = stats.norm.cdf([SKILL / 2 - CRITERION, -SKILL / 2 - CRITERION])
    truth = {"accuracy": (hit + 1 - false) / 2, "auc": stats.norm.cdf(SKILL / np.sqrt(2))}
    held: dict[str, list[bool]] = {}
    for _ in range(studies):
        reader = one_reader(rng, SKILL, np.zeros(2 * IMAGES), 0.0)
        right = int(reader.right.sum())
        (hits, _), (wrong, _) = reader.confusion
        found = detection(hits, IMAGES, wrong, IMAGES)
        area = auc(reader.ratings, reader.signal)
        assert found is not None
        assert area is not None
        for name, (low, high), value in (
            ("accuracy, Wilson", wilson(right, 2 * IMAGES), truth["accuracy"]),
            ("accuracy, Clopper-Pearson", clopper_pearson(right, 2 * IMAGES), truth["accuracy"]),
            ("d'", (found.low, found.high), SKILL),
            ("criterion", (found.criterion_low, found.criterion_high), CRITERION),
            ("AUC", auc_interval(area, IMAGES, IMAGES), truth["auc"]),
        ):
            held.setdefault(name, []).append(bool(low <= value <= high))
    return {name: float(np.mean(values)) for name, values in held.items()}


def of_all(studies: int, readers: int, spread: float) -> tuple[float, float, float]:
    """The same for mean d' and accuracy over readers, and accuracy as if answers were independent."""
    rng = np.random.default_rng(1)
    skills = np.linspace(-4, 4, 2001) * spread + SKILL
    weight = stats.norm.pdf(skills, SKILL, spread) if spread else np.ones_like(skills)
    each = (stats.norm.cdf(skills / 2 - CRITERION) + stats.norm.cdf(skills / 2 + CRITERION)) / 2
    truth = float(np.average(each, weights=weight))
    held = []
    for _ in range(studies):
        ease = rng.standard_normal(2 * IMAGES)
        own = [one_reader(rng, rng.normal(SKILL, spread), ease, 0.3) for _ in range(readers)]
        figures = pooled_figures(own, pairs=False, rounds=ROUNDS)
        ends = {name: np.quantile(drawn, (0.025, 0.975)) for name, (_, drawn) in figures.items()}
        alone = wilson(sum(int(x.right.sum()) for x in own), 2 * IMAGES * readers)
        held.append(
            [
                ends["d_prime"][0] <= SKILL <= ends["d_prime"][1],
                ends["accuracy"][0] <= truth <= ends["accuracy"][1],
                alone.low <= truth <= alone.high,
            ]
        )
    d_prime, accuracy, independent = np.mean(held, axis=0)
    return float(d_prime), float(accuracy), float(independent)


def main() -> None:
    """Print the tables of docs/study.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400)
    studies = parser.parse_args().studies
    print("| one reader | holds the truth |\n| --- | --- |")
    for name, share in of_one(5 * studies).items():
        print(f"| {name} | {100 * share:.1f} % |")
    print("\n| readers | their d' | d' | accuracy | accuracy as independent answers |")
    print("| --- | --- | --- | --- | --- |")
    for spread in (0.0, 0.5):
        for readers in (3, 5, 10):
            shares = of_all(studies, readers, spread)
            skill = f"{SKILL:g} +- {spread:g}" if spread else f"{SKILL:g}, all alike"
            row = " | ".join(f"{100 * share:.1f} %" for share in shares)
            print(f"| {readers} | {skill} | {row} |")


if __name__ == "__main__":
    main()
