"""A study's results, ready to be shown: worked out and drawn in a process of its own.

Statistics and matplotlib are long stretches of Python: in a thread of napari's process they would
keep the window waiting. The child (``python -m napari_pathogan.plugin.study.bundle``) knows neither
napari nor Qt; it says all that is shown as one event, and leaves no file.
"""

from __future__ import annotations

import io
import sys
import threading
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from napari_pathogan.engine.events import Event, Finished, Progress, to_json
from napari_pathogan.engine.jobs import Job, end_with_parent
from napari_pathogan.errors import PathoganError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_pathogan.study.judgements import ImageRating
    from napari_pathogan.study.report import StudyReport

PROGRAM = (sys.executable, "-m", "napari_pathogan.plugin.study.bundle")
THUMB_PX = 120  # of the galleries: twice what is shown
ALIVE_S = 0.3


@dataclass(frozen=True, slots=True)
class ReaderResult:
    """What is said of one reader, or of all: rich text."""

    verdict: str
    table: str
    confusion: str


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture (PNG), and what is known of it."""

    picture: bytes
    about: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """Results as they are shown.

    Attributes
    ----------
    study
        Name of the study's folder.
    everyone, readers
        What is said of all readers, and of each.
    problems, not_counted, unblinded
        Rich text; empty where there is nothing to say.
    figures
        Name -> PNG.
    galleries
        Generated images that convinced, real ones that were doubted.
    page
        The whole report as HTML.
    """

    study: str
    everyone: ReaderResult
    readers: Mapping[str, ReaderResult]
    problems: str
    not_counted: str
    unblinded: str
    figures: Mapping[str, bytes]
    galleries: tuple[tuple[Thumbnail, ...], tuple[Thumbnail, ...]]
    page: str

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Bundle:
        """Take what the child has said."""
        convincing, doubted = (
            tuple(Thumbnail(b64decode(picture), about) for picture, about in gallery)
            for gallery in said["galleries"]
        )
        return cls(
            study=said["study"],
            everyone=ReaderResult(**said["everyone"]),
            readers={name: ReaderResult(**part) for name, part in said["readers"].items()},
            problems=said["problems"],
            not_counted=said["not_counted"],
            unblinded=said["unblinded"],
            figures={name: b64decode(picture) for name, picture in said["figures"].items()},
            galleries=(convincing, doubted),
            page=said["page"],
        )


def bundling(study: Path, key: Path) -> Iterator[Event]:
    """Open the answer key and work out the results, in a process of their own.

    Yields
    ------
    Event
        Progress, Warn; Finished with the :class:`Bundle`.

    Raises
    ------
    JobError
        If there are none, or the key is not the study's; says why.
    """
    yield Progress(0, 0, "reading the answers")
    with Job.start([str(study), str(key)], PROGRAM) as job:
        for event in job.events():
            yield Finished(Bundle.of(event.summary)) if isinstance(event, Finished) else event


def bundle(found: StudyReport) -> dict[str, Any]:
    """Draw and say everything that is shown, as plain JSON; pictures as base64."""
    from napari_pathogan.study.figures import draw_all  # noqa: PLC0415  (not for napari's process)
    from napari_pathogan.study.html import render  # noqa: PLC0415

    seen = (found.convincing(), found.doubted())
    return _texts(found) | {
        "figures": {name: _text(picture) for name, picture in draw_all(found, "png").items()},
        "galleries": [[_thumbnail(found, one) for one in images] for images in seen],
        "page": render(found),
    }


def _texts(found: StudyReport) -> dict[str, Any]:
    from napari_pathogan.plugin.study import tables  # noqa: PLC0415

    pairs = found.study.manifest.mode == "pairs"
    readers = {
        one.name: {
            "verdict": tables.verdict_html(found.verdicts[one.name]),
            "table": tables.metrics_html(found.readers[one.name]),
            "confusion": tables.confusion_html([one], pairs=pairs),
        }
        for one in found.judged
    }
    return {
        "study": found.study.folder.name,
        "everyone": {
            "verdict": tables.verdict_html(found.verdict, "These readers, these images")
            + tables.verdict_html(found.elsewhere, "Other readers, other images"),
            "table": tables.metrics_html(found.pooled)
            + tables.list_html("Compared", found.compared()),
            "confusion": tables.confusion_html(found.judged, pairs=pairs),
        },
        "readers": readers,
        "problems": tables.list_html("Not as it was written", found.problems),
        "not_counted": tables.list_html("Not counted", found.not_counted),
        "unblinded": tables.list_html("Not blinded to the end", found.unblinded),
    }


def _thumbnail(found: StudyReport, seen: ImageRating) -> tuple[str, str]:
    """A small picture, and what is known of it."""
    small = Image.fromarray(found.study.image(seen.image))
    small.thumbnail((THUMB_PX, THUMB_PX))
    packed = io.BytesIO()
    small.save(packed, "PNG")
    kind = "generated" if seen.truth.real else "real"
    about = f"{seen.truth.source}: taken for {kind} by {seen.fooled} of {seen.readers}"
    return _text(packed.getvalue()), f"{about}\n{seen.truth.origin}"


def _text(picture: bytes) -> str:
    return b64encode(picture).decode()


def _working_out(study: Path, key: Path) -> Iterator[Event]:
    from napari_pathogan.study.record import Study  # noqa: PLC0415
    from napari_pathogan.study.results import results  # noqa: PLC0415

    found: StudyReport | None = None
    for event in results(Study.open(study), key):
        if isinstance(event, Finished):
            found = event.result
        else:
            yield event
    assert found is not None
    yield Progress(0, 0, "drawing")
    yield Finished(None, bundle(found))


def _main(study: str, key: str) -> int:
    """Work, and say every now and then that it goes on: where it is cancelled, it ends at once."""
    end_with_parent()
    said, lock = ["starting"], threading.Lock()

    def say(event: Event) -> None:
        with lock:
            sys.stdout.write(to_json(event) + "\n")
            sys.stdout.flush()

    def go_on_saying() -> None:
        while not done.wait(ALIVE_S):
            say(Progress(0, 0, said[0]))

    done = threading.Event()
    voice = threading.Thread(target=go_on_saying, daemon=True)
    voice.start()
    try:
        for event in _working_out(Path(study), Path(key)):
            if isinstance(event, Progress):
                said[0] = event.what
            say(event)
    except PathoganError as error:
        sys.stderr.write(f"pathogan: {' '.join(str(error).split())}\n")
        return 2
    finally:
        done.set()
        voice.join()
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:3]))
