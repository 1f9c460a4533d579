"""What annotating in the IDC dock has done in the background: reading, keeping and refitting; and what of it stays."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_pathogan.annotations.classes import UNCLASSIFIED, UNKNOWN
from napari_pathogan.annotations.merging import Known
from napari_pathogan.annotations.outlines import is_outline
from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.plugin.shell.settings import settings
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch
from napari_pathogan.slides.polygons import corner
from napari_pathogan.tasks.idc import TASK

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from napari.layers import Shapes

    from napari_pathogan.annotations.geojson import Annotation
    from napari_pathogan.engine.runs import RunFolder
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.tasks.idc.heatmap import HeatMap
    from napari_pathogan.tasks.idc.live import SlideFeatures
    from napari_pathogan.tasks.idc.model import IdcModel

assert TASK.retraining is not None
CLASSES = TASK.retraining.classes
PLACES = 12  # regions to look at next that the button goes round


@dataclass(frozen=True, eq=False)
class Version:
    """A model and its map."""

    title: str
    model: IdcModel
    heat: HeatMap
    outlines: tuple[Annotation, ...] = ()


@dataclass(eq=False)
class Annotated:
    """A slide's outlines, and the versions that came of them.

    Attributes
    ----------
    shapes
        The layer; None until something is drawn.
    folder, seen
        Of the model that the versions begin with, and what it sees of the slide.
    versions, shown
        All of them, the model as it was first, and the number of the one in view.
    outlines
        As they were last kept.
    noted
        Outlines as the history knows them.
    file
        What is known of the file that they are kept in.
    followed
        Outlines that the head was to be fitted to last; None before the first time.
    kinds
        Class -> what its outlines count as, where the user says so.
    asked
        Whether what was annotated before has been asked for.
    """

    shapes: Shapes | None = None
    folder: Path | None = None
    seen: SlideFeatures | None = None
    versions: list[Version] = field(default_factory=list)
    shown: int = 0
    outlines: tuple[Annotation, ...] = ()
    noted: tuple[Annotation, ...] = ()
    file: Known = field(default_factory=Known)
    followed: tuple[Annotation, ...] | None = None
    kinds: dict[str, str] = field(default_factory=dict)
    asked: bool = False

    @property
    def others(self) -> list[str]:
        """The classes that were drawn and are not those of the buttons."""
        return sorted({one.class_name for one in self.outlines} - CLASSES.keys())


@dataclass(frozen=True, slots=True, eq=False)
class OutlinesWritten(Event):
    """The outlines lie beside the slide."""

    path: Path


@dataclass(frozen=True, slots=True, eq=False)
class FirstVersion(Event):
    """The model has looked at the slide: what it sees, and its own version."""

    seen: SlideFeatures
    version: Version


def reading(slide: Slide) -> Iterator[Event]:
    """Read what was annotated before; finishes with outlines, and what is known of the file."""
    ready_for_torch()
    from napari_pathogan.tasks.idc import live  # noqa: PLC0415

    known = Known()
    if slide.path is not None:
        known = Known.read(live.store(slide.path).path, corner(slide), is_outline)
    yield Finished((live.read(slide)[0], known))


def following(
    slide: Slide, folder: Path, known: Annotated, outlines: tuple[Annotation, ...], *, refit: bool
) -> Iterator[Event]:
    """Keep outlines and, with ``refit``, fit the head to them; finishes with the new version or None.

    The summary's ``text`` says what there is to learn from, and what is missing.
    """
    ready_for_torch()
    from napari_pathogan.tasks.idc import live  # noqa: PLC0415
    from napari_pathogan.tasks.idc.data import CLASSES as NAMES  # noqa: PLC0415

    note = ""
    if outlines != known.outlines and slide.path is not None:
        yield OutlinesWritten(live.write(slide, outlines, known.file))
        note = f"{known.file.note}. " if known.file.note else ""
    if not refit:
        yield Finished(None, {"text": note})
        return
    start = time.monotonic()
    seen, model = yield from _looked(slide, folder, known)
    drawn = live.annotated(slide, outlines, known.kinds)
    counts = {name: drawn.count(number) for number, name in enumerate(NAMES)}
    text = note + " and ".join(f"{n} {name}" for name, n in counts.items()) + " patches"
    if left := left_out(drawn.counted):
        text += f". {left}"
    text += "".join(f". {note}" for note in drawn.notes[:1] if not left)
    if slide.path is None:
        text += f". {slide.name} is no file, so the outlines are not kept"
    missing = [name for name, n in counts.items() if not n]
    if missing:
        ask = f"draw around {' and '.join(missing)} too, at least 200 µm wide"
        yield Finished(None, {"text": f"{text}: {ask}" if len(missing) < len(counts) else note})
        return
    yield Progress(0, 0, "refitting")
    title = f"{len(known.versions) or 1}: {counts['IDC']} + {counts['healthy']} patches"
    name = f"{model.card.name}, annotated {len(known.versions) or 1}"
    part = live.part_of(seen, drawn)
    changed = live.refitted(model, [part], name)
    heat = seen.map(slide, changed, part.rows, PLACES)
    version = Version(title, changed, heat, outlines)
    yield Finished(version, {"text": f"{text}, refitted in {time.monotonic() - start:.1f} s"})


def fitting(slide: Slide, folder: Path, known: Annotated) -> Iterator[Event]:
    """Fit the model's head to a slide without annotations; finishes with the new version."""
    ready_for_torch()
    from napari_pathogan.tasks.idc import live  # noqa: PLC0415

    seen, model = yield from _looked(slide, folder, known)
    start = time.monotonic()
    yield Progress(0, 0, "fitting to the slide")
    changed = live.fitted(model, seen, f"{model.card.name}, fitted to the slide")
    version = Version("fitted to this slide", changed, seen.map(slide, changed, places=PLACES))
    text = f"Fitted to this slide in {time.monotonic() - start:.1f} s, by what its map says of it"
    yield Finished(version, {"text": "; ".join([text, *seen.notes])})


