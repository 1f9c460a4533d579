"""From two pools to a pair's model: trained without some slides, and measured on those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.devices import choose_device
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.models import ModelCard, TrainingData, card_metrics
from napari_pathogan.errors import NoTissueError
from napari_pathogan.tasks.virtual_stain.config import RECIPES
from napari_pathogan.tasks.virtual_stain.evaluate import measure
from napari_pathogan.tasks.virtual_stain.model import TASK, VirtualStainModel, save
from napari_pathogan.tasks.virtual_stain.stains import stain_title
from napari_pathogan.tasks.virtual_stain.start import begin
from napari_pathogan.tasks.virtual_stain.train import Trainer
from napari_pathogan.tasks.virtual_stain.trust import for_card

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from napari_pathogan.engine.report import Report
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.tasks.virtual_stain.config import TrainConfig
    from napari_pathogan.tasks.virtual_stain.data import Pair

_INTENDED = (
    "Research use only: a guess of what tissue would look like in another stain, to look at and to "
    "train classifiers on. The images must stay marked as virtual and synthetic."
)
_TRIED_PX = 96  # sides of images that defects are planted in, to try maps of doubt
_NOT_FOR = (
    "diagnosis: what a virtual stain shows is guessed, and structures may be invented",
    "measuring how much of a stain tissue takes up",
    "slides of other stains than these two",
)


def check(
    pair: Pair,
    config: TrainConfig,
    *,
    holdout: float = 0.0,
    source_stain: str | None = None,
    target_stain: str | None = None,
) -> None:
    """Make sure that the stains are said and differ, and that slides can be held out.

    Raises
    ------
    SettingError
        If they don't.
    DataFolderError
        If a pool is of one slide.
    """
    if not source_stain or not target_stain or source_stain == target_stain:
        msg = (
            "a pair has two stains: say of which one the images of each folder are, such as "
            "--source-stain pas --target-stain he"
        )
        raise SettingError(msg)
    pair.split(holdout, config.seed)


def learn(
    pair: Pair,
    config: TrainConfig,
    run: RunFolder,
    *,
    source_stain: str,
    target_stain: str,
    holdout: float = 0.0,
    mpp: float | None = None,
    start: str = "",
    name: str = "",
    data: TrainingData | None = None,
    device: str = "auto",
) -> Iterator[Event]:
    """Train a CycleGAN on two pools and write its model to ``run.model``.

    Parameters
    ----------
    holdout
        Share of each pool's slides that is not learnt from, but measured on.
    mpp
        um per pixel of the images, where somebody knows.
    start
        A pair to begin with.
    name, data
        Of the model, and what it learns from, for the card.

    Yields
    ------
    The events of the training; the last is Finished with a report, None where nothing is held out.

    Raises
    ------
    As :func:`check`; TrainingDivergedError if a loss becomes NaN or infinite.
    """
    inside, outside = pair.split(holdout, config.seed)
    for note in pair.notes():
        yield Warn(note)
    trainer = Trainer(inside, config, choose_device(device))
    before = begin(trainer, start, source_stain)
    yield from trainer.go_on(run)
    stains = source_stain, target_stain
    about = data or TrainingData(name="two pools of images")
    named = name or run.path.name
    card = _card(inside, config, stains, name=named, about=about, mpp=mpp, before=before)
    _save(run, card, trainer, stains)
    model = VirtualStainModel.load(run.model, device)
    more: dict[str, Any] = {}
    report: Report | None = None
    if outside is not None:
        yield Progress(1, 1, "measuring on the slides that were held out")
        report = measure(model, outside)
        options = {"holdout": holdout, "mpp": mpp, "start": start}
        more["metrics"] = card_metrics(report.metrics)
        more["measured_by"] = _how(config, stains, options)
    try:
        held = {} if outside is None else _images(outside, stains, _TRIED_PX)
        more["settings"] = for_card(model, _images(inside, stains), held)
    except NoTissueError as error:
        yield Warn(f"how far a slide is from these pools will not be told: {error}")
    _save(run, card.model_copy(update=more), trainer, stains)
    yield Finished(report, {"model": str(run.model)})


def _images(
    pair: Pair, stains: tuple[str, str], least_px: int = 0
) -> dict[str, tuple[np.ndarray, ...]]:
    """Images of each stain, those of ``least_px`` and more."""
    return {
        stain: tuple(image for image in pool.images if min(image.shape[:2]) >= least_px)
        for stain, pool in zip(stains, pair.pools, strict=True)
    }


def _card(
    pair: Pair,
    config: TrainConfig,
    stains: tuple[str, str],
    *,
    name: str,
    about: TrainingData,
    mpp: float | None,
    before: tuple[TrainingData, ...],
) -> ModelCard:
    source, target = map(stain_title, stains)
    numbers = " and ".join(str(len(pool)) for pool in pair.pools)
    slides = [slide for pool in pair.pools for slide in pool.slides]
    learnt = about.of(slides, len(slides))
    return ModelCard(
        name=name,
        title=f"{source} to {target} and back, of {numbers} images: virtual, synthetic",
        task=TASK,
        architecture="",
        mpp=mpp,
        patch_px=config.crop,
        classes=(stains[1], stains[0]),
        training_data=(*(one for one in before if one != learnt), learnt),
        recipe=config.to_json(),
        intended_use=_INTENDED,
        not_for=_NOT_FOR,
        licence=about.terms,
    )


def _save(run: RunFolder, card: ModelCard, trainer: Trainer, stains: tuple[str, str]) -> None:
    c = trainer.config
    save(
        run.model,
        card,
        trainer.parts(),
        source_stain=stains[0],
        target_stain=stains[1],
        ngf=c.ngf,
        blocks=c.blocks,
        ndf=c.ndf,
        residual=c.residual,
    )


def _how(config: TrainConfig, stains: tuple[str, str], options: Mapping[str, object]) -> str:
    """The command that gives the figures again; options that were not given have no value."""
    asked = [f"--source-stain {stains[0]} --target-stain {stains[1]}"]
    asked += [f"--{name} {value}" for name, value in options.items() if value]
    command = f"pathogan virtual-stain train SOURCE TARGET -o RUN {config.typed(RECIPES)}"
    return f"{' '.join([command, *asked])}: on slides it had not seen"
