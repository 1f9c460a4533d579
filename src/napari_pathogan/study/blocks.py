"""Dealing a study's images into blocks: each balanced, each with its share of repeats and controls."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_pathogan.study.layout import CHOICES, Item, Truth
from napari_pathogan.study.pictures import control_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from napari_pathogan.study.config import StudyConfig

CONTROL = "control"


@dataclass(frozen=True, slots=True, eq=False)
class StudyImage:
    """An image of the study, uint8 (H, W, 3), and what it is."""

    image: np.ndarray
    truth: Truth


Pool = dict[str, StudyImage]


def make_items(
    config: StudyConfig,
    real: Sequence[StudyImage],
    generated: Sequence[StudyImage],
    size: int,
    rng: np.random.Generator,
) -> tuple[tuple[Item, ...], Pool]:
    """Make the trials of a study.

    Parameters
    ----------
    real, generated
        Those that count first, then those for practice; each in turns over its sources.
    size
        Side of the control images.
    rng
        Secret: whoever knows it can tell what an id stands for.

    Returns
    -------
    items, images
        Both sorted by their random ids, so that their order says nothing.
    """
    images = {secrets.token_hex(8): one for one in (*real, *generated)}
    names = list(images)
    reals, fakes = names[: len(real)], names[len(real) :]
    n_real, n_fake = config.n_real, config.n_generated
    if config.mode == "pairs":
        trials = _pairs(images, reals[:n_real], fakes[:n_fake])
        practice: list[tuple[str, ...]] = list(zip(reals[n_real:], fakes[n_fake:], strict=True))
        kinds = [trials[0::2], [pair[::-1] for pair in trials[1::2]]]  # real left, real right
    else:
        practice = [(name,) for name in (*reals[n_real:], *fakes[n_fake:])]
        kinds = [_by_source(images, chosen) for chosen in (reals[:n_real], fakes[:n_fake])]
    total = sum(map(len, kinds))
    blocks = max(1, round(total / config.session.block))
    items = [_item(trial, "practice", -1) for trial in practice]
    items += _dealt(kinds, blocks, round(total * config.session.repeats), rng)
    for number in range(config.session.controls):
        shown = _control(config.mode, number, size)
        images |= shown
        place = number * blocks // config.session.controls
        items.append(_item(tuple(sorted(shown)), "control", place))
    by_id = tuple(sorted(items, key=lambda item: item.id))
    return by_id, dict(sorted(images.items()))


def _item(
    images: tuple[str, ...],
    kind: Literal["practice", "study", "control"],
    block: int,
    *,
    repeated: bool = False,
) -> Item:
    return Item(id=secrets.token_hex(8), images=images, kind=kind, block=block, repeated=repeated)


def _by_source(images: Pool, names: Sequence[str]) -> list[tuple[str, ...]]:
    """One image a trial; those of a source follow each other, and so get dealt to all blocks."""
    return [(name,) for name in sorted(names, key=lambda name: images[name].truth.source)]


def _pairs(images: Pool, reals: Sequence[str], fakes: Sequence[str]) -> list[tuple[str, ...]]:
    """(real, generated) of the same label as far as there are as many of it."""
    label = {name: images[name].truth.label or "" for name in (*reals, *fakes)}
    by_label = (sorted(names, key=label.__getitem__) for names in (reals, fakes))
    return list(zip(*by_label, strict=True))


def _dealt(
    kinds: Sequence[Sequence[tuple[str, ...]]], blocks: int, repeats: int, rng: np.random.Generator
) -> list[Item]:
    """Deal each kind of trial evenly to the blocks; mark repeats, evenly by kind and block."""
    items = []
    turn = 0
    for number, trials in enumerate(kinds):
        mine: list[list[tuple[str, ...]]] = [[] for _ in range(blocks)]
        for trial in trials:
            mine[turn % blocks].append(trial)
            turn += 1
        share = (repeats + number) // len(kinds)
        twice = _some_of_each(mine, share, rng)
        items += [
            _item(trial, "study", block, repeated=trial in twice)
            for block, own in enumerate(mine)
            for trial in own
        ]
    return items


def _some_of_each(
    blocks: Sequence[Sequence[tuple[str, ...]]], n: int, rng: np.random.Generator
) -> set[tuple[str, ...]]:
    """``n`` trials, as evenly over the blocks as can be."""
    shuffled = [[block[i] for i in rng.permutation(len(block))] for block in blocks]
    turns = itertools.zip_longest(*[shuffled[i] for i in rng.permutation(len(shuffled))])
    return set([trial for turn in turns for trial in turn if trial is not None][:n])


def _control(mode: Literal["yes-no", "pairs"], number: int, size: int) -> Pool:
    """Images that say what to answer: by turns real and generated, or the one to choose of two."""
    if mode == "pairs":
        texts = {True: "choose\nthis one", False: "not\nthis one"}
    else:
        real = number % 2 == 1
        texts = {real: f"answer\n{CHOICES[mode][0 if real else 1]}"}
    return {
        secrets.token_hex(8): StudyImage(
            control_image(text, size), Truth(real=real, source=CONTROL, origin=text)
        )
        for real, text in texts.items()
    }
