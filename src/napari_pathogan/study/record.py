"""A reader's session: one image after the other, each answer on disk before the next one.

A study is one folder that can be copied. Each reader has a record of their own on each machine
(:mod:`.chain`), so that copies of the folder that were answered in different places can be put
together without conflict (:func:`merge`).
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from napari_pathogan.errors import SessionError, StudyError
from napari_pathogan.files import output_error, sha256
from napari_pathogan.study import openings
from napari_pathogan.study.answers import CONFIDENCES, Record, read_record
from napari_pathogan.study.chain import ChainWriter, peek, read_chain
from napari_pathogan.study.computer import machine, machine_of, now
from napari_pathogan.study.layout import (
    CHOICES,
    IMAGES,
    MANIFEST,
    READERS,
    Manifest,
    Showing,
    order,
    read_manifest,
    reader_code,
)
from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, eq=False)
class Trial:
    """What the reader is shown now.

    Attributes
    ----------
    id
        Opaque.
    images
        One uint8 (H, W, 3), or two (left, right).
    index, total
        0-based place among all trials of this reader, and how many there are.
    block, blocks
        0-based block and how many there are; practice is block -1. A break belongs between blocks.
    kind
        Practice is not counted. Repeats and controls look like any other image.
    """

    id: str
    images: tuple[np.ndarray, ...]
    index: int
    total: int
    block: int
    blocks: int
    kind: Literal["practice", "study"]

    @property
    def image(self) -> np.ndarray:
        """The only, or the left, image."""
        return self.images[0]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a reader has come.

    Attributes
    ----------
    reader
        Name or code, as first given.
    answered, total
        Trials answered, of so many; with repeats and controls, without practice.
    machines
        The computers that the answers were given on.
    """

    reader: str
    answered: int
    total: int
    machines: frozenset[str]

    @property
    def finished(self) -> bool:
        """Whether all is answered."""
        return self.answered >= self.total


