"""Putting together copies of a study that were answered in different places."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathogan.errors import StudyError
from napari_pathogan.files import written
from napari_pathogan.kinds import OURS
from napari_pathogan.study.chain import head_file, read_chain
from napari_pathogan.study.openings import FOLDER as OPENINGS
from napari_pathogan.study.openings import opening_problems

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pathogan.study.chain import Chain
    from napari_pathogan.study.record import Study


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
        how, target = _place(study, record.path, record.chain)
        if how != "kept":
            _copy(record.path, target)
        done[how].append(target.name)
    for path in sorted((other.folder / OPENINGS).glob("*.jsonl")):
        how, target = _place(study, path, read_chain(path, study.start))
        if how != "kept":
            _copy(path, target)
    return Merged(*(tuple(done[how]) for how in ("copied", "extended", "kept")))


def _place(study: Study, source: Path, theirs: Chain) -> tuple[str, Path]:
    target = study.folder / source.parent.name / source.name
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
    apart = target.with_name(f"{source.stem}.{parted}.jsonl")
    return ("kept" if apart.exists() else "copied"), apart


def _copy(source: Path, target: Path) -> None:
    with written(target, OURS) as beside:
        shutil.copyfile(source, beside)
    if head_file(source).exists():
        with written(head_file(target), OURS) as beside:
            shutil.copyfile(head_file(source), beside)
