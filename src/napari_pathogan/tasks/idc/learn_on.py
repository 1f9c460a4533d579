"""A deep round: all layers of a model's convolutional network learn on from annotated slides.

Of a head on a frozen trunk, the head is refitted first (:mod:`~napari_pathogan.tasks.idc.live`) and its small
network, which is asked together with it, learns on; of any other model its network does. It learns from

- annotated patches, both classes as often;
- other patches of the same slides, as the heat map has them: what lies beside tumour is tumour (the
  semi-supervised term);
- generated patches, of which it shall say what it said before, so that it forgets less (generative
  replay, Shin et al. 2017).

Outlines are held back in two halves first, in which two networks learn: what is gained is measured on
the half that each has not seen. Then one learns from all.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from napari_pathogan.engine import trainer as base
from napari_pathogan.engine.before_after import FILE, HALVES, halves, judged
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.pixels import as_input
from napari_pathogan.engine.report import Report
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.engine.trainer import one_part, shuffled
from napari_pathogan.errors import DataFolderError, ModelError
from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc import live, live_retrain
from napari_pathogan.tasks.idc.augment import Augment, Palette, augment
from napari_pathogan.tasks.idc.config import DeepConfig
from napari_pathogan.tasks.idc.data import CLASSES, PatchFolder
from napari_pathogan.tasks.idc.frozen import FrozenHead
from napari_pathogan.tasks.idc.generate import IdcGenerator
from napari_pathogan.tasks.idc.generate import labels as asked_classes
from napari_pathogan.tasks.idc.metrics import mean_patient_auc
from napari_pathogan.tasks.idc.model import IdcModel
from napari_pathogan.tasks.idc.network import to_bytes
from napari_pathogan.tasks.idc.predict import BLOCK, read_block, read_colours
from napari_pathogan.tasks.idc.score import score

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.engine.devices import Device
    from napari_pathogan.engine.models import TrainingData
    from napari_pathogan.engine.report import Value
    from napari_pathogan.tasks.idc.calibrate import Calibration
    from napari_pathogan.tasks.idc.deep import DeepDiscriminator
    from napari_pathogan.tasks.idc.live import AnnotatedFeatures, SlideFeatures
    from napari_pathogan.tasks.idc.network import Discriminator

    Convolutional = Discriminator | DeepDiscriminator

T = TypeVar("T")

GENERATED = 200  # patches, by which is seen what is forgotten; others are learnt from
MOST = 1000  # patches of a slide that are not annotated and learnt from
_SEEDS = 1, 0  # of generated patches: to learn from, to measure on
_SMOOTH = 0.05
_SHOWN = 8  # patches of each class in a preview
_FLAT = 1e-9


@dataclass(frozen=True, eq=False)
class SlideLesson:
    """What a slide teaches.

    Attributes
    ----------
    part
        Its annotated patches, as figures.
    images
        uint8 (N, 50, 50, 3): its patches of ``rows``, in the colours in which the heat map looks at them.
    rows
        (N,): which of what was looked at; annotated patches first, in the order of ``part``.
    """

    part: AnnotatedFeatures
    images: np.ndarray
    rows: np.ndarray

    @property
    def annotated(self) -> np.ndarray:
        """Images of annotated patches (M, 50, 50, 3)."""
        images: np.ndarray = self.images[: len(self.part.rows)]
        return images


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches with what is to be said of them: ``wanted`` (N,) float32, 0 healthy to 1 IDC."""

    images: np.ndarray
    wanted: np.ndarray