@dataclass(frozen=True)
class Study:
    """An open study, without its key: what readers' sessions and the report start from."""

    folder: Path
    manifest: Manifest = field(repr=False)

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Open a folder that ``pathogan study new`` made.

        Raises
        ------
        StudyError
            If it holds no study, a damaged one, or images are missing.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        missing = [name for name in manifest.images if not _image_file(folder, name).is_file()]
        if missing:
            msg = f"{folder} lacks {len(missing)} of its images; copy the whole folder again"
            raise StudyError(msg)
        return cls(folder, manifest)

    @property
    def name(self) -> str:
        """What the study is called."""
        return self.manifest.name

    @property
    def trials(self) -> int:
        """How many a reader answers: with practice, repeats and controls."""
        return sum(1 + item.repeated for item in self.manifest.items)

    @property
    def consent(self) -> str:
        """What a reader agrees to before the first image."""
        return self.manifest.consent

    @property
    def question(self) -> str:
        """What is asked under every image."""
        return self.manifest.question

    @property
    def choices(self) -> tuple[str, str]:
        """The two answers: real and generated, or left and right (the side that is real)."""
        return CHOICES[self.manifest.mode]

    @cached_property
    def start(self) -> str:
        """Hash of the manifest, from which records start."""
        return sha256(self.folder / MANIFEST)

    def image(self, name: str) -> np.ndarray:
        """An image of the study, uint8 (H, W, 3).

        Raises
        ------
        StudyError
            If it can't be read, or is not the image that the study was made with.
        """
        with Image.open(io.BytesIO(self.raw_image(name))) as image:
            return np.asarray(image.convert("RGB"))

    def raw_image(self, name: str) -> bytes:
        """The same as a PNG, byte by byte as the study was made.

        Raises
        ------
        StudyError
            As :meth:`image`.
        """
        path = _image_file(self.folder, name)
        try:
            raw = path.read_bytes()
        except OSError as error:
            msg = f"{path} can't be read ({error.strerror}); copy the study's folder again"
            raise StudyError(msg) from error
        if hashlib.sha256(raw).hexdigest() != self.manifest.images[name]:
            msg = f"{path} was changed or swapped since the study was made; copy the folder again"
            raise StudyError(msg)
        return raw

    @cached_property
    def _orders(self) -> dict[str, tuple[Showing, ...]]:
        return {}

    def order(self, reader: str) -> tuple[Showing, ...]:
        """All trials of a reader, in order; see :func:`~.layout.order`."""
        code = reader_code(reader)
        if code not in self._orders:
            self._orders[code] = order(self.manifest, code)
        return self._orders[code]

    def records(self, reader: str | None = None) -> tuple[Record, ...]:
        """All readers' records, or one reader's, checked, sorted by file.

        Raises
        ------
        StudyError
            If one can't be read.
        """
        stem = "*" if reader is None else f"{stem_of(reader_code(reader))}.*"
        files = sorted((self.folder / READERS).glob(f"{stem}.jsonl"))
        return tuple(read_record(path, self.manifest, self.start, self.order) for path in files)

    def standings(self) -> tuple[Standing, ...]:
        """How far each reader has come, sorted; quick, as answers are counted, not checked.

        Raises
        ------
        StudyError
            If a record can't be read.
        """
        practice = {f"{item.id}.1" for item in self.manifest.items if item.kind == "practice"}
        total = self.trials - len(practice)
        names: dict[str, tuple[str, str]] = {}
        given: dict[str, set[str]] = {}
        machines: dict[str, set[str]] = {}
        for path in sorted((self.folder / READERS).glob("*.jsonl")):
            entries = peek(path)
            if not entries or not entries[0].get("reader"):
                continue
            try:
                code = reader_code(str(entries[0]["reader"]))
            except StudyError as error:
                msg = f"{path.name} is of no reader: {error}"
                raise StudyError(msg) from error
            name = str(entries[0].get("at", "")), str(entries[0]["reader"])
            names[code] = min(name, names.get(code, name))
            answers = {str(x.get("trial")) for x in entries if x.get("what") == "answer"}
            given.setdefault(code, set()).update(answers - practice)
            machines.setdefault(code, set()).add(machine_of(path))
        return tuple(
            Standing(names[code][1], len(given[code]), total, frozenset(machines[code]))
            for code in sorted(names)
        )

    def readers(self) -> tuple[str, ...]:
        """Who has begun; names as first given, sorted."""
        return tuple(standing.reader for standing in self.standings())

    def unfinished_here(self) -> tuple[Standing, ...]:
        """Who has begun on this computer, and not finished.

        Raises
        ------
        StudyError
            If a record can't be read.
        """
        own = machine()
        return tuple(x for x in self.standings() if own in x.machines and not x.finished)

    def being_read(self) -> tuple[str, ...]:
        """Readers who have a session open at this moment, on this computer.

        Raises
        ------
        StudyError
            If a record can't be read.
        """
        if not os.access(self.folder / READERS, os.W_OK):
            return ()  # what can't be written can't be answered in either
        open_now = []
        for standing in self.standings():
            try:
                _locked(self.folder, standing.reader).release()
            except SessionError:
                open_now.append(standing.reader)
        return tuple(open_now)

    def next_place(self, reader: str) -> int | None:
        """0-based place, in the order of a reader, of the trial that is up; None when all is answered.

        Raises
        ------
        StudyError
            If the reader's record can't be read, or the name is none.
        """
        done = {answer.trial for record in self.records(reader) for answer in record.answers}
        if not done:
            return 0
        left = (i for i, showing in enumerate(self.order(reader)) if showing.id not in done)
        return next(left, None)


def _image_file(folder: Path, name: str) -> Path:
    return folder / IMAGES / f"{name}.png"


