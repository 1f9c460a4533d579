"""Making a study: draw the images, check them, make them alike, hide what they are, seal the key."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.errors import OutputError, StudyError
from napari_pathogan.files import check, sha256, write_text, written
from napari_pathogan.kinds import NEW
from napari_pathogan.study.blocks import CONTROL, make_items
from napari_pathogan.study.config import StudyConfig, make_config, read_config
from napari_pathogan.study.layout import IMAGES, MANIFEST, READERS, Key, Manifest, key_path
from napari_pathogan.study.pictures import Album, save, square_side, uniform
from napari_pathogan.study.record import Study
from napari_pathogan.study.sieve import Sieve
from napari_pathogan.study.sources import pictures
from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from napari_pathogan.study.blocks import StudyImage
    from napari_pathogan.study.sources import Draw

__all__ = ["StudyConfig", "make_config", "new_study", "read_config"]

_DATE = 946684800.0  # 2000-01-01: all images have one date


def new_study(
    config: StudyConfig, folder: Path, draw: Draw | None = None, *, key: Path | None = None
) -> Iterator[Event]:
    """Make a study's folder, and its answer key.

    Parameters
    ----------
    config
        What it is to be.
    folder
        Must not exist yet, or be empty.
    draw
        Makes images with a generator: ``napari_pathogan.synthetic.generate``.
    key
        File of the answer key; None puts it beside the folder (``FOLDER.key.json``), where whoever
        reads on this computer could open it.

    Yields
    ------
    Event
        Progress; Warn for images that were left out; Finished with the :class:`Study`.

    Raises
    ------
    StudyError
        If there are fewer good images than asked for, or a real image is among the generated.
    OutputError
        If the folder holds something already or can't be written. Nothing is half written.
    """
    key = key_path(folder) if key is None else key.absolute()
    check_room(folder, key)
    practice = config.session.practice
    pairs = config.mode == "pairs"
    n_real = config.n_real + (practice if pairs else practice // 2)
    n_generated = config.n_generated + (practice if pairs else practice - practice // 2)
    pool = Album()
    real = yield from _gather(config, n=n_real, real=True, pool=pool, draw=draw)
    generated = yield from _gather(config, n=n_generated, real=False, pool=pool, draw=draw)
    yield from _say_sizes(config, real, generated)
    with ExitStack() as undo:  # a cancelled study leaves no key behind either
        yield from _write(config, folder, key, real, generated, undo)
    study = Study.open(folder)
    summary = {"study": str(folder), "key": str(key), "images": n_real + n_generated}
    yield Finished(study, summary)


def _drop_key(folder: Path, key: Path) -> None:
    """Take away the key that was written for a study, unless the study is there."""
    if not folder.is_dir():
        key.unlink(missing_ok=True)


def check_room(folder: Path, key: Path | None = None) -> None:
    """Make sure that a study and its key can be made there, before anything is drawn.

    Raises
    ------
    OutputError
        If there is something at either place already, it can't be written, or the key would lie in
        the folder that readers get.
    """
    key = key_path(folder) if key is None else key.absolute()
    if key.is_relative_to(folder.absolute()):
        msg = f"{key} would be in the folder that readers get; choose another place for the answer key"
        raise OutputError(msg)
    for path in (folder, key):
        check(path, NEW)


def _gather(
    config: StudyConfig, *, n: int, real: bool, pool: Album, draw: Draw | None
) -> Generator[Event, None, list[StudyImage]]:
    """Draw ``n`` good images, evenly from the sources and by turns; ``pool`` holds the real ones."""
    sources = config.real if real else config.generated
    chosen = Album()
    drawn: list[list[StudyImage]] = []
    for number, source in enumerate(sources):
        wanted = n // len(sources) + (number < n % len(sources))
        sieve = Sieve(real, pool, chosen)
        own: list[StudyImage] = []
        found = pictures(source, wanted, config.images, draw, _seed(config.seed, number, real))
        for one in found:
            if isinstance(one, Event):
                yield one
                continue
            good = sieve.take(one, enough=len(own) == wanted)
            own += [good] if good else []
            if len(own) == wanted and source.folder is None:
                break  # a folder is looked through to its end, for copies of real images
        left_out = list(sieve.left_out())
        if len(own) < wanted:
            why = f": {'; '.join(left_out)}" if left_out else ""
            msg = f"{source.name}: {wanted} images are needed, {len(own)} are there{why}"
            raise StudyError(f"{msg}; give more images or ask for fewer")
        yield from (Warn(f"{source.name}: {line}") for line in left_out)
        drawn.append(own)
    turns = itertools.zip_longest(*drawn)
    return [one for turn in turns for one in turn if one is not None]


def _seed(seed: int, number: int, real: bool) -> int:  # noqa: FBT001
    """Seeds far apart, so that sources and studies with neighbouring seeds share no draw."""
    return int(np.random.SeedSequence([seed, number, real]).generate_state(1)[0] >> 1)


def _say_sizes(
    config: StudyConfig, real: Sequence[StudyImage], generated: Sequence[StudyImage]
) -> Iterator[Event]:
    sides = [sorted({square_side(one.image) for one in many}) for many in (real, generated)]
    if sides[0] != sides[1]:
        spans = [f"{own[0]}" if len(own) == 1 else f"{own[0]} to {own[-1]}" for own in sides]
        yield Warn(
            f"real images have {spans[0]} px, generated ones {spans[1]} px: all are brought to the "
            "smallest, but what was resampled more may still look it; give both at one size"
        )
    native, size = min(side for own in sides for side in own), config.images.size_px
    if size is not None and size > native:
        yield Warn(f"all images are enlarged from {native} to {size} px, real and generated alike")


def _write(  # noqa: PLR0917
    config: StudyConfig,
    folder: Path,
    key_file: Path,
    real: Sequence[StudyImage],
    generated: Sequence[StudyImage],
    undo: ExitStack,
) -> Iterator[Event]:
    salt = secrets.token_hex(32)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(salt.encode()).digest()))
    native = min(square_side(one.image) for one in (*real, *generated))
    size = config.images.size_px or native
    items, drawn = make_items(config, real, generated, size, rng)
    with written(folder, NEW) as beside:
        (beside / IMAGES).mkdir(parents=True)
        (beside / READERS).mkdir()
        for done, (name, one) in enumerate(drawn.items()):
            yield Progress(done, len(drawn), "saving images")
            image = one.image
            if one.truth.source != CONTROL:
                image = uniform(image, native, size, config.images.jpeg_quality)
            save(beside / IMAGES / f"{name}.png", image)
        truth = {name: one.truth for name, one in drawn.items()}
        key = Key(salt=salt, config=config.model_dump(mode="json"), truth=truth)
        write_text(key_file, key.model_dump_json(indent=1), NEW, private=True)
        undo.callback(_drop_key, folder, key_file)
        images = {name: sha256(beside / IMAGES / f"{name}.png") for name in drawn}
        manifest = Manifest(
            name=config.name,
            mode=config.mode,
            question=config.question,
            consent=config.session.consent,
            interpolation=config.session.interpolation,
            size_px=size,
            margin=config.analysis.margin,
            min_answers=config.analysis.min_answers,
            order_seed=secrets.token_hex(16),
            images=images,
            items=items,
            key_sha256=sha256(key_file),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            version=__version__,
        )
        text = manifest.model_dump_json(indent=1)
        (beside / MANIFEST).write_text(text, encoding="utf-8")
        for path in (beside / IMAGES).iterdir():
            os.utime(path, (_DATE, _DATE))
