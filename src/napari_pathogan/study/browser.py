"""A study as a folder that any browser shows, for readers elsewhere: offline, nothing installed.

``FOLDER/index.html`` holds the session, ``FOLDER/images/<id>.js`` each image as text: what is opened
from a disk may run scripts beside it, but read no files, and the bytes of an image are checked
before it is shown. The order, the keys and the record are those of a session in napari; so is what a
reader hands back, one file, which :func:`~.merge.merge_file` takes.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from base64 import b64encode
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, Template
from markupsafe import Markup

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.errors import OutputError
from napari_pathogan.files import check, written
from napari_pathogan.kinds import FolderKind
from napari_pathogan.study import asking
from napari_pathogan.study.layout import TRIES
from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_pathogan.study.record import Study

_START = "index.html"
_HEAD = 4096
_IMAGE = re.compile(r"images/[0-9a-f]+\.js")
_DATE = 946684800.0  # 2000-01-01: all files have one date


def _owner(folder: Path) -> Callable[[str], bool] | None:
    with (folder / _START).open("rb") as stream:
        ours = b'content="napari-pathogan ' in stream.read(_HEAD)
    return (lambda name: name == _START or _IMAGE.fullmatch(name) is not None) if ours else None


FOLDER = FolderKind("study for a browser", "", _owner)


def write_folder(study: Study, folder: Path) -> Iterator[Event]:
    """Write a study for readers elsewhere.

    Parameters
    ----------
    folder
        Must not be the study's own, nor in it; only an earlier one of this kind is replaced.

    Yields
    ------
    Event
        Progress; Finished with the page to open.

    Raises
    ------
    StudyError
        If an image is not as it was when the study was made.
    OutputError
        If it can't be written there.
    """
    if folder.resolve().is_relative_to(study.folder.resolve()):
        msg = f"{folder} would be in the study's own folder, which stays as it is; choose another place"
        raise OutputError(msg)
    check(folder, FOLDER)
    with written(folder, FOLDER) as beside:
        (beside / "images").mkdir(parents=True)
        for done, name in enumerate(study.manifest.images):
            yield Progress(done, len(study.manifest.images), "writing images")
            text = b64encode(study.raw_image(name)).decode()
            (beside / "images" / f"{name}.js").write_text(f'received("{name}", "{text}");\n')
        (beside / _START).write_text(_page(study), encoding="utf-8")
        for path in (beside / _START, *(beside / "images").iterdir()):
            os.utime(path, (_DATE, _DATE))
    yield Finished(folder / _START, {"page": str(folder / _START)})


def _page(study: Study) -> str:
    manifest = study.manifest
    pairs = manifest.mode == "pairs"
    shown = study.trials - sum(item.kind == "practice" for item in manifest.items)
    return _template().render(
        version=__version__,
        name=manifest.name,
        question=manifest.question,
        consent=manifest.consent,
        about=f"{shown} {'pairs, left or right' if pairs else 'images, one at a time'}",
        css=Markup(_resource("browser.css")),  # noqa: S704 - ours
        script=Markup(_resource("browser.js")),  # noqa: S704 - ours
        study=_told(study),
    )


def _told(study: Study) -> dict[str, Any]:
    """What the page must know: of the manifest, but for what only a report needs."""
    manifest = study.manifest
    return {
        **manifest.model_dump(include={"name", "mode", "interpolation", "order_seed", "images"}),
        "items": [item.model_dump() for item in manifest.items],
        "start": study.start,
        "version": __version__,
        "consent_sha256": hashlib.sha256(study.consent.encode()).hexdigest(),
        "choices": study.choices,
        "answers": {choice: asking.ANSWERS[choice] for choice in study.choices},
        "sure": asking.SURE,
        "how": asking.HOW[manifest.mode],
        "freedom": asking.FREEDOM,
        "margin": asking.MARGIN,
        "largest_px": asking.LARGEST_PX,
        "gap": asking.GAP,
        "views_s": asking.VIEWS_S,
        "most_views": asking.MOST_VIEWS,
        "tries": TRIES,
        "fold": _folds(),
    }


@cache
def _folds() -> list[tuple[str, str]]:
    """Which characters ``str.casefold`` changes, and to what: JavaScript has no such function."""
    letters = map(chr, range(sys.maxunicode + 1))
    return [(one, one.casefold()) for one in letters if one.casefold() != one]


@cache
def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _template() -> Template:
    # a study's name and texts are not ours: everything is escaped
    rules = Environment(autoescape=True)
    rules.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": False}
    return rules.from_string(_resource("browser.html.j2"))
