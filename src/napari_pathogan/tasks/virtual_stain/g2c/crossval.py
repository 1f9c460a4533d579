"""Arms beside each other on the same patient folds, and the finished models.

The figures come from here: every patient is looked at by a network that never saw an image of
theirs, and all arms are tested in the same folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import load_file

from napari_pathogan.engine.backbones import origin
from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.crossval import OUT_OF_FOLD, cross_validate, write_folds
from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.folds import patient_folds
from napari_pathogan.engine.models import ModelCard, TrainingData, card_metrics
from napari_pathogan.engine.runs import RunFolder, save_arrays
from napari_pathogan.engine.trainer import one_part
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.tasks.virtual_stain.g2c import model
from napari_pathogan.tasks.virtual_stain.g2c.config import SOURCE
from napari_pathogan.tasks.virtual_stain.g2c.data import need_classes
from napari_pathogan.tasks.virtual_stain.g2c.evaluate import Scored, gain, gains, report, table
from napari_pathogan.tasks.virtual_stain.g2c.generators import arms, load_stainers
from napari_pathogan.tasks.virtual_stain.g2c.network import G2C, arguments_of, new_backend
from napari_pathogan.tasks.virtual_stain.g2c.train import Trainer, look

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.engine.report import Report, Value
    from napari_pathogan.tasks.virtual_stain.g2c.config import TrainConfig
    from napari_pathogan.tasks.virtual_stain.g2c.data import ClassFolder
    from napari_pathogan.tasks.virtual_stain.g2c.generators import Stainer

TABLES = "tables.md"
UNSAID = "source"  # the stain of images of which nobody says it


def check(
    images: ClassFolder,
    config: TrainConfig,
    *,
    generators: Sequence[str] | None = None,
    stain: str = "",
    folds: int = 0,
    patch_mpp: float | None = None,
) -> None:
    """Make sure that :func:`learn` has what it needs, before anything is written.

    Raises
    ------
    SettingError
        If the arm lacks generators or has no use for them, two make the same stain, the images'
        stain is not said, or a back end that begins with random weights shall stay as it is.
    SourceStainError
        If a generator does not take images of their stain.
    ModelNotFoundError, ModelError
        If a generator or trunk is missing, or can't be read.
    DataFolderError
        If there are fewer patients than folds, or all images of a class are in one fold.
    """
    arms(config.arm, load_stainers(generators or (), stain))
    if config.frozen_trunk and not config.pretrained:
        msg = f"frozen_trunk=true is for a pretrained trunk; backend={config.backend} must learn"
        raise SettingError(msg)
    if config.pretrained:
        new_backend(config)
    if patch_mpp is not None and images.patch_px is None:
        msg = "patch_mpp is for images of one size; these differ, so slides can't be cut alike"
        raise SettingError(msg)
    if folds:
        fold = patient_folds(images.patients, folds)
        for k in range(folds):
            need_classes(images.take(fold != k), f"what fold {k + 1} of {folds} learns from")


@dataclass(frozen=True, eq=False)
class _Work:
    """What all arms and folds have in common; ``about`` the images is for the cards."""

    images: ClassFolder
    config: TrainConfig
    device: Device
    stainers: tuple[Stainer, ...]
    fold: np.ndarray
    seen: torch.Tensor | None
    parts: int
    stain: str
    patch_mpp: float | None
    about: TrainingData

    @property
    def folds(self) -> int:
        return int(self.fold.max()) + 1


@dataclass(frozen=True, eq=False)
class _Learnt:
    """A network, and the share of its training images of each class that it is right of (C,)."""

    network: G2C
    recall: np.ndarray


def learn(
    images: ClassFolder,
    config: TrainConfig,
    run: RunFolder,
    *,
    generators: Sequence[str] | None = None,
    stain: str = "",
    folds: int = 0,
    patch_mpp: float | None = None,
    device: str = "auto",
    name: str = "",
    data: TrainingData | None = None,
) -> Iterator[Event]:
    """Train the arms that the configuration asks for, and save a model of each.

    Parameters
    ----------
    generators
        Pairs of stains, by name or folder.
    stain
        That the images have: ``he``, ``pas``, ...
    folds
        First cross-validate over so many patient folds, the same for all arms. 0: no figures.
    patch_mpp
        um per pixel of the images, which lets the model look at slides.
    name
        Of the model; the run's folder name by default.
    data
        What the images are and on what terms, for the card.

    Yields
    ------
    The trainers'; ``Finished`` with a report an arm, out of fold, or None, as its result. Of
    several arms the last, with all stains, lies in ``RUN/model``, the others in ``RUN/arms``.

    Raises
    ------
    As :func:`check`.
    """
    check(images, config, generators=generators, stain=stain, folds=folds, patch_mpp=patch_mpp)
    yield from (Warn(note) for note in images.notes)
    stainers = load_stainers(generators or (), stain)
    ways = arms(config.arm, stainers)
    fold = patient_folds(images.patients, folds) if folds else np.full(len(images), -1)
    write_folds(run, images.patients, fold)
    where = choose_device(device)
    seen = (yield from _seen(images, config, where, stainers)) if config.still else None
    about = data or TrainingData(name="images")
    parts = len(ways) * (folds + 1)
    work = _Work(
        images, config, where, stainers, fold, seen, parts, stain or UNSAID, patch_mpp, about
    )
    scored: dict[str, Scored] = {}
    reports: dict[str, Report] = {}
    for number, (arm, which) in enumerate(ways.items()):
        own = RunFolder(run.path / "arms" / arm)
        if number == len(ways) - 1:
            own = run
        else:
            own.start(config, resume=True)
        first = number * (folds + 1)
        if folds:
            scored[arm] = yield from _out_of_fold(work, own, arm, which, first)
            reports[arm] = report(scored[arm], title=_title(arm, work.stain))
        learnt = yield from _one(work, own, arm, which, np.full(len(images), True), first + folds)
        called = (name or run.path.name) + (f"-{arm}" if own is not run else "")
        _save(work, own.model, called, arm, which, learnt, reports.get(arm))
    summary: dict[str, object] = {"model": str(run.model)}
    summary |= {arm: one.to_dict() for arm, one in reports.items()}
    if len(reports) > 1:
        text = _tables(scored, reports, work.stain)
        write_text(run.path / TABLES, text, OURS)
        summary["tables"] = str(run.path / TABLES)
    yield Finished(tuple(reports.values()) or None, summary)


def _title(arm: str, stain: str) -> str:
    return f"{stain} alone, out of fold" if arm == SOURCE else f"{stain} and {arm}, out of fold"


def _tables(scored: dict[str, Scored], reports: dict[str, Report], stain: str) -> str:
    source = scored[SOURCE]
    compared: dict[str, dict[str, Value]] = {
        arm: gain(one, source) for arm, one in scored.items() if arm != SOURCE
    }
    return f"{table(reports, source.classes, stain)}\n{gains(compared, stain)}"


def _seen(
    images: ClassFolder, config: TrainConfig, device: Device, stainers: Sequence[Stainer]
) -> Generator[Event, None, torch.Tensor]:
    """What the frozen trunk sees of all images in all stains, once: float32 (N, M + 1, F)."""
    network = G2C(new_backend(config), [one.network for one in stainers], len(images.classes))
    network.to(device.torch)
    seen = torch.empty(len(images), len(stainers) + 1, network.backend.outputs)
    what = f"looking at {len(stainers) + 1} stains with {config.backend}"
    yield Progress(0, len(images), what)
    for part, done in look(network, images, config.side, device):
        seen[part] = done
        yield Progress(part.stop, len(images), what)
    return seen


def _one(  # noqa: PLR0917 - as they come
    work: _Work, run: RunFolder, arm: str, which: tuple[int, ...], index: np.ndarray, part: int
) -> Generator[Event, None, _Learnt]:
    """Train one arm on some images (a mask), and look at how well it knows them."""
    images, config = work.images.take(index), work.config
    seen = work.seen
    if seen is not None:
        seen = seen[torch.from_numpy(np.flatnonzero(index))][:, [0, *(i + 1 for i in which)]]
    trainer = Trainer(images, config, work.device, [work.stainers[i].network for i in which], seen)

    def training() -> Iterator[Event]:
        yield from trainer.go_on(run)
        yield Finished()

    folds = work.folds
    fold = "all patients" if part % (folds + 1) == folds else f"fold {part % (folds + 1) + 1}"
    yield from one_part(training(), part, work.parts, f"{arm}, {fold}" if work.parts > 1 else "")
    network = trainer.g2c.eval()
    logits, means = yield from _said(network, images, seen, config, work.device)
    with torch.no_grad():
        network.means.copy_(means)
    right = logits.argmax(1) == images.labels
    total = np.bincount(images.labels, minlength=len(images.classes))
    recall = np.bincount(images.labels, right, len(images.classes)) / total
    return _Learnt(network, recall)


def _said(
    network: G2C,
    images: ClassFolder,
    seen: torch.Tensor | None,
    config: TrainConfig,
    device: Device,
) -> Generator[Event, None, tuple[np.ndarray, torch.Tensor]]:
    """Logits (N, C) of images, and the mean (M + 1, F) of what is seen of them."""
    known = [(slice(0, len(images)), seen)] if seen is not None else None
    logits, total = [], torch.zeros(network.means.shape, dtype=torch.float64)
    for part, done in known or look(network, images, config.side, device):
        with torch.inference_mode():
            logits.append(network.decide(done.to(device.torch)).cpu().numpy())
        total += done.double().sum(0)
        if seen is None:
            yield Progress(part.stop, len(images), "looking at the images once more")
    return np.concatenate(logits), (total / len(images)).float()


def _out_of_fold(
    work: _Work, run: RunFolder, arm: str, which: tuple[int, ...], first: int
) -> Generator[Event, None, Scored]:
    """Cross-validate one arm."""

    def learn_without(k: int, part: RunFolder) -> Generator[Event, None, _Learnt]:
        part.start(work.config, resume=True)
        return (yield from _one(work, part, arm, which, work.fold != k, first + k))

    def test(k: int, learnt: _Learnt, file: Path) -> Iterator[Event]:
        tested = work.fold == k
        seen = work.seen
        if seen is not None:
            seen = seen[torch.from_numpy(np.flatnonzero(tested))][:, [0, *(i + 1 for i in which)]]
        part = work.images.take(tested)
        logits, _ = yield from _said(learnt.network, part, seen, work.config, work.device)
        save_arrays(file, {"logits": logits, "recall": learnt.recall})

    files = yield from cross_validate(run, work.folds, OUT_OF_FOLD, learn_without, test)
    logits = np.zeros((len(work.images), len(work.images.classes)), np.float32)
    recalls = []
    for k, file in enumerate(files):
        kept = load_file(file)
        logits[work.fold == k] = kept["logits"]
        recalls.append(kept["recall"])
    return Scored.of(work.images, logits, np.mean(recalls, 0))


def _save(  # noqa: PLR0917 - as they come
    work: _Work,
    folder: Path,
    name: str,
    arm: str,
    which: tuple[int, ...],
    learnt: _Learnt,
    done: Report | None,
) -> None:
    """Write the model of an arm, with what was measured of it out of fold."""
    images, config = work.images, work.config
    used = [work.stainers[i] for i in which]
    made = ", ".join(one.stain for one in used)
    stains = f"{work.stain} and virtual {made}" if made else f"{work.stain} alone"
    metrics = card_metrics(done.metrics) if done else {}
    recall = dict(zip(images.classes, learnt.recall.tolist(), strict=True))
    own = work.about.of(images.names, len(images))
    begun = origin(config.backend) if config.pretrained else ()
    painted = [one for pair in used for one in pair.data]
    card = ModelCard(
        name=name,
        title=f"{', '.join(images.classes)}: {stains}, {config.backend}",
        task=model.TASK,
        architecture=model.ARCHITECTURE,
        mpp=work.patch_mpp,
        patch_px=images.patch_px,
        training_data=(own, *begun, *painted),
        recipe={**config.to_json(), "arm": arm},
        metrics=metrics,
        measured_by=(
            f"pathogan g2c train DIR -o RUN --folds {work.folds}, with this recipe: out of fold"
            if metrics
            else ""
        ),
        settings={"training_accuracy": recall},
        not_for=(
            "diagnosis or any clinical decision",
            "images in another stain, of another organ or at another scale than it learnt from",
            "reading a virtual stain as a real one",
        ),
    )
    model.save(
        folder,
        card,
        learnt.network,
        used,
        learnt=config.joint and config.epochs > config.freeze,
        source_stain=work.stain,
        backend=arguments_of(learnt.network.backend, config),
        side=config.side,
        groups=images.groups,
    )
