"""How well found classes agree with a pathologist's, beside k-means on the same nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.folds import patient_resamples
from napari_pathogan.engine.report import Report, Value, with_interval, with_intervals
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.nuclei_classes import kmeans
from napari_pathogan.tasks.nuclei_classes.baseline import ABOUT, RingBaseline, ring_figures
from napari_pathogan.tasks.nuclei_classes.data import Labelled
from napari_pathogan.tasks.nuclei_classes.matching import contingency, hungarian
from napari_pathogan.tasks.nuclei_classes.metrics import figures, tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pathogan.tasks.nuclei_classes.data import Nuclei
    from napari_pathogan.tasks.nuclei_classes.kmeans import ResNetFeatures
    from napari_pathogan.tasks.nuclei_classes.model import ClassModel

SEEDS = 10
ROUNDS = 1000
_BINS = 10  # of the calibration error, equally wide


def labelled(nuclei: Nuclei, names: Sequence[str]) -> Labelled:
    """Pick the nuclei whose class is one of ``names``.

    Raises
    ------
    DataFolderError
        If there is none.
    """
    number = {name: i for i, name in enumerate(names)}
    which = np.flatnonzero(np.isin(nuclei.classes, list(names)))
    if not len(which):
        have = ", ".join(sorted(set(nuclei.classes.tolist()) - {""})) or "none"
        msg = f"no nucleus of the classes {', '.join(names)} (the classes here: {have})"
        raise DataFolderError(msg)
    rest = nuclei.classes[~np.isin(nuclei.classes, list(names))]
    others, counts = np.unique(rest, return_counts=True)
    return Labelled(
        tuple(names),
        which,
        np.array([number[name] for name in nuclei.classes[which]]),
        np.unique(nuclei.images, return_inverse=True)[1][which],
        {str(name) or "without a class": int(n) for name, n in zip(others, counts, strict=True)},
    )


def probabilities(nuclei: Nuclei, model: ClassModel) -> np.ndarray:
    """Class probabilities of nuclei in the colours of their images: float32 (N, C)."""
    found = np.empty((len(nuclei), len(model.names)), np.float32)
    for name, own in nuclei.by_image():
        found[own] = model.probability(nuclei.cropped(model.crop_px)[own], nuclei.stains[name])
    return found


def evaluate(
    nuclei: Nuclei,
    model: ClassModel,
    *,
    resnet: ResNetFeatures | None = None,
    seeds: int = SEEDS,
    rounds: int = ROUNDS,
) -> Report:
    """Evaluate a model on labelled nuclei.

    The model's own names are taken at their word where the labels have the same names: nothing
    of these images is used. Else its clusters are matched to the labels on one half of the images
    and scored on the other, and the other way round. k-means, which has no names, is fitted to
    these very nuclei and always matched so.

    Parameters
    ----------
    nuclei
        With classes; those that the model does not know are left out.
    resnet
        Also compare with k-means on its features.
    seeds
        Runs of k-means, whose figures are averaged.
    rounds
        Bootstrap resamples of the images for the 95 % intervals.

    Raises
    ------
    DataFolderError
        If no nucleus has a class.
    """
    given = set(nuclei.classes.tolist()) - {""}
    named = bool(given & set(model.names))
    known = labelled(nuclei, model.names if named else sorted(given))
    part = nuclei.take(known.which)
    probability = probabilities(part, model)
    called = probability.argmax(1)
    halved = values(matched(called[None], known, len(model.names)), known.names, rounds)
    if named:
        counts = tally(known.classes, called, known.image, _shape(known))[None]
        metrics = values(counts, known.names, rounds)
        metrics["accuracy_matched"] = halved["accuracy"]
        metrics |= doubt(probability, known, rounds)
    else:
        counts, metrics = matched(called[None], known, len(model.names)), halved
    metrics |= beside(part, model, known, rounds, named=named)
    metrics |= baselines(part, known, len(model.names), resnet, seeds=seeds, rounds=rounds)
    return Report(
        model.card.title,
        metrics,
        {
            "n_nuclei": len(known.which),
            "n_images": len(np.unique(known.image)),
            **confusion(counts.sum((0, 1)), known.names),
        },
        _notes(nuclei, known, model, resnet, named=named),
    )


def beside(
    part: Nuclei, model: ClassModel, known: Labelled, rounds: int, *, named: bool
) -> dict[str, Value]:
    """Figures of the baseline of the model's card, fitted to the model's training images.

    Its classes are taken as the model's are: by their names, or matched on halves of the images.
    """
    record = model.card.settings.get("baseline")
    if record is None:
        return {}
    fitted = RingBaseline.from_json(record)
    clusters = fitted.clusters(ring_figures(part))
    if named:
        counts = count(fitted.classes[clusters], known)[None]
    else:
        counts = matched(clusters[None], known, len(fitted.offset))
    return as_baseline(counts, known.names, rounds)


def as_baseline(counts: np.ndarray, names: Sequence[str], rounds: int = ROUNDS) -> dict[str, Value]:
    """Figures of counts (S, images, C, C) as those of the baseline."""
    kept = ("accuracy", "balanced_accuracy")
    return {
        f"baseline_{name}": value
        for name, value in values(counts, names, rounds).items()
        if name in kept or name.startswith("f1_")
    }


def _shape(known: Labelled) -> tuple[int, int, int]:
    return int(known.image.max()) + 1, len(known.names), len(known.names)


def matched(found: np.ndarray, known: Labelled, clusters: int) -> np.ndarray:
    """Match clusters to classes on one half of the images and score the other, both ways.

    With a single image its nuclei are halved instead.

    Parameters
    ----------
    found
        int (S, N): clusters of the known nuclei, of S runs; each run has its own halves.

    Returns
    -------
    int64 (S, images, C, C): counts of [class, called].
    """
    counts = np.zeros((len(found), *_shape(known)), np.int64)
    unit = known.image if len(np.unique(known.image)) > 1 else np.arange(len(known.image))
    units, index = np.unique(unit, return_inverse=True)
    for run, clusters_of in enumerate(found):
        first = np.random.default_rng(run).permutation(len(units))[index] < len(units) // 2
        for scored in (first, ~first):
            counts[run] += scored_on(scored, clusters_of, known, clusters)
    return counts


def scored_on(scored: np.ndarray, found: np.ndarray, known: Labelled, clusters: int) -> np.ndarray:
    """Match clusters on the nuclei that are not ``scored`` (bool (N,)), count those that are.

    Returns
    -------
    int64 (images, C, C): counts of [class, called].
    """
    rest = ~scored
    table = contingency(found[rest], known.classes[rest], (clusters, len(known.names)))
    return count(hungarian(table)[found], known, scored)


def count(called: np.ndarray, known: Labelled, scored: np.ndarray | None = None) -> np.ndarray:
    """Count nuclei by image, class and what they are called, int (N,); -1 is wrong whatever they are.

    Returns
    -------
    int64 (images, C, C): counts of [class, called], of those that are ``scored`` (bool (N,)).
    """
    wrong = (known.classes + 1) % len(known.names)
    called = np.where(called < 0, wrong, called)
    which = slice(None) if scored is None else scored
    return tally(known.classes[which], called[which], known.image[which], _shape(known))


def values(counts: np.ndarray, names: Sequence[str], rounds: int = ROUNDS) -> dict[str, Value]:
    """Figures of counts (S, images, C, C), averaged over S runs, with intervals over images."""
    held = counts.sum((0, 2, 3)) > 0
    counts = counts[:, held]
    middle = {name: _mean(v) for name, v in figures(counts.sum(1), names).items()}
    several = rounds if counts.shape[1] > 1 else 0
    drawn = (
        figures(np.einsum("i,sijk->sjk", times, counts), names)
        for times in patient_resamples(np.arange(counts.shape[1]), several)
    )
    means = ({name: _mean(v) for name, v in one.items()} for one in drawn)
    return with_intervals(middle, means)


def _mean(over_runs: np.ndarray) -> float | None:
    known = over_runs[~np.isnan(over_runs)]
    return float(known.mean()) if len(known) else None


def doubt(probability: np.ndarray, known: Labelled, rounds: int = ROUNDS) -> dict[str, Value]:
    """How far the probability of the called class is from being right that often.

    Returns
    -------
    ``confidence``, the mean probability of the called class, and ``ece``, its calibration error
    in 10 bins.
    """
    sure = probability.max(1)
    right = probability.argmax(1) == known.classes
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    sums = np.zeros((int(known.image.max()) + 1, _BINS, 3))
    np.add.at(sums, (known.image, bins), np.stack([np.ones(len(sure)), sure, right], 1))
    sums = sums[sums.sum((1, 2)) > 0]

    def both(total: np.ndarray) -> tuple[float, float]:
        n = total[:, 0].sum()
        return total[:, 1].sum() / n, np.abs(total[:, 1] - total[:, 2]).sum() / n

    middle = both(sums.sum(0))
    if len(sums) < 2 or not rounds:
        return {"confidence": Value(middle[0]), "ece": Value(middle[1])}
    again = [
        both(np.einsum("i,ijk->jk", times, sums))
        for times in patient_resamples(np.arange(len(sums)), rounds)
    ]
    drawn = np.array(again).T.tolist()
    return {
        name: with_interval(value, some)
        for name, value, some in zip(("confidence", "ece"), middle, drawn, strict=True)
    }


def baselines(
    part: Nuclei,
    known: Labelled,
    clusters: int,
    resnet: ResNetFeatures | None,
    *,
    seeds: int = SEEDS,
    rounds: int = ROUNDS,
) -> dict[str, Value]:
    """Accuracy and F1 of k-means on the known nuclei: pixels and ResNet as the images are, rings."""
    rings = ring_figures(part)
    features = {
        "kmeans_pixels": kmeans.pixels(part.crops),
        "kmeans_rings": (rings - rings.mean(0)) / (rings.std(0) + 1e-9),
    }
    if resnet is not None:
        features["kmeans_resnet"] = resnet(part.crops)
    found: dict[str, Value] = {}
    for kind, vectors in features.items():
        runs = np.stack([kmeans.cluster(vectors, clusters, seed) for seed in range(seeds)])
        measured = values(matched(runs, known, clusters), known.names, rounds)
        kept = ("accuracy", "ari", "nmi")
        found |= {
            f"{kind}_{name}": value
            for name, value in measured.items()
            if name in kept or name.startswith("f1_")
        }
    return found


def confusion(table: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """The confusion matrix (C, C) of [class, called] as counts with names."""
    return {
        f"confusion_{true}_as_{called}": int(table[i, j])
        for i, true in enumerate(names)
        for j, called in enumerate(names)
    }


def _notes(
    nuclei: Nuclei,
    known: Labelled,
    model: ClassModel,
    resnet: ResNetFeatures | None,
    *,
    named: bool,
) -> tuple[str, ...]:
    if named:
        how = "classes by the model's own names"
    else:
        how = "clusters matched to the labels on half of the images, scored on the other half"
    means = "k-means: fitted to these nuclei, matched on half of the images, scored on the other"
    notes = [f"{how}. {means}"]
    record = model.card.settings.get("baseline")
    if record is not None:
        notes.append(
            f"baseline: {record['kind']} on {ABOUT}, fitted to the model's training images"
        )
    if resnet is not None:
        notes.append(f"ResNet: {resnet.about}")
    if known.left_out:
        kinds = ", ".join(f"{n} {name}" for name, n in known.left_out.items())
        notes.append(f"left out: {kinds}")
    names = {str(name) for name in np.unique(nuclei.images)}
    seen = model.card.knows(names)
    if seen:
        notes.append(
            f"the model was trained on {len(seen)} of these {len(names)} images, and taught or named "
            "by their labels: these figures are too good"
        )
    if len(names) == 1:
        notes.append("one image: no intervals, and nuclei of it are matched and scored")
    return (*notes, *(f"left out {line}" for line in nuclei.skipped))
