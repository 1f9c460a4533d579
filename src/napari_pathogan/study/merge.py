"""Putting together what was answered in different places: copies of a study, files from browsers."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.errors import StudyError
from napari_pathogan.files import write_text, written
from napari_pathogan.kinds import OURS
from napari_pathogan.study.answers import read_record
from napari_pathogan.study.chain import head_file, read_chain
from napari_pathogan.study.layout import READERS, reader_code
from napari_pathogan.study.openings import FOLDER as OPENINGS
from napari_pathogan.study.openings import opening_problems
from napari_pathogan.study.record import stem_of

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.study.answers import Record
    from napari_pathogan.study.chain import Chain
    from napari_pathogan.study.record import Study

_COMPUTER = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class Merged:
    """What :func:`merge` did.

    Attributes
    ----------
    copied, extended, kept
        Names of records that were new here, went on over there, or were at least as long here.
    """

    copied: tuple[str, ...]
    extended: tuple[str, ...]
    kept: tuple[str, ...]


def merge(study: Study, other: Study) -> Merged:
    """Copy readers' records of another copy of the study into this one; nothing is overwritten.

    What the other copy knows of openings of the answer key comes along.

    A record that only went on over there replaces the shorter one here. Records of one name that
    parted (the folder was copied and answered twice on one machine) are both kept; where an image
    was answered in both, the report takes the earlier answer and says so.

    Raises
    ------
    StudyError
        If the other folder is another study, or holds records that were tampered with (then
        nothing is copied).
    OutputError
        If this folder can't be written.
    """
    if other.start != study.start:
        msg = (
            f"{other.folder} is not a copy of {study.folder}: its study.json is another one; "
            "records of different studies can't be put together"
        )
        raise StudyError(msg)
    records = other.records()
    for record in records:
        if record.problem:
            raise StudyError(f"{other.folder}: {record.problem}; nothing was copied")
    for problem in opening_problems(other.folder, other.start):
        raise StudyError(f"{other.folder}: {problem}; nothing was copied")
    done: dict[str, list[str]] = {"copied": [], "extended": [], "kept": []}
    for record in records:
        target = study.folder / READERS / record.path.name
        how, target = _place(study, record.path, record.chain, target)
        if how != "kept":
            _copy(record.path, target)
        done[how].append(target.name)
    for path in sorted((other.folder / OPENINGS).glob("*.jsonl")):
        target = study.folder / OPENINGS / path.name
        how, target = _place(study, path, read_chain(path, study.start), target)
        if how != "kept":
            _copy(path, target)
    return Merged(*(tuple(done[how]) for how in ("copied", "extended", "kept")))


def merge_file(study: Study, path: Path) -> Merged:
    """Take the file that a reader handed back from a browser (:mod:`.browser`).

    Its name does not matter: it says itself whose it is. The same file again changes nothing, and a
    later one of the same reader and browser goes on from the earlier one.

    Raises
    ------
    StudyError
        If it is none, belongs to another study, was cut off or tampered with (then nothing is
        copied).
    OutputError
        If the study's folder can't be written.
    """
    record = _handed_back(study, path)
    computer = record.chain.entries[0]["computer"]
    name = f"{stem_of(reader_code(record.reader))}.{computer}.jsonl"
    how, target = _place(study, path, record.chain, study.folder / READERS / name)
    if how != "kept":
        _copy(path, target)
        write_text(head_file(target), f"{len(record.chain.entries)} {record.chain.head}\n", OURS)
    done = {"copied": (), "extended": (), "kept": ()} | {how: (target.name,)}
    return Merged(**done)


def _handed_back(study: Study, path: Path) -> Record:
    """Read and check a file from a browser."""
    chain = read_chain(path, study.start)
    first = chain.entries[0] if chain.entries else {}
    if chain.problem and not first:
        raise StudyError(f"{path}: {chain.problem}; nothing was copied")
    computer = first.get("computer")
    if not isinstance(computer, str) or not _COMPUTER.fullmatch(computer):
        msg = (
            f"{path} is no file that a reader handed back: give the one that the study's page "
            "saved, or a copy of the study's folder"
        )
        raise StudyError(msg)
    record = read_record(path, study.manifest, study.start, study.order)
    if record.problem:
        raise StudyError(f"{record.problem}; nothing was copied")
    if chain.cut or chain.entries[-1].get("what") != "handed back":
        msg = (
            f"{path} was cut off: ask {record.reader} to save the answers again; nothing was copied"
        )
        raise StudyError(msg)
    return record


def _place(study: Study, source: Path, theirs: Chain, target: Path) -> tuple[str, Path]:
    if not target.exists():
        return "copied", target
    ours = read_chain(target, study.start)
    short = min(len(ours.entries), len(theirs.entries))
    if ours.problem is None and ours.entries[:short] == theirs.entries[:short]:
        return (
            "kept"
            if len(ours.entries) == short == len(theirs.entries) or len(ours.entries) > short
            else "extended"
        ), target
    parted = hashlib.sha256(source.read_bytes()).hexdigest()[:6]
    apart = target.with_name(f"{target.stem}.{parted}.jsonl")
    return ("kept" if apart.exists() else "copied"), apart


def _copy(source: Path, target: Path) -> None:
    with written(target, OURS) as beside:
        shutil.copyfile(source, beside)
    if head_file(source).exists():
        with written(head_file(target), OURS) as beside:
            shutil.copyfile(head_file(source), beside)