class Trainer(base.Trainer[DeepConfig, torch.Tensor]):
    """The network, and what it is to say of three sorts of patches.

    Parameters
    ----------
    network
        Where it begins; that one stays as it is.
    scale
        Slope and intercept from its logits to log odds.
    sorts
        Annotated, other and generated patches; of the first both classes.
    held_out
        Annotated patches that it does not learn from, and whose slide each is of: measured every epoch.
    """

    def __init__(  # noqa: PLR0917
        self,
        network: Convolutional,
        scale: tuple[float, float],
        sorts: Mapping[str, Patches],
        config: DeepConfig,
        device: Device,
        held_out: tuple[Patches, np.ndarray] | None = None,
    ) -> None:
        super().__init__(config, device)
        self.scale, self.held_out, self.steps = scale, held_out, config.steps
        self.sorts = {name: one for name, one in sorts.items() if len(one.images)}
        one = copy.deepcopy(network).requires_grad_(requires_grad=True)
        one.real.requires_grad_(requires_grad=False)
        # batch norms and dropout as in use: what it knows is to be changed a little
        self.network = self.add("d", one.eval())
        learning = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.optimisers["d"] = torch.optim.AdamW(
            learning, lr=config.lr, weight_decay=config.weight_decay
        )
        images = np.concatenate([x.images for x in self.sorts.values()])
        self.images = torch.from_numpy(images)
        self.wanted = torch.from_numpy(np.concatenate([x.wanted for x in self.sorts.values()]))
        alone = np.zeros(len(images), int)
        self.palette = Palette(
            PatchFolder(images, alone.astype(np.int8), alone.astype(str), np.zeros((len(images), 2))),
            device.torch,
        )  # fmt: skip

    def batches(self) -> torch.Tensor:
        """Draw the patches of an epoch: int64 (steps, batch), of annotated ones both classes as often."""
        quarter, at = self.steps * (self.config.batch // 4), 0
        parts = []
        for name, sort in self.sorts.items():
            index = torch.arange(at, at + len(sort.images))
            at += len(sort.images)
            if name == "annotated":
                known = self.wanted[index] > 0.5
                parts += [shuffled(index[known == c], quarter) for c in (False, True)]
            else:
                parts.append(shuffled(index, quarter))
        return torch.cat([part.view(self.steps, -1) for part in parts], 1)

    def step(self, index: torch.Tensor, number: int) -> dict[str, torch.Tensor]:
        """Learn from a batch; the loss of each sort."""
        del number
        to, how = self.device.torch, Augment(jitter=self.config.jitter, turns=True)
        alone = torch.zeros(len(index), dtype=torch.long, device=to)
        x = augment(self.images[index].to(to), alone, self.palette, how)
        with self.device.autocast:
            told = self.network.idc(self.network.features(x))[:, 0]
        slope, offset = self.scale
        each = nn.functional.binary_cross_entropy_with_logits(
            slope * told.float() + offset, self.wanted[index].to(to), reduction="none"
        )
        self.update("d", each.mean(), clip=1.0)
        quarter = self.config.batch // 4
        sizes = [quarter * (2 if name == "annotated" else 1) for name in self.sorts]
        parts = each.detach().split(sizes)
        return {name: own.mean() for name, own in zip(self.sorts, parts, strict=True)}

    def trained(self) -> Convolutional:
        """The average so far, on the CPU, that learns no more."""
        network = copy.deepcopy(self.network).cpu()
        network.load_state_dict(self.weights("d"))
        return network.float().eval().requires_grad_(requires_grad=False)

    def measure(self) -> dict[str, float]:
        """AUC of the network alone on what is held out, within slides."""
        if self.held_out is None:
            return {}
        patches, slides = self.held_out
        told = score(self.trained(), patches.images, self.device)[:, 0]
        auc = mean_patient_auc((patches.wanted > 0.5).astype(int), told, slides)
        return {} if auc is None else {"held_out_auc": auc}

    def preview(self) -> tuple[str, np.ndarray]:
        """The annotated patches that it finds hardest, of each class a row."""
        patches, what = self.sorts["annotated"], "annotated"
        if self.held_out is not None:
            patches, what = self.held_out[0], "held out"
        told = score(self.trained(), patches.images, self.device)[:, 0]
        rows = []
        for idc in (False, True):
            own = np.flatnonzero((patches.wanted > 0.5) == idc)
            hardest = own[np.argsort(told[own] if idc else -told[own])][:_SHOWN]
            row = np.full((_SHOWN, *patches.images.shape[1:]), 255, np.uint8)
            row[: len(hardest)] = patches.images[hardest]
            rows.append(np.concatenate(list(row), 1))
        says = f"patches {what} that it finds hardest: healthy above, IDC below"
        return says, np.concatenate(rows)


def learner(model: IdcModel) -> tuple[Convolutional, tuple[float, float]]:
    """The network of a model that learns in a deep round, and the scale of its logits.

    Raises
    ------
    ModelError
        If the model has none.
    """
    network, scale = model.network, model.calibration
    if isinstance(network, FrozenHead):
        if network.student is None:
            msg = (
                f"{model.card.name} has no network that could learn on: it is a head on a frozen trunk without a "
                "student; refit its head (--deep left out)"
            )
            raise ModelError(msg)
        scale = model.by_student[0] if model.by_student else scale
        return network.student, (scale.slope, scale.intercept)
    return network, (scale.slope, scale.intercept)


def with_network(model: IdcModel, network: Convolutional) -> IdcModel:
    """A model whose convolutional network is another one; that stays as it is."""
    if not isinstance(model.network, FrozenHead):
        return replace(model, network=network)
    made = copy.copy(model.network)
    made._modules = {**model.network._modules, "student": network}  # noqa: SLF001
    return replace(model, network=made)


def lesson_of(
    slide: Slide, model: IdcModel, seen: SlideFeatures, part: AnnotatedFeatures
) -> Generator[Event, None, SlideLesson]:
    """Read the patches that a slide teaches by: the annotated ones, and others evenly spread."""
    others = np.flatnonzero(np.isfinite(seen.figures[:, 0]))
    others = np.setdiff1d(others, part.rows)
    others = others[np.linspace(0, len(others) - 1, min(len(others), MOST)).astype(int)]
    rows = np.concatenate([part.rows, others])
    grid, wanted = seen.plan.grid, np.zeros(seen.plan.grid.shape, bool)
    wanted[tuple(seen.where[rows].T)] = True
    colours = yield from read_colours(slide, model, seen.plan)
    recolour = colours.map_to(model.reference, model.share)
    at = np.full(grid.shape, -1)
    at[tuple(seen.where[rows].T)] = np.arange(len(rows))
    images = np.empty((len(rows), model.patch_px, model.patch_px, 3), np.uint8)
    for block in grid.blocks(wanted, BLOCK, seen.plan.middle):
        pixels = torch.from_numpy(read_block(slide, grid, block))
        images[at[tuple(block.cells.T)]] = to_bytes(as_input(pixels, recolour))
    return SlideLesson(part, images, rows)


def sorts_of(
    teacher: IdcModel, base_model: IdcModel, lessons: Sequence[SlideLesson], keep: np.ndarray
) -> dict[str, Patches]:
    """Annotated patches of which ``keep`` (M,) is true, the rest of their slides, and generated ones."""
    labels = np.concatenate([one.part.labels for one in lessons])[keep]
    images = np.concatenate([one.annotated for one in lessons])[keep]
    wanted = np.where(labels == 1, 1 - _SMOOTH, _SMOOTH).astype(np.float32)
    pictures, told = [], []
    for one in lessons:
        shown = one.part.seen.layers(teacher)[0][tuple(one.part.seen.where.T)]
        others = one.rows[len(one.part.rows) :]
        known = np.isfinite(shown[others])
        pictures.append(one.images[len(one.part.rows) :][known])
        told.append(shown[others][known].astype(np.float32))
    made = IdcGenerator.load(device="cpu").generate(GENERATED, seed=_SEEDS[0])
    network, (slope, offset) = learner(base_model)
    before = expit(slope * score(network, made, base_model.device)[:, 0] + offset)
    return {
        "annotated": Patches(images, wanted),
        "other": Patches(np.concatenate(pictures), np.concatenate(told)),
        "generated": Patches(made, before.astype(np.float32)),
    }


def learn_on(
    slides: Sequence[Path],
    base: str,
    run: RunFolder,
    *,
    config: DeepConfig,
    device: str = "auto",
    name: str = "",
    data: TrainingData | None = None,
    classes: Mapping[str, str] | None = None,
    mpp: float | None = None,
) -> Iterator[Event]:
    """Let all layers of a model's network learn from what is annotated on slides; the old model stays.

    ``run`` has been started; its checkpoints are gone on from.

    Yields
    ------
    Progress, Warn, Metrics, Preview and Checkpoint; Finished with the report of before and after.

    Raises
    ------
    DataFolderError
        If a class is missing, or annotations are of another image.
    ModelNotFoundError, ModelError
        If there is no such model, or it has no network that could learn on.
    TrainingDivergedError
        If a loss becomes NaN or infinite; the last checkpoint stays.
    """
    model = IdcModel.load(base, device)
    network, scale = learner(model)
    lessons, names = [], []
    drawings: list[Annotation] = []
    for number, path in enumerate(slides):
        yield Progress(number, len(slides), f"looking at {path.name}")
        with Slide.open(path, mpp=mpp) as slide:
            outlines, notes = live.read(slide)
            drawn = live.annotated(slide, outlines, classes)
            yield from (Warn(note) for note in (*notes, *drawn.notes))
            if not (drawn.labels >= 0).any():
                yield Warn(f"{path.name}: nothing to learn from is annotated on it")
                continue
            seen = yield from _quietly(live.look(slide, model))
            part = live.part_of(seen, drawn)
            lessons.append((yield from _quietly(lesson_of(slide, model, seen, part))))
            names.append(slide.name.split(".")[0])
            drawings += outlines
    if not lessons:
        msg = "none of the slides has annotations to learn from; draw some in the dock, or import them"
        raise DataFolderError(msg)
    labels = np.concatenate([one.part.labels for one in lessons])
    live.need_both(labels)
    held, total = _halves(lessons, labels), 1
    after = np.full(len(labels), np.nan)
    if held is not None:
        total += HALVES
        for half in range(HALVES):
            keep = held != half
            teacher = _teacher(model, lessons, keep)
            made = yield from _learnt(
                network, scale, teacher, model, lessons, keep, config,
                RunFolder(run.path / f"half_{half + 1}"), part=(half, total, f"half {half + 1}"),
            )  # fmt: skip
            after[~keep] = _says(with_network(teacher, made), lessons)[~keep]
    every = np.ones(len(labels), bool)
    teacher = _teacher(model, lessons, every)
    made = yield from _learnt(
        network, scale, teacher, model, lessons, every, config, run,
        part=(total - 1, total, "all outlines"),
    )  # fmt: skip
    yield Progress(0, 0, "comparing before and after")
    changed = with_network(teacher, made)
    changed = replace(changed, card=model.card.model_copy(update={"name": name or run.path.name}))
    if isinstance(model.network, FrozenHead):
        changed = _as_sure(changed, teacher, model, lessons)
    report = _report(model, changed, lessons, after)
    asked = {"method": "deep round", **config.to_json()}
    card = live_retrain.card_of(
        changed, model, report, names, live.digest_of(drawings), data, recipe=asked, deep=True
    )
    live_retrain.save_model(run.model, card, changed)
    write_text(run.path / FILE, report.to_json(), OURS)
    plain = report.to_dict()
    yield Finished(report, {"model": str(run.model), **plain, "before_and_after": plain})


def _quietly(events: Generator[Event, None, T]) -> Generator[Event, None, T]:
    """What a look gives, of whose events warnings alone are passed on."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return cast("T", end.value)
        if isinstance(event, Warn):
            yield event


def _halves(lessons: Sequence[SlideLesson], labels: np.ndarray) -> np.ndarray | None:
    """In which half each annotated patch is tested, those of an outline together; None where that can't be."""
    most = 1 + max(int(one.part.groups.max(initial=0)) for one in lessons)
    groups = np.concatenate([most * i + one.part.groups for i, one in enumerate(lessons)])
    held = np.empty(len(labels), int)
    for label in range(len(CLASSES)):  # of both classes in both halves
        own = labels == label
        found = halves(groups[own])
        if found is None:
            return None
        held[own] = found
    return held


def _teacher(model: IdcModel, lessons: Sequence[SlideLesson], keep: np.ndarray) -> IdcModel:
    """What says how the rest of the slides looks: the model with its head refitted, where it has one."""
    if not isinstance(model.network, FrozenHead) or model.network.past is None:
        return model
    parts, at = [], 0
    for one in lessons:
        n = len(one.part.labels)
        parts.append(one.part.take(keep[at : at + n]))
        at += n
    return live.refitted(model, [part for part in parts if len(part.labels)])


def _learnt(  # noqa: PLR0917
    network: Convolutional,
    scale: tuple[float, float],
    teacher: IdcModel,
    model: IdcModel,
    lessons: Sequence[SlideLesson],
    keep: np.ndarray,
    config: DeepConfig,
    run: RunFolder,
    *,
    part: tuple[int, int, str],
) -> Generator[Event, None, Convolutional]:
    """Let the network learn from the annotated patches that are kept, and the rest; returns it."""
    held_out = None
    if not keep.all():
        images = np.concatenate([one.annotated for one in lessons])[~keep]
        labels = np.concatenate([one.part.labels for one in lessons])[~keep]
        slides = np.repeat(np.arange(len(lessons)), [len(one.part.labels) for one in lessons])
        held_out = Patches(images, labels.astype(np.float32)), slides[~keep]
        run.start(config, resume=True)
    sorts = sorts_of(teacher, model, lessons, keep)
    trainer = Trainer(network, scale, sorts, config, model.device, held_out)
    number, total, name = part
    yield from one_part(trainer.go_on(run), number, total, name)
    return trainer.trained()


def _says(model: IdcModel, lessons: Sequence[SlideLesson]) -> np.ndarray:
    """What a model says of all annotated patches: float32 (M,)."""
    told = []
    for one in lessons:
        if isinstance(model.network, FrozenHead):
            figures = one.part.figures.astype(np.float32)
            assert model.network.student is not None
            figures[:, -1] = score(model.network.student, one.annotated, model.device)[:, 0]
            told.append(live.logits(model, figures))
        else:
            told.append(score(model.network, one.annotated, model.device)[:, 0])
    return np.concatenate(told)


def _as_sure(
    changed: IdcModel, teacher: IdcModel, model: IdcModel, lessons: Sequence[SlideLesson]
) -> IdcModel:
    """A model whose probabilities, and those of its small network alone, mean what the teacher's do.

    The lines that carry logits over are fitted to what both say of the patches of the slides.
    """
    assert isinstance(changed.network, FrozenHead)
    assert changed.network.student is not None
    figures = np.concatenate([one.part.seen.figures[one.rows] for one in lessons]).astype(
        np.float32
    )
    wanted = live.logits(teacher, figures)
    alone = np.concatenate(
        [score(changed.network.student, one.images, changed.device)[:, 0] for one in lessons]
    )
    figures[:, -1] = alone
    both = live.logits(changed, figures)
    scales = (teacher.calibration, teacher.context.calibration)

    def carried(told: np.ndarray) -> list[Calibration]:
        spread = float(told.var())
        a = float(np.cov(told, wanted, bias=True)[0, 1]) / spread if spread > _FLAT else 1.0
        a = a if a > 0 else 1.0
        b = float(wanted.mean() - a * told.mean())
        return [
            replace(one, slope=a * one.slope, intercept=b * one.slope + one.intercept)
            for one in scales
        ]

    patch, region = carried(both)
    own_patch, own_region = carried(alone)
    fast = None
    if model.by_student is not None:
        fast = (own_patch, replace(model.by_student[1], calibration=own_region))
    return replace(
        changed, calibration=patch, context=replace(changed.context, calibration=region), by_student=fast
    )  # fmt: skip


def _report(
    model: IdcModel, changed: IdcModel, lessons: Sequence[SlideLesson], after: np.ndarray
) -> Report:
    """Before and after: on outlines held back, and on generated patches."""
    labels, groups = (
        np.concatenate([getattr(one.part, what) for one in lessons])
        for what in ("labels", "groups")
    )
    slides = np.repeat(np.arange(len(lessons)), [len(one.part.labels) for one in lessons])
    metrics: dict[str, Value] = {}
    notes = []
    if np.isfinite(after).all():
        groups = slides * (1 + groups.max()) + groups
        found = live_retrain.Compared(labels, _says(model, lessons), after, slides, groups)
        metrics |= found.values("held_back")
        notes.append(
            "held back: each half of the outlines by a network that learnt from the other half alone"
        )
    else:
        notes.append("held back: not measured, which needs two outlines of each class at least")
    made = IdcGenerator.load(device="cpu").generate(GENERATED, seed=_SEEDS[1])
    one, two = (score(learner(x)[0], made, model.device)[:, 0] for x in (model, changed))
    alone = np.zeros(len(made), int), np.arange(len(made))
    metrics |= live_retrain.Compared(asked_classes(len(made), None), one, two, *alone).values(
        "generated"
    )
    notes.append(
        f"generated: by the network that learnt on, alone, on {len(made)} generated patches that it did not learn "
        "from; what it falls by is forgotten"
    )
    counts = {f"n_{name}": int((labels == i).sum()) for i, name in enumerate(CLASSES)}
    done = Report(f"{model.card.name}, before and after", metrics, counts, tuple(notes))
    return judged(done, "held_back_auc")
