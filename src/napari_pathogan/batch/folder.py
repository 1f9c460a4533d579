"""A batch's folder: what was asked for, a folder a slide, what failed, the tables and the page.

::

    batch.json                what was asked for, and of which slides
    slides/NAME/              result.json, thumbnail.jpg and what was saved
    failed/NAME.json          why there is none
    summary.csv, summary.parquet, index.html
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathogan.batch.job import RESULT
from napari_pathogan.errors import OutputError
from napari_pathogan.files import check, is_locked, locked, output_error, tidy, write_text
from napari_pathogan.kinds import NEW, record
from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_pathogan.batch.job import SlideJob

_BATCH = record("batch")
_FAILURE = record("failure in a batch")
_LOCK = ".batch-lock"
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class BatchStanding:
    """How far a batch has come.

    Attributes
    ----------
    task, model, options
        What is done with every slide, by which model, and what was asked for besides.
    sources
        Name -> file, of all its slides.
    done, failed
        Names of those that have results, and of those that have none, as was said why.
    runs
        Whether a process works in its folder now.
    """

    task: str
    model: str
    options: Mapping[str, Any]
    sources: Mapping[str, Path]
    done: frozenset[str]
    failed: frozenset[str]
    runs: bool

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return len(self.done | self.failed) >= len(self.sources)


def _scale_added(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a scale is asked for that was not before: slides that are done had their own."""
    had, has = (settings.get("options") or {} for settings in (before, now))
    return "mpp" in has and "mpp" not in had


@dataclass(frozen=True, slots=True)
class BatchFolder:
    """The folder of one batch."""

    path: Path

    @property
    def asked(self) -> Path:
        """What was asked for."""
        return self.path / "batch.json"

    def results(self, name: str) -> Path:
        """Folder of a slide's results."""
        return self.path / "slides" / name

    def failure(self, name: str) -> Path:
        """Why a slide has none."""
        return self.path / "failed" / f"{name}.json"

    def check(self, *, resume: bool) -> None:
        """Make sure that the folder can be this batch's alone, before anything is looked at.

        Raises
        ------
        OutputError
            If it can't be written, holds something else, or a batch and ``resume`` is false.
        """
        if self._asked() is None:
            self._check_empty()
        elif not resume:
            msg = f"{self.path} holds a batch already; go on with it (--resume) or choose another folder"
            raise OutputError(msg)
        check(self.asked, _BATCH)

    @contextmanager
    def locked(
        self, settings: Mapping[str, Any], sources: Mapping[str, Path], *, resume: bool
    ) -> Iterator[bool]:
        """Make the folder, or go on with the one that is there; no other process works in it.

        Slides may be added to a batch that is gone on with, and left out: what there is stays. A scale may
        be given that was not at first.

        Yields
        ------
        Whether the scale was given only later: it is then that of slides which say none.

        Raises
        ------
        OutputError
            If another process does, it can't be written, or was begun with other settings (names
            what differs).
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self.path, error) from error
        busy = f"{self.path} is being worked on just now; wait for its end or choose another folder"
        with locked(self.path / _LOCK, busy):  # before anything is read that another could write
            self.check(resume=resume)
            yield self._start(settings, sources)

    def _start(self, settings: Mapping[str, Any], sources: Mapping[str, Path]) -> bool:
        before = self._asked()
        asked = json.loads(json.dumps(settings, default=str))
        listed = {name: str(path) for name, path in sources.items()}
        later = False
        if before is not None:
            known = before["settings"]
            later = bool(known.get("scale_later")) or _scale_added(known, asked)
            if later and "mpp" not in (known.get("options") or {}):
                known = known | {"options": known["options"] | {"mpp": asked["options"]["mpp"]}}
            differing = [k for k in asked if known.get(k) != asked[k]]
            if differing:
                msg = (
                    f"{self.path} was begun with other settings: {', '.join(differing)}; use the "
                    "same, or choose another folder"
                )
                raise OutputError(msg)
            moved = [n for n, path in listed.items() if before["sources"].get(n, path) != path]
            if moved:
                msg = f"{self.path} has results of another slide called {moved[0]}; choose another folder"
                raise OutputError(msg)
            listed = {**before["sources"], **listed}
        asked |= {"scale_later": True} if later else {}
        text = {"kind": "batch", "settings": asked, "sources": listed, "version": __version__}
        write_text(self.asked, json.dumps(text, indent=1), _BATCH)
        for folder in (self.path / "slides", self.path / "failed"):
            folder.mkdir(exist_ok=True)
            tidy(folder)
        return later

    def _check_empty(self) -> None:
        """Nothing but a lock may be there: of a process that is about to begin, or was killed then."""
        alone = self.path.is_dir() and [p.name for p in self.path.iterdir()] == [_LOCK]
        if not alone and (objection := NEW.objection(self.path)):
            raise OutputError(f"{self.path} {objection}")

    def standing(self) -> BatchStanding:
        """How the batch stands, for those that watch; quick, as results are counted, not read.

        Raises
        ------
        OutputError
            If the folder holds none, or it can't be read.
        """
        known = self._asked()
        if known is None:
            raise OutputError(f"{self.path} holds no batch any more")
        lock = self.path / _LOCK
        settings, sources = known["settings"], known["sources"]
        results, failures = self.path.glob("slides/*/result.json"), self.path.glob("failed/*.json")
        return BatchStanding(
            str(settings["task"]),
            str(settings.get("model") or ""),
            dict(settings.get("options") or {}),
            {name: Path(path) for name, path in sources.items()},
            frozenset(path.parent.name for path in results) & sources.keys(),
            frozenset(path.stem for path in failures) & sources.keys(),
            lock.exists() and is_locked(lock),
        )

    def fail(self, job: SlideJob, message: str, trace: str = "") -> None:
        """Keep why a slide failed."""
        text = {
            "kind": "failure in a batch",
            "name": job.name,
            "source": str(job.source),
            "error": message,
            "trace": trace,
            "version": __version__,
        }
        write_text(self.failure(job.name), json.dumps(text, indent=1), _FAILURE)

    def clear(self, job: SlideJob) -> None:
        """Forget that a slide failed, and take away results of what it was before.

        Raises
        ------
        OutputError
            If something else is there.
        """
        self.failure(job.name).unlink(missing_ok=True)
        check(self.results(job.name), RESULT)
        if self.results(job.name).exists():
            shutil.rmtree(self.results(job.name))

    def _asked(self) -> dict[str, Any] | None:
        """What the folder's batch was asked for; None if there is none.

        Raises
        ------
        OutputError
            If it can't be read.
        """
        if not self.asked.exists():
            return None
        try:
            known: dict[str, Any] = json.loads(self.asked.read_text(encoding="utf-8"))
            _ = known["settings"]["task"], known["sources"].items()
        except (OSError, *_DAMAGED) as error:
            msg = f"{self.asked} is damaged, or no batch's; choose another folder"
            raise OutputError(msg) from error
        return known