def _looked(
    slide: Slide, folder: Path, known: Annotated
) -> Generator[Event, None, tuple[SlideFeatures, IdcModel]]:
    """What the model sees of the slide, and the model; it looks once."""
    from napari_pathogan.engine.devices import choose_device  # noqa: PLC0415
    from napari_pathogan.tasks.idc import live  # noqa: PLC0415
    from napari_pathogan.tasks.idc.model import IdcModel  # noqa: PLC0415

    if known.seen is not None:
        return known.seen, known.versions[0].model
    chosen = settings()
    model = IdcModel.load(folder, chosen.device)
    model.device = choose_device(chosen.device, chosen.precision)
    live.past_of(model)
    seen = yield from live.look(slide, model)
    heat = seen.map(slide, model, places=PLACES)
    yield FirstVersion(seen, Version(model.card.name, model, heat))
    return seen, model


def checking(
    slide: Slide, folder: Path, known: Annotated, outlines: tuple[Annotation, ...]
) -> Iterator[Event]:
    """Let the model judge outlines, each held back in turn; finishes with an AnnotationReview or None.

    The summary's ``text`` says what there is nothing of.
    """
    ready_for_torch()
    from napari_pathogan.tasks.idc import live  # noqa: PLC0415
    from napari_pathogan.tasks.idc.review import reviewed  # noqa: PLC0415

    drawn = live.annotated(slide, outlines, known.kinds)
    if not (drawn.labels >= 0).any():
        yield Finished(None, {"text": "Nothing to check: draw outlines at least 200 µm wide"})
        return
    seen, model = yield from _looked(slide, folder, known)
    part = live.part_of(seen, drawn)
    yield Progress(0, 0, "checking the annotations")
    found = reviewed(model, part, drawn) if len(part.labels) else None
    yield Finished(
        found, {"text": "" if found else "Nothing to check: the outlines hold no tissue"}
    )


def keeping(slide: Slide, known: Annotated, version: Version, run: RunFolder) -> Iterator[Event]:
    """Measure a version before and after, and save it as a model; finishes with the report."""
    from napari_pathogan.engine.contents import with_images  # noqa: PLC0415  (torch is slow)
    from napari_pathogan.engine.models import TrainingData  # noqa: PLC0415
    from napari_pathogan.tasks.idc import live, live_retrain  # noqa: PLC0415

    assert known.seen is not None
    yield Progress(0, 0, "comparing before and after")
    base, part = (
        known.versions[0].model,
        live.part_of(known.seen, live.annotated(slide, version.outlines, known.kinds)),
    )
    changed = live.refitted(base, [part], run.path.name)
    report = live_retrain.compare(base, changed, [part])
    digest = live.digest_of(version.outlines)
    yield Progress(0, 0, "saving")
    asked = {
        "slides": [str(slide.path)],
        "base": base.card.name,
        "version": version.title,
        "classes": known.kinds,
    }
    name = slide.name.split(".")[0]
    data = with_images(TrainingData(name="annotated slides"), [slide.imprint.digest])
    live_retrain.keep(run, asked, base, changed, report, [name], digest, data)
    yield Finished(report)


def left_out(counted: Mapping[str, str]) -> str:
    """A sentence on classes of which the table does not know what they count as; "" without any."""
    names = [name or UNCLASSIFIED for name, kind in counted.items() if kind == UNKNOWN]
    return (
        f"{', '.join(sorted(names))} left out: 'Classes…' says what counts as what" if names else ""
    )
