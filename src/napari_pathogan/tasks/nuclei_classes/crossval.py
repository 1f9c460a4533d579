"""The finished class model, and what seeds on held-out images say of how it is made.

Labels, where there are any, are not learnt from unless that is asked for (:mod:`.supervised`).
They name the clusters (of each model by the images it was fitted to), and score them (on the
others).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.crossval import cross_validate
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Event, Finished, Warn
from napari_pathogan.engine.models import Metric, ModelCard, TrainingData, Validation, card_metrics
from napari_pathogan.engine.report import Report, Value
from napari_pathogan.engine.runs import save_arrays
from napari_pathogan.engine.trainer import one_part
from napari_pathogan.errors import DataFolderError
from napari_pathogan.tasks.nuclei_classes import model
from napari_pathogan.tasks.nuclei_classes.baseline import (
    ABOUT,
    RingBaseline,
    held_out,
    ring_figures,
)
from napari_pathogan.tasks.nuclei_classes.crops import CROP_PX
from napari_pathogan.tasks.nuclei_classes.data import Labelled, image_groups
from napari_pathogan.tasks.nuclei_classes.evaluate import (
    as_baseline,
    baselines,
    confusion,
    count,
    doubt,
    labelled,
    scored_on,
    values,
)
from napari_pathogan.tasks.nuclei_classes.matching import contingency, hungarian
from napari_pathogan.tasks.nuclei_classes.naming import group_colours, group_names
from napari_pathogan.tasks.nuclei_classes.train import Trained, need_nuclei, train

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.nuclei_classes.config import TrainConfig
    from napari_pathogan.tasks.nuclei_classes.data import Nuclei
    from napari_pathogan.tasks.nuclei_classes.kmeans import ResNetFeatures

FOLDS = 5
SCALE_SLACK = 1.2  # a slide this much finer or coarser is as good as at the model's scale
_HOTTEST = 20.0


@dataclass(frozen=True, eq=False)
class Tried:
    """One seed's model on all nuclei: which it had not seen, and its logits (N, classes)."""

    unseen: np.ndarray
    logits: np.ndarray


def learn(
    nuclei: Nuclei,
    config: TrainConfig,
    run: RunFolder,
    *,
    seeds: int = 0,
    scored: Sequence[str] = (),
    resnet: ResNetFeatures | None = None,
    device: str = "auto",
    name: str = "",
    data: TrainingData | None = None,
    tissue: str = "",
) -> Iterator[Event]:
    """Train a class model on all nuclei, and save it in the run.

    Parameters
    ----------
    seeds
        First train so many models with other seeds, each without another fifth of the images, to
        measure the recipe on those. Needs labels. 0: don't.
    scored
        Classes to name clusters after; the ``config.classes`` most frequent ones by default.
    resnet
        For k-means on its features, beside that on pixels.
    name
        Of the model; the run's folder name by default.
    data
        What the images are and on what terms, for the card.
    tissue
        The organ that the images are of: with ``seeds``, the names hold for it, at this scale.

    Yields
    ------
    Those of :func:`~napari_pathogan.tasks.nuclei_classes.train.train`; ``Finished`` with the report on
    held-out images, or None, as its result.
    """
    check(nuclei, config, seeds=seeds)
    for line in nuclei.skipped:
        yield Warn(f"left out {line}")
    names = tuple(scored) or most_frequent(nuclei, config.classes)
    report, temperature = None, 1.0
    if seeds:
        tried = yield from _try_seeds(nuclei, config, run, seeds, device)
        report, temperature = _reported(nuclei, labelled(nuclei, names), tried, config, resnet)
    learning = train(nuclei, config, run, device=device)
    finished = yield from one_part(learning, seeds, seeds + 1, "all images" if seeds else "")
    done = assemble(finished.result, config, nuclei.mpp, device, temperature)
    data = data or TrainingData(name="nuclei")
    data = data.of(nuclei.names, len(nuclei.names))
    update: dict[str, Any] = {
        "name": name or run.path.name,
        "title": f"InfoGAN of {config.classes} classes of nuclei, {data.n_images} images",
        "training_data": (data,),
    }
    if report:
        figures = card_metrics(report.metrics)
        update |= {"metrics": figures, "measured_by": _how(config, seeds)}
        if tissue:
            update["validated_on"] = (validation(tissue, nuclei, figures["accuracy"]),)
    done.card = done.card.model_copy(update=update)
    if names:
        done = named(done, nuclei, names)
    done = with_baseline(done, nuclei)
    model.save(run.model, done)
    summary = {"model": str(run.model), "classes": list(done.names)}
    yield Finished(report, summary | ({"held_out": report.to_dict()} if report else {}))


def with_baseline(trained: model.ClassModel, nuclei: Nuclei) -> model.ClassModel:
    """The same model with k-means on rings, fitted to its training images, in its card.

    Its clusters are named by the labels of those images, if any, as the model's own were.
    """
    figures = ring_figures(nuclei)
    fitted = RingBaseline.fit_kmeans(figures, len(trained.names))
    if np.isin(nuclei.classes, trained.names).any():
        known = labelled(nuclei, trained.names)
        fitted = fitted.named(figures[known.which], known.classes, len(known.names))
    settings = {**trained.card.settings, "baseline": fitted.to_json()}
    return replace(trained, card=trained.card.model_copy(update={"settings": settings}))


