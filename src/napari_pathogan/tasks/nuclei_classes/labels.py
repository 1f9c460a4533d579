"""Teaching a class model labels, and what groups of images that are left out say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from napari_pathogan.engine.crossval import nested
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.models import ModelCard, TrainingData, card_metrics
from napari_pathogan.engine.report import Report
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.nuclei_classes import model
from napari_pathogan.tasks.nuclei_classes.augment import Palette
from napari_pathogan.tasks.nuclei_classes.baseline import (
    ABOUT,
    RingBaseline,
    held_out,
    ring_figures,
)
from napari_pathogan.tasks.nuclei_classes.crossval import (
    FOLDS,
    best_temperature,
    most_frequent,
    validation,
)
from napari_pathogan.tasks.nuclei_classes.data import CONTEXT_PX, Labelled, image_groups
from napari_pathogan.tasks.nuclei_classes.evaluate import (
    as_baseline,
    confusion,
    count,
    doubt,
    labelled,
    values,
)
from napari_pathogan.tasks.nuclei_classes.naming import LEARNT, group_colours
from napari_pathogan.tasks.nuclei_classes.supervised import SupervisedHead, looked_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.nuclei_classes.config import TrainConfig
    from napari_pathogan.tasks.nuclei_classes.data import Nuclei
    from napari_pathogan.tasks.nuclei_classes.stain import Stain

_FEWEST = 8  # nuclei of a class: fewer can't be learnt


def learn_labels(
    nuclei: Nuclei,
    config: TrainConfig,
    run: RunFolder,
    *,
    device: str = "auto",
    name: str = "",
    data: TrainingData | None = None,
    tissue: str = "",
) -> Iterator[Event]:
    """Teach a class model the labels of nuclei, and save it in the run.

    Where there are five images or more, five groups of them are left out in turn: the figures, and
    the temperature that makes probabilities honest, are of those.

    Parameters
    ----------
    nuclei
        Those without a label, or of a rarer class than ``config.classes`` are asked for, are left
        out.
    name, data, tissue
        As for :func:`.crossval.learn`.

    Yields
    ------
    Progress, and Finished with the report on groups that were left out, or None.

    Raises
    ------
    DataFolderError
        If there are too few labels.
    """
    need_labels(nuclei, config.classes)
    for line in nuclei.skipped:
        yield Warn(f"left out {line}")
    known = labelled(nuclei, most_frequent(nuclei, config.classes))
    part, labels = nuclei.take(known.which), known.classes
    known = labelled(part, known.names)._replace(left_out=known.left_out)
    palette = Palette(part, normalise=True, density=True)
    head = SupervisedHead(len(known.names), config.backbone)
    where = choose_device(device, "float32")
    seen = yield from looked_at(part, head, palette, config.views, run, where, config.seed)
    report, temperature = None, 1.0
    if len(part.names) >= FOLDS:
        logits = np.empty((len(part), len(known.names)))
        fold = image_groups(part, FOLDS)
        for k in range(FOLDS):
            yield Progress(k, FOLDS + 1, f"group {k + 1} of {FOLDS} left out")
            rest = fold != k
            _needs_all(labels[rest], known, k)
            head.fit(seen[:, rest], labels[rest], config.c)
            logits[~rest] = head.logits(seen[0, ~rest])
        report = _reported(part, known, logits, fold)
        temperature = best_temperature(logits, labels, balanced=True)
    yield Progress(FOLDS, FOLDS + 1, "all images")
    head.fit(seen, labels, config.c)
    done = _assembled(head, config, palette.reference, part, known, temperature, device)
    data = data or TrainingData(name="nuclei")
    data = data.of(part.names, len(part.names))
    card = done.card.model_copy(
        update={
            "name": name or run.path.name,
            "title": f"{len(known.names)} classes of nuclei, taught by labels of {data.n_images} images",
            "training_data": (data,),
        }
    )
    if report:
        figures = card_metrics(report.metrics)
        card = card.model_copy(update={"metrics": figures, "measured_by": _how(config)})
        if tissue:
            checked = (validation(tissue, part, figures["accuracy"]),)
            card = card.model_copy(update={"validated_on": checked})
    elif tissue:
        yield Warn(f"{len(part.names)} images are too few to leave groups out: names hold nowhere")
    done.card = card
    model.save(run.model, done)
    summary = {"model": str(run.model), "classes": list(done.names)}
    yield Finished(report, summary | ({"held_out": report.to_dict()} if report else {}))


def need_labels(nuclei: Nuclei, classes: int) -> None:
    """Make sure that there are labels to be taught.

    Raises
    ------
    DataFolderError
        If there are fewer classes than asked for, or under 8 nuclei of one of them.
    """
    names = most_frequent(nuclei, classes)
    if len(names) < classes:
        have = ", ".join(names) or "none"
        msg = (
            f"{classes} classes are to be learnt from labels, but the nuclei have {len(names)} "
            f"({have}); label more, or ask for --classes {max(2, len(names))}"
        )
        raise DataFolderError(msg)
    for name in names:
        n = int((nuclei.classes == name).sum())
        if n < _FEWEST:
            msg = f"{n} nuclei of the class {name!r} are too few to learn it; label {_FEWEST}"
            raise DataFolderError(msg)


def _needs_all(labels: np.ndarray, known: Labelled, group: int) -> None:
    lacking = set(range(len(known.names))) - set(labels.tolist())
    if lacking:
        msg = (
            f"all nuclei of the class {known.names[min(lacking)]!r} are in images of like colours "
            f"(group {group + 1} of {FOLDS}), so nothing would be measured; label it in others too"
        )
        raise DataFolderError(msg)


def _reported(part: Nuclei, known: Labelled, logits: np.ndarray, fold: np.ndarray) -> Report:
    """Figures of nuclei whose group was left out; each group's temperature is of the others."""
    counts = count(logits.argmax(1), known)[None]
    metrics = values(counts, known.names)
    probability = np.empty_like(logits)
    for tested, rest in nested(fold):
        heat = best_temperature(logits[rest], known.classes[rest], balanced=True)
        probability[tested] = softmax(logits[tested] / heat, 1)
    metrics |= doubt(probability, known)
    rings = ring_figures(part)
    linear, means = np.full(len(part), -1), np.full(len(part), -1)
    for tested, rest in nested(fold):
        fitted = RingBaseline.fit_logistic(rings[rest], known.classes[rest])
        linear[tested] = fitted.classes[fitted.clusters(rings[tested])]
        means[tested] = held_out(known, rings, tested, len(known.names))[tested]
    metrics |= as_baseline(count(linear, known)[None], known.names)
    metrics |= {
        key.replace("baseline", "kmeans_rings"): value
        for key, value in as_baseline(count(means, known)[None], known.names).items()
    }
    notes = [
        f"{FOLDS} groups of images of like colours, each left out in turn",
        f"baseline: logistic regression on {ABOUT}, taught the same images",
        "kmeans_rings: k-means on these, fitted to the same images and matched to their labels",
        *(f"left out: {n} {kind}" for kind, n in known.left_out.items()),
    ]
    n = {"n_nuclei": len(part), "n_images": len(part.names)}
    n |= confusion(counts.sum((0, 1)), known.names)
    return Report("taught by labels, on groups of images left out", metrics, n, tuple(notes))


