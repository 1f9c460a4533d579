"""What commands that work on slides share: regions, files to write, one slide after another."""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_pathogan.engine.events import Event
    from napari_pathogan.slides.geometry import Region


def over_slides(
    slides: Sequence[Path],
    outputs: Mapping[str, tuple[Path | None, str]],
    work: Callable[[Path, dict[str, Path]], Iterator[Event]],
    *,
    as_json: bool,
    events: bool,
    kind: str = "slides",
) -> None:
    """Work on slides one by one; one that fails does not stop the others.

    Parameters
    ----------
    outputs
        Kind -> file to write (a folder for several slides; None for none), and the suffix that
        files of this kind have in such a folder.
    work
        Called with a slide and its files by kind; its last event is ``Finished`` with ``text`` in
        the summary.
    as_json, events
        Print one JSON object a slide, or events as JSON lines, instead of the text.
    kind
        What they are called where some of them fail.
    """
    from napari_pathogan.cli.app import fail
    from napari_pathogan.cli.progress import follow
    from napari_pathogan.errors import PathoganError

    failed = 0
    for path in slides:
        try:
            files = _files(path, outputs, several=len(slides) > 1)
            summary = follow(work(path, files), as_json=events).summary
        except PathoganError as error:
            if len(slides) == 1:
                raise
            failed += 1
            typer.echo(f"pathogan: {' '.join(str(error).split())}", err=True)
            continue
        if as_json:
            typer.echo(json.dumps(summary))
        elif not events:
            typer.echo(f"{path.name}: {summary['text']}")
    if failed:
        others = ", the others are done" if failed < len(slides) else ""
        fail(f"{failed} of {len(slides)} {kind} failed{others}")


def names_differ(slides: Sequence[Path], kind: str = "slides") -> None:
    """Refuse slides whose results would have the same name."""
    if len({path.stem for path in slides}) < len(slides):
        msg = f"two of the {kind} have the same name, and so would their results"
        raise typer.BadParameter(msg)


def region_of(text: str) -> Region | None:
    """``y,x,height,width`` in pixels; None for an empty text."""
    from napari_pathogan.slides.geometry import Region

    if not text:
        return None
    try:
        region = Region(*(int(number) for number in text.split(",")))
    except (TypeError, ValueError):
        region = Region(0, 0, 0, 0)
    if region.empty:
        msg = f"{text!r} is not y,x,height,width in whole pixels, such as 0,0,5000,4000"
        raise typer.BadParameter(msg, param_hint="--region")
    return region


def _files(
    slide: Path, outputs: Mapping[str, tuple[Path | None, str]], *, several: bool
) -> dict[str, Path]:
    """Where to write what; fails now rather than after the work if that can't be done."""
    from napari_pathogan.files import output_error

    files = {
        kind: path / (slide.stem + suffix) if several else path
        for kind, (path, suffix) in outputs.items()
        if path is not None
    }
    for target in files.values():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=target.parent):
                pass
        except OSError as error:
            raise output_error(target, error) from error
    return files