def validation(tissue: str, nuclei: Nuclei, accuracy: Metric) -> Validation:
    """That the names hold on a tissue, at the scale of these nuclei."""
    scale = round(nuclei.mpp / SCALE_SLACK, 2), round(nuclei.mpp * SCALE_SLACK, 2)
    return Validation(organ=tissue, mpp=scale, n_images=len(nuclei.names), accuracy=accuracy)


def check(nuclei: Nuclei, config: TrainConfig, *, seeds: int, tissue: str = "") -> None:
    """Make sure that :func:`learn` has what it needs, before anything is written.

    Raises
    ------
    DataFolderError
        If there are too few nuclei or, to try seeds, too few images or no labels.
    SettingError
        If names shall hold for a tissue, and no seeds are tried on it.
    """
    if tissue and not seeds:
        msg = f"tissue={tissue} would count for nothing: names hold where seeds are tried (--seeds)"
        raise SettingError(msg)
    need_nuclei(nuclei, config.classes)
    if seeds:
        labelled(nuclei, most_frequent(nuclei, config.classes))
        if len(nuclei.names) < FOLDS:
            msg = f"to try seeds a fifth of the images is held out; {len(nuclei.names)} are too few"
            raise DataFolderError(msg)


def most_frequent(nuclei: Nuclei, n: int) -> tuple[str, ...]:
    """The ``n`` most frequent classes of the labels, the most frequent first."""
    names, counts = np.unique(nuclei.classes[nuclei.classes != ""], return_counts=True)
    return tuple(str(name) for name in names[np.argsort(-counts, kind="stable")[:n]])


def _how(config: TrainConfig, seeds: int) -> str:
    return (
        f"pathogan nuclei classes train DIR -o RUN --classes {config.classes} --seeds {seeds}, with "
        "this recipe: each seed matched on the images it was fitted to, scored on the fifth it "
        "was not, images of like colours being held out together; mean over seeds, intervals over "
        "images (of which patient each is, is not known)"
    )


def _try_seeds(
    nuclei: Nuclei, config: TrainConfig, run: RunFolder, seeds: int, device: str
) -> Generator[Event, None, list[Tried]]:
    fold = image_groups(nuclei, FOLDS)
    # the game leaves a fitted class head alone, so what it would draw need not be drawn
    epochs = 0 if config.rounds else config.epochs
    own = [replace(config, seed=config.seed + 1 + i, epochs=epochs) for i in range(seeds)]
    unseen = [fold == i % FOLDS for i in range(seeds)]

    def learn_without(i: int, part: RunFolder) -> Generator[Event, None, Trained]:
        part.start(own[i], resume=True)
        training = train(nuclei.take(~unseen[i]), own[i], part, device=device)
        finished = yield from one_part(training, i, seeds + 1, f"seed {i + 1} of {seeds}")
        trained: Trained = finished.result
        return trained

    def test(i: int, trained: Trained, file: Path) -> tuple[Event, ...]:
        logits = logits_of(nuclei, assemble(trained, own[i], nuclei.mpp, device))
        save_arrays(file, {"logits": logits})
        return ()

    kept = "logits.safetensors"
    files = yield from cross_validate(run, seeds, kept, learn_without, test, under="seeds")
    return [Tried(own, load_file(file)["logits"]) for own, file in zip(unseen, files, strict=True)]


def _reported(
    nuclei: Nuclei,
    known: Labelled,
    tried: list[Tried],
    config: TrainConfig,
    resnet: ResNetFeatures | None,
) -> tuple[Report, float]:
    """Figures over seeds, and the temperature at which unseen nuclei are doubted as they should."""
    counts, plain, logits, classes, images = [], [], [], [], []
    rings = ring_figures(nuclei)
    for one in tried:
        called = held_out(known, rings, one.unseen, config.classes)[known.which]
        plain.append(count(called, known, one.unseen[known.which]))
        own, unseen = one.logits[known.which], one.unseen[known.which]
        found = own.argmax(1)
        counts.append(scored_on(unseen, found, known, config.classes))
        table = contingency(found[~unseen], known.classes[~unseen], (config.classes,) * 2)
        order = hungarian(table)
        if sorted(order) == list(range(len(known.names))):
            logits.append(own[unseen][:, np.argsort(order)])
            classes.append(known.classes[unseen])
            images.append(known.image[unseen])
    stacked = np.stack(counts)
    metrics = values(stacked, known.names)
    each = np.array([np.trace(c.sum(0)) / c.sum() for c in counts])
    metrics["accuracy_spread_of_seeds"] = Value(float(each.std()))
    metrics |= as_baseline(np.stack(plain), known.names)
    metrics |= baselines(nuclei.take(known.which), known, config.classes, resnet)
    temperature = 1.0
    if logits:
        temperature = best_temperature(np.concatenate(logits), np.concatenate(classes))
        share = softmax(np.concatenate(logits) / temperature, 1)
        held = known._replace(classes=np.concatenate(classes), image=np.concatenate(images))
        metrics |= doubt(share, held)
    notes = [
        f"{len(tried)} seeds, each scored on a fifth of the images that it was not fitted to",
        f"baseline: k-means on {ABOUT}, fitted to the same images and matched in the same way",
    ]
    if resnet is not None:
        notes.append(f"ResNet: {resnet.about}")
    notes += [f"left out: {n} {kind}" for kind, n in known.left_out.items()]
    n = {
        "n_nuclei": len(known.which),
        "n_images": len(np.unique(known.image)),
        "n_seeds": len(each),
    }
    n |= confusion(stacked.sum((0, 1)), known.names)
    return Report("InfoGAN on held-out images", metrics, n, tuple(notes)), temperature