def _how(config: TrainConfig) -> str:
    return (
        f"pathogan nuclei classes train DIR -o RUN --labels --classes {config.classes}: five "
        "groups of images of like colours, each left out in turn; intervals over images (of which "
        "patient each is, is not known)"
    )


def _assembled(  # noqa: PLR0917
    head: SupervisedHead,
    config: TrainConfig,
    reference: Stain,
    part: Nuclei,
    known: Labelled,
    temperature: float,
    device: str,
) -> model.ClassModel:
    baseline = RingBaseline.fit_logistic(ring_figures(part), known.classes)
    arguments = {"classes": len(known.names), "backbone": config.backbone}
    card = ModelCard(
        name="untitled",
        title="Classes of nuclei, taught by labels",
        task=model.TASK,
        architecture=model.SUPERVISED,
        arguments={"head": {**arguments, "sha256": head.trunk.sha256}},
        mpp=part.mpp,
        patch_px=CONTEXT_PX,
        classes=known.names,
        input_range=(-1.0, 1.0),
        recipe={
            key: config.to_json()[key] for key in ("classes", "seed", "backbone", "views", "c")
        },
        settings={
            "colours": list(group_colours(len(known.names))),
            "reference": reference.to_json(),
            "temperature": temperature,
            "normalise": True,
            "density": True,
            "origin": LEARNT,
            "draws": False,
            "baseline": baseline.to_json(),
        },
        not_for=(
            "diagnosis or any clinical decision",
            "stains other than H&E, cytology, frozen sections",
            f"scales far from {part.mpp:g} um/px",
        ),
    )
    head = head.eval().requires_grad_(requires_grad=False)
    where = choose_device(device, "float32")
    return model.ClassModel(card, head, None, where, reference, temperature, CONTEXT_PX)
