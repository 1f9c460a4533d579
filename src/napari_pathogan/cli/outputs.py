"""What commands share: outputs that are checked first, regions, one slide after another."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from napari_pathogan.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from napari_pathogan.engine.events import Event
    from napari_pathogan.kinds import Kind


def check_outputs(outputs: Iterable[tuple[Path | None, Kind]], inputs: Iterable[Path]) -> None:
    """Refuse outputs that can't be written, before anything is read or worked out.

    Parameters
    ----------
    outputs
        Files and folders to write (None: not asked for), and of which kind each is.
    inputs
        What is read: no output takes its place.

    Raises
    ------
    OutputError
        If something else is at one of them, two are the same or one would lie in another, one
        would take the place of an input, or can't be written.
    """
    from napari_pathogan.errors import OutputError
    from napari_pathogan.files import check

    read = {place: path for path in inputs for place in _with_parents(path)}
    taken: dict[Path, Path] = {}
    around: dict[Path, Path] = {}
    for target, kind in outputs:
        if target is None:
            continue
        check(target, kind)
        place, *parents = _with_parents(target)
        if place in read:
            msg = f"can't write {target}: {read[place]}, which is read, would be lost; choose another name"
            raise OutputError(msg)
        other = around.get(place) or next((taken[x] for x in (place, *parents) if x in taken), None)
        if other is not None:
            msg = f"can't write both {other} and {target}: give each result a place of its own"
            raise OutputError(msg)
        taken[place] = target
        around |= dict.fromkeys((place, *parents), target)


def _with_parents(path: Path) -> tuple[Path, ...]:
    """A path without links, and the folders around it; upper and lower case are the same."""
    place = Path(os.path.realpath(path).casefold())  # as they are on many disks
    return place, *place.parents


def slide_outputs(
    slides: Sequence[Path], outputs: Mapping[str, tuple[Path | None, Kind]]
) -> dict[Path, dict[str, Path]]:
    """Where to write what of which slide: slide -> kind -> file. All are checked.

    Parameters
    ----------
    outputs
        Kind -> file to write (a folder for several slides; None for none), and what it is.

    Raises
    ------
    OutputError
        As :func:`check_outputs`.
    """
    from napari_pathogan.files import told_apart

    asked = {name: (path, kind) for name, (path, kind) in outputs.items() if path is not None}
    called = told_apart(slides)
    files = {
        slide: {
            name: path / (called[slide] + kind.suffix) if len(slides) > 1 else path
            for name, (path, kind) in asked.items()
        }
        for slide in slides
    }
    pairs = [(path, asked[name][1]) for own in files.values() for name, path in own.items()]
    check_outputs(pairs, slides)
    return files


def over_slides(
    files: Mapping[Path, dict[str, Path]],
    work: Callable[[Path, dict[str, Path]], Iterator[Event]],
    *,
    as_json: bool,
    events: bool,
    kind: str = "slides",
) -> None:
    """Work on slides one by one; one that fails does not stop the others.

    Parameters
    ----------
    files
        Of each slide, as :func:`slide_outputs` gives them.
    work
        Called with a slide and its files by kind; its last event is ``Finished`` with ``text`` in
        the summary.
    as_json, events
        Print one JSON object a slide, or events as JSON lines, instead of the text.
    kind
        What they are called where some of them fail.
    """
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.errors import PathoganError
    from napari_pathogan.files import told_apart

    failed, shown = 0, told_apart(files, suffixes=True)
    for path, own in files.items():
        try:
            summary = follow(work(path, own), as_json=events).summary
        except PathoganError as error:
            if len(files) == 1:
                raise
            failed += 1
            typer.echo(f"pathogan: {' '.join(str(error).split())}", err=True)
            continue
        if as_json:
            typer.echo(json.dumps(summary))
        elif not events:
            typer.echo(f"{shown[path]}: {summary['text']}")
    if failed:
        others = ", the others are done" if failed < len(files) else ""
        fail(f"{failed} of {len(files)} {kind} failed{others}")


def names_differ(slides: Sequence[Path], kind: str = "slides") -> None:
    """Refuse a slide that was given twice: its results would have the same name."""
    if len({os.path.realpath(path) for path in slides}) < len(slides):
        msg = f"two of the {kind} have the same name, and so would their results"
        raise typer.BadParameter(msg)


def fail(message: str) -> NoReturn:
    """Say one line on stderr and leave with exit code 2."""
    print(f"pathogan: {one_line(message)}", file=sys.stderr)  # noqa: T201
    raise SystemExit(2)
