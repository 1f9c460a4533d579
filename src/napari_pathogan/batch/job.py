"""What is done with one slide of a batch: a small thing that travels, and its folder of results."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from napari_pathogan import addresses
from napari_pathogan.engine import verbs
from napari_pathogan.engine.events import Event, Finished, Warn
from napari_pathogan.engine.models import locate, read_card
from napari_pathogan.engine.task import chosen
from napari_pathogan.errors import ModelError, ModelNotFoundError, PathoganError, SlideReadError
from napari_pathogan.files import told_apart, written
from napari_pathogan.kinds import FolderKind
from napari_pathogan.slides.backends import state_at
from napari_pathogan.tasks import task_of
from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np

    from napari_pathogan.engine.task import Task

RECORD = "result.json"
_THUMBNAIL = ".thumbnail.jpg"
THUMBNAIL_PX = 360
_KIND = "result of a batch"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class SlideJob:
    """A task, applied to one slide, or to the mammograms of one folder.

    Attributes
    ----------
    name
        What its folder is called.
    source, folder
        What is read; where its results go.
    task, model, model_sha256
        Names, or the model's folder; of its weights, empty where it has none.
    options
        Of the task's prediction.
    exports
        Names of what is saved.
    scale_later
        Whether the scale among the options is only that of slides which say none.
    """

    name: str
    source: Path
    folder: Path
    task: str
    model: str = ""
    model_sha256: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    exports: tuple[str, ...] = ()
    device: str = "auto"
    scale_later: bool = False
    version: str = __version__


def _owner(folder: Path) -> Callable[[str], bool] | None:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    if record["kind"] != _KIND:
        return None
    images = record["images"]
    own = {RECORD, *(i["thumbnail"] for i in images), *(n for i in images for n in i["files"])}
    return lambda file: file.split("/")[0] in own


RESULT = FolderKind(_KIND, owner=_owner)


def digest_of_model(task: Task, model: str) -> str:
    """The sha256 of a model's weights; empty for what has none, such as a reference image.

    Raises
    ------
    ModelNotFoundError, ModelError
        If a model is named that is not there, or its card is damaged.
    """
    return read_card(locate(model, task.name)).sha256 if model else ""


def look(job: SlideJob) -> Iterator[Event]:
    """Do a job; its folder appears when all of it is there.

    Yields
    ------
    The task's events; Finished with the job's record (plain JSON), which is in the folder too.

    Raises
    ------
    PathoganError
        If the slide, the model or an option won't do, or something can't be written.
    """
    start, task = time.monotonic(), task_of(job.task)
    notes: list[str] = []
    images: list[dict[str, Any]] = []
    results: list[Any] = []
    content = content_of(job.source)
    model = _model(job)
    with written(job.folder, RESULT) as room:
        room.mkdir()
        files = _expanded(task, job.source, notes.append)
        names = told_apart(list(files))
        for path in list(files):
            with _opened(task, path, files.pop(path), job) as source:
                targets = _targets(task, job, room / names[path])
                for event in verbs.predict(
                    task, path, model, targets, opened=source, **job.options
                ):
                    if isinstance(event, Warn):
                        notes.append(event.message)
                    if not isinstance(event, Finished):
                        yield event
                        continue
                    results.append(event.result)
                    shown = _thumbnail(
                        room / (names[path] + _THUMBNAIL), task, source, event.result
                    )
                    own = {
                        "files": [target.name for target in targets.values()],
                        "thumbnail": shown,
                    }
                    images.append({"image": path.name, **event.summary, **own})
        said = task.prediction.together if task.prediction else ""
        cases = task.get(said)(results, model) if said else ()
        if content_of(job.source) != content:
            msg = f"{job.source.name} was changed while it was looked at; run the batch again"
            raise SlideReadError(msg)
        record = {
            "kind": _KIND,
            "name": job.name,
            "source": addresses.shown(job.source),
            "content": {**content, "sha256": sha256_of(job.source)},
            "task": job.task,
            "model": job.model,
            "model_sha256": job.model_sha256,
            "images": images,
            "together": [{"text": line, **plain} for line, plain in cases],
            "notes": list(dict.fromkeys(notes)),
            "seconds": time.monotonic() - start,
            "host": platform.node(),
            "version": __version__,
        }
        (room / RECORD).write_text(json.dumps(record, indent=1, default=str), "utf-8")
    yield Finished(record, record)


def finished_record(job: SlideJob) -> dict[str, Any] | None:
    """The record of what was done with just this slide; None if it is to be done (again)."""
    try:
        known = json.loads((job.folder / RECORD).read_text(encoding="utf-8"))
        content = dict(known["content"])
        if known["kind"] != _KIND or known["source"] != addresses.shown(job.source):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    digest = content.pop("sha256", "")
    record: dict[str, Any] = known
    try:
        same = content == content_of(job.source)
    except PathoganError:  # an address that can't be reached: the job will say so
        return None
    same = same or bool(digest and sha256_of(job.source) == digest)
    return record if same else None


def content_of(source: Path) -> dict[str, Any]:
    """Size and time of what is read, by which a change is suspected: of a folder all its files'.

    At an address, what the server says of its state.
    """
    if addresses.is_address(source):
        return {"state": state_at(source)}
    files = _files(source)
    about = [file.stat() for file in files]
    return {
        "files": len(files),
        "bytes": sum(one.st_size for one in about),
        "mtime_ns": max((one.st_mtime_ns for one in about), default=0),
    }


def sha256_of(source: Path) -> str:
    """Hash what is read; of a folder names and contents, of a slide in parts all of them.

    Empty at an address: not all of it comes to this computer.
    """
    if addresses.is_address(source):
        return ""
    digest = hashlib.sha256()
    files = _files(source)
    for file in files:
        if len(files) > 1:
            digest.update(file.relative_to(source.parent).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while part := stream.read(_CHUNK):
                digest.update(part)
    return digest.hexdigest()


def _files(source: Path) -> list[Path]:
    """A file, the parts that lie in a folder of its name (MRXS), or all files of a folder."""
    beside = [source.with_suffix("")] if source.suffix.lower() in {".mrxs", ".vms", ".vmu"} else []
    folders = [one for one in (source, *beside) if one.is_dir()]
    inside = [
        Path(place, name)
        for folder in folders
        for place, _, names in os.walk(folder)
        for name in names
    ]
    return sorted([*([source] if source.is_file() else []), *inside])


_loaded: dict[Any, Any] = {}  # the model that this process used last


def _model(job: SlideJob) -> Any:  # noqa: ANN401 - of the task
    """Load a job's model, once for all jobs of a process.

    Raises
    ------
    ModelError
        If this machine has another version, or other weights under its name.
    """
    task = task_of(job.task)
    if job.version != __version__:
        msg = f"{platform.node()} has version {__version__}, and the batch is of {job.version}"
        raise ModelError(msg)
    key = (job.task, job.model, job.model_sha256, job.device, repr(sorted(job.options.items())))
    if key not in _loaded:
        try:
            digest = digest_of_model(task, job.model)
        except ModelNotFoundError as error:
            raise ModelError(f"{platform.node()}: {error}") from error
        if digest != job.model_sha256:
            msg = f"{platform.node()} has other weights of {job.model}; copy the model to all machines"
            raise ModelError(msg)
        _loaded.clear()
        _loaded[key] = verbs.load(task, job.model, job.device, **job.options)
    return _loaded[key]


def _expanded(task: Task, source: Path, warn: Callable[[str], None]) -> dict[Path, Any]:
    expand = task.prediction.expand if task.prediction else ""
    return task.get(expand)([source], warn) if expand else {source: None}


@contextmanager
def _opened(
    task: Task,
    path: Path,
    opened: Any,  # noqa: ANN401 - of the task
    job: SlideJob,
) -> Iterator[Any]:
    assert task.prediction is not None
    opens = task.get(task.prediction.open)
    options = {**job.options, "opened": opened}
    if job.scale_later:
        with opens(path, **chosen(opens, options | {"mpp": None})) as source:
            if source.mpp is not None:
                yield source
                return
    with opens(path, **chosen(opens, options)) as source:
        yield source


def _targets(task: Task, job: SlideJob, stem: Path) -> dict[str, Path]:
    assert task.prediction is not None
    return {
        one.name: stem.with_name(stem.name + one.suffix)
        for one in task.prediction.exports
        if one.name in job.exports
    }


def _thumbnail(path: Path, task: Task, source: Any, result: Any) -> str:  # noqa: ANN401
    """Save what was found, over what was looked at, where the task draws that; the file's name."""
    picture = task.prediction.picture if task.prediction else ""
    if not picture:
        return ""
    pixels: np.ndarray = task.get(picture)(source, result, THUMBNAIL_PX)
    Image.fromarray(pixels).save(path, quality=85)
    return path.name