@dataclass(eq=False)
class Session:
    """One reader answering; a context manager. Make one with :meth:`open`.

    ``trial`` is what to show, until it is None; ``answer`` records and moves on.
    """

    study: Study
    reader: str
    path: Path
    _lock: FileLock
    _writer: ChainWriter
    _left: list[tuple[int, Showing]]
    _total: int
    _shown: tuple[int, Trial] | None = field(default=None)

    @classmethod
    def open(cls, study: Study, reader: str) -> Session:
        """Start, or go on where the reader stopped (or crashed), on this machine or another.

        By opening a session the reader agrees to ``study.consent``; its hash is recorded.

        Raises
        ------
        SessionError
            If this reader has a session open already.
        StudyError
            If the reader's name is not one, or their record was tampered with.
        OutputError
            If the folder can't be written.
        """
        code = reader_code(reader)
        path = study.folder / READERS / f"{stem_of(code)}.{machine()}.jsonl"
        lock = _locked(study.folder, reader)
        try:
            return cls._start(study, " ".join(reader.split()), path, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _start(cls, study: Study, reader: str, path: Path, lock: FileLock) -> Session:
        code = reader_code(reader)
        own = study.records(code)
        for record in own:
            if record.problem:
                msg = f"{record.problem}; keep the folder as it is and tell who runs the study"
                raise StudyError(msg)
        reader = min(((x.begun, x.reader) for x in own if x.reader), default=("", reader))[1]
        done = {answer.trial for record in own for answer in record.answers}
        all_trials = study.order(code)
        left = [(i, showing) for i, showing in enumerate(all_trials) if showing.id not in done]
        writer = ChainWriter(path, read_chain(path, study.start))
        if left:
            consent = hashlib.sha256(study.consent.encode()).hexdigest()
            opened = {"what": "opened", "reader": reader, "consent": consent}
            if (since := openings.opened_here(study.folder, study.start)) is not None:
                opened["key_opened"] = since
            writer.append({**opened, "version": __version__, "at": now()})
        return cls(study, reader, path, lock, writer, left, len(all_trials))

    @property
    def total(self) -> int:
        """Trials of this reader, with practice, repeats and controls."""
        return self._total

    @property
    def answered(self) -> int:
        """How many of them are answered and on disk."""
        return self._total - len(self._left)

    @property
    def receipt(self) -> str:
        """Short hash of all answers on this machine, for the reader to keep; the report shows it."""
        return self._writer.receipt

    @property
    def trial(self) -> Trial | None:
        """What to show now; None when all is answered.

        Raises
        ------
        StudyError
            If its image was changed or can't be read.
        """
        if not self._left:
            return None
        index, showing = self._left[0]
        if self._shown is None or self._shown[0] != index:
            self._shown = (index, self._make(index, showing))
        return self._shown[1]

    @property
    def images(self) -> tuple[str, ...]:
        """Ids of the images of the present trial (left, right); empty at the end."""
        return self._left[0][1].images if self._left else ()

    def _make(self, index: int, showing: Showing) -> Trial:
        blocks = {item.block for item in self.study.manifest.items if item.kind != "practice"}
        return Trial(
            id=showing.id,
            images=tuple(self.study.image(name) for name in showing.images),
            index=index,
            total=self._total,
            block=showing.block,
            blocks=len(blocks),
            kind="practice" if showing.item.kind == "practice" else "study",
        )

    def answer(
        self,
        choice: str,
        confidence: int,
        time_s: float,
        zooms: Sequence[Mapping[str, float]] = (),
        *,
        trial: str | None = None,
    ) -> None:
        """Record the answer to the present trial; on return it is on disk, and the next one is up.

        Parameters
        ----------
        choice
            One of ``study.choices``.
        confidence
            1 guessing to 5 certain.
        time_s
            From the image's appearing to the answer.
        zooms
            ``{"t", "zoom", "y", "x"}``: how the image was shown first, and each time the reader
            zoomed or moved; see :class:`~.answers.Answer`.
        trial
            Id of the trial that is answered, where a key may be pressed twice: an answer to any
            but the present one is refused.

        Raises
        ------
        OutputError
            If it could not be written (full disk): nothing is lost, the same can be tried again.
        SessionError
            If the session is closed or finished, or it is no answer to the present trial.
        """
        if not self._lock.is_locked:
            msg = f"the session of {self.reader} is closed; open it again to go on"
            raise SessionError(msg)
        if not self._left:
            msg = f"{self.reader} has answered all {self._total} images already"
            raise SessionError(msg)
        showing = self._left[0][1]
        if trial is not None and trial != showing.id:
            msg = "that image was answered already; an answer can't be given twice"
            raise SessionError(msg)
        self._check(choice, confidence, time_s)
        self._writer.append(
            {
                "what": "answer",
                "trial": showing.id,
                "images": list(showing.images),
                "choice": choice,
                "confidence": confidence,
                "time_s": round(float(time_s), 3),
                "zooms": [
                    # in milliseconds as the answer's time, which no zoom may come after
                    {k: round(float(v), 3 if k == "t" else 4) for k, v in zoom.items()}
                    for zoom in zooms
                ],
                "at": now(),
            }
        )
        del self._left[0]

    def _check(self, choice: str, confidence: int, time_s: float) -> None:
        if choice not in self.study.choices:
            msg = f"{choice!r} is no answer; give {' or '.join(self.study.choices)}"
            raise SessionError(msg)
        if confidence not in CONFIDENCES or isinstance(confidence, bool):
            msg = f"{confidence!r} is no confidence; give 1 (guessing) to 5 (certain)"
            raise SessionError(msg)
        if not 0 <= time_s < float("inf"):
            msg = f"{time_s!r} is no time; give seconds"
            raise SessionError(msg)

    def close(self) -> None:
        """Let another session of this reader be opened; safe to call twice."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _locked(folder: Path, reader: str) -> FileLock:
    """Lock a reader of a study; the system lets go of it when the process ends, however it ends."""
    path = folder / READERS / f"{stem_of(reader_code(reader))}.lock"
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        msg = f"{reader} has a session open already; close that one first"
        raise SessionError(msg) from None
    except OSError as error:
        raise output_error(path, error) from error
    return lock


def stem_of(code: str) -> str:
    """A file name for a reader: readable, and different for different readers."""
    plain = re.sub(r"[^a-z0-9]+", "-", code).strip("-")[:24] or "reader"
    return f"{plain}-{hashlib.sha256(code.encode()).hexdigest()[:6]}"
