"""The four arms of the paper's comparison: what a detector learns from beside real mammograms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.tasks.blending.config import TrainConfig as BlendConfig
from napari_pathogan.tasks.blending.model import BlendModel, learn
from napari_pathogan.tasks.blending.synthesise import synthesise
from napari_pathogan.tasks.masses.examples import example
from napari_pathogan.tasks.masses.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_pathogan.tasks.masses.config import TrainConfig
    from napari_pathogan.tasks.masses.data import MassFolder
    from napari_pathogan.tasks.masses.examples import Example


def synthetic(
    folder: MassFolder, config: TrainConfig, run: RunFolder, device: str
) -> Generator[Event, None, list[Example]]:
    """Make the synthetic mammograms of an arm, from a folder's own lesions and healthy images.

    The GAN of an arm that has one learns first, from the same folder, in ``run/blending``: a fold's
    synthetic images know nothing of the patients it is tested on.

    Returns
    -------
    As many as the configuration asks for; none for the arm ``real``.
    """
    if config.arm == "real":
        return []
    model = None
    if config.arm != "poisson":
        model = yield from _gan(folder, config, RunFolder(run.path / "blending"), device)
    made = []
    drawn = synthesise(folder, config.synthetic, method=config.arm, seed=config.seed, model=model)
    for number, one in enumerate(drawn):
        yield Progress(number, config.synthetic, "blending lesions into healthy breasts")
        frame = Frame.of(one.image, config.long_side, config.grey)
        made.append(example(frame, one.mask, synthetic=True))
    return made


def _gan(
    folder: MassFolder, config: TrainConfig, run: RunFolder, device: str
) -> Generator[Event, None, BlendModel]:
    """The arm's GAN; one that a stopped run has trained is not trained again."""
    assert config.arm in ("blending", "adversarial")
    own = BlendConfig(method=config.arm, seed=config.seed)
    run.start(own, resume=True)
    if not run.model.exists():
        for event in learn(folder, own, run, device=device):
            if isinstance(event, Progress):
                yield replace(event, what=f"GAN, {event.what}")
            elif not isinstance(event, Finished):
                yield event
    return BlendModel.load(run.model, device)