def best_temperature(logits: np.ndarray, classes: np.ndarray, *, balanced: bool = False) -> float:
    """What logits (N, C) must be divided by so that they say best how likely classes (N,) are.

    ``balanced``: each class counts the same, however many nuclei it has.
    """
    weight = 1 / np.bincount(classes)[classes] if balanced else None

    def surprise(temperature: float) -> float:
        scaled = log_softmax(logits / temperature, 1)
        right = scaled[np.arange(len(classes)), classes]
        return -float(np.average(right, weights=weight))

    return float(minimize_scalar(surprise, bounds=(0.2, _HOTTEST), method="bounded").x)


def logits_of(nuclei: Nuclei, trained: model.ClassModel) -> np.ndarray:
    """Class logits of nuclei in the colours of their images: float32 (N, C)."""
    found = np.empty((len(nuclei), len(trained.names)), np.float32)
    for name, own in nuclei.by_image():
        found[own] = trained.logits(nuclei.cropped(trained.crop_px)[own], nuclei.stains[name])
    return found


def named(trained: model.ClassModel, nuclei: Nuclei, names: Sequence[str]) -> model.ClassModel:
    """Name a model's clusters after the labels that its own training images have."""
    known = labelled(nuclei, names)
    found = logits_of(nuclei.take(known.which), trained).argmax(1)
    return _called(
        trained, contingency(found, known.classes, (len(trained.names), len(names))), names
    )


def named_like(
    trained: model.ClassModel, nuclei: Nuclei, other: model.ClassModel, same: Nuclei
) -> tuple[model.ClassModel, float]:
    """Name a model's clusters after what another model calls the same nuclei.

    Parameters
    ----------
    nuclei, same
        The same nuclei in the same order, at the scale of ``trained`` and of ``other``.

    Returns
    -------
    model, agreement
        With the names and colours of ``other``; share of nuclei that both call the same.
    """
    found, wanted = logits_of(nuclei, trained).argmax(1), logits_of(same, other).argmax(1)
    table = contingency(found, wanted, (len(trained.names), len(other.names)))
    done = _called(trained, table, other.names)
    colour = dict(zip(other.names, other.colours, strict=True))
    colours = [colour.get(n, c) for n, c in zip(done.names, done.colours, strict=True)]
    classes = hungarian(table)
    return done.renamed(done.names, colours), float((classes[found] == wanted).mean())


def _called(trained: model.ClassModel, table: np.ndarray, names: Sequence[str]) -> model.ClassModel:
    """Name clusters by a table of (clusters, names) counts; names given twice are numbered."""
    called: list[str] = []
    letters = group_names(len(table))
    for cluster, label in enumerate(hungarian(table)):
        title = names[label] if label >= 0 else letters[cluster]
        again = sum(one.split(" (")[0] == title for one in called)
        called.append(f"{title} ({again + 1})" if again else title)
    return trained.renamed(called)


def assemble(
    trained: Trained, config: TrainConfig, mpp: float, device: str = "auto", temperature: float = 1
) -> model.ClassModel:
    """A class model of what a training ended with; its classes are group A, B, ..."""
    sizes = {"classes": config.classes, "width": config.width, "latent": config.latent}
    card = ModelCard(
        name="untitled",
        title="InfoGAN of nuclei",
        task=model.TASK,
        architecture=model.ARCHITECTURE,
        arguments={
            "critic": {**sizes, "head": config.head, "told": config.told},
            "generator": sizes,
        },
        mpp=mpp,
        patch_px=CROP_PX,
        classes=group_names(config.classes),
        input_range=(-1.0, 1.0),
        recipe=config.to_json(),
        settings={
            "colours": list(group_colours(config.classes)),
            "reference": trained.reference.to_json(),
            "temperature": temperature,
            "normalise": config.normalise,
            "density": config.density,
        },
        not_for=(
            "diagnosis or any clinical decision",
            "stains other than H&E, cytology, frozen sections",
            f"scales far from {mpp:g} um/px",
        ),
    )
    return model.ClassModel(
        card,
        trained.critic,
        trained.generator,
        choose_device(device, "float32"),
        trained.reference,
        temperature,
    )
