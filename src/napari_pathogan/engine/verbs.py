"""What every task does: train, evaluate, predict and save, as its contract says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathogan.engine.config import SettingError
from napari_pathogan.engine.contents import images_below, noted, too_well, with_images
from napari_pathogan.engine.events import Event, Finished, Progress, Warn
from napari_pathogan.engine.models import TrainingData
from napari_pathogan.engine.parallel import joined
from napari_pathogan.engine.report import Report
from napari_pathogan.engine.runs import RunFolder
from napari_pathogan.engine.task import Option, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from napari_pathogan.engine.config import TrainConfig
    from napari_pathogan.engine.task import Output, Retraining, Task


def train(
    task: Task,
    folder: Path,
    output: Path,
    *,
    recipe: str = "",
    settings: Iterable[str] = (),
    name: str = "",
    source: str = "",
    terms: str = "",
    device: str = "auto",
    resume: bool = False,
    **options: Any,
) -> Iterator[Event]:
    """Train a model of a task on a folder of images.

    Parameters
    ----------
    output
        The run's folder; the model lies in ``output/model``.
    recipe
        Of the task's recipes; its own choice by default.
    settings
        ``name=value`` for settings of the recipe; those among ``options`` win over these.
    name
        Of the model; the run folder's by default.
    source, terms
        What the images are and on what terms, for the card.
    resume
        Go on with the run that is there.
    options
        The task's own; and its further folders, by name.

    Yields
    ------
    The training's events; the last is Finished with a report, several or None.

    Raises
    ------
    SettingError
        If there is no such recipe, setting or option.
    DataFolderError, OutputError, TrainingDivergedError
        If the images won't do, the run can't be written, or a loss becomes infinite.
    """
    training = task.training
    if training is None:
        raise SettingError(f"nothing is trained for {task.name}")
    others = (Option(one, Path, None, text) for one, text in training.others.items())
    own = complete((*training.settings, *training.options, *others), options, task)
    flags = {option.name: own.pop(option.name) for option in training.settings}
    recipes = task.get(training.recipes)
    recipe = recipe or training.recipe
    if recipe not in recipes:
        raise SettingError(f"no recipe {recipe!r}; choose one of {', '.join(recipes)}")
    name = name or output.name
    with ExitStack() as held:
        together = joined(output, device, resume=resume)
        output, device = held.enter_context(together)
        run = RunFolder(output)
        if run.path.is_dir() and resume:
            held.enter_context(run.locked())
        run.check(resume=resume)
        config = _configured(task, recipes[recipe], settings, flags, own)
        images = task.get(training.read)(folder, **chosen(task.get(training.read), own))
        if training.check:
            check = task.get(training.check)
            check(images, config, **chosen(check, own))
        asked = {name: _plain(value) for name, value in own.items()}
        before = {one.name: one.before for one in training.options}
        run.start(config, {**asked, "data": str(folder)}, before=before, resume=resume)
        if not resume:
            held.enter_context(run.locked())
        below = [folder, *(own[one] for one in training.others if own[one] is not None)]
        files = getattr(images, "files", None) or [x for one in below for x in images_below(one)]
        data = yield from noted(TrainingData.stated(folder, source, terms), files)
        learn = task.get(training.learn)
        yield from learn(
            images, config, run, device=device, name=name, data=data, **chosen(learn, own)
        )


def _plain(value: Any) -> Any:  # noqa: ANN401 - an option's
    """An option as a run keeps it: plain JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value) if isinstance(value, Path) else value


def _configured(
    task: Task,
    config: TrainConfig,
    settings: Iterable[str],
    flags: Mapping[str, Any],
    own: Mapping[str, Any],
) -> TrainConfig:
    """A recipe for what is begun with, changed by what was asked for, of which all must count."""
    assert task.training is not None
    settings = tuple(settings)
    if task.training.begin:
        begin = task.get(task.training.begin)
        config = begin(config, **chosen(begin, own))
    config = config.adjusted(settings, **flags)
    asked = {name for name, value in flags.items() if value is not None}
    typed = {setting.partition("=")[0] for setting in settings}
    asked |= typed | {name.partition(".")[0] for name in typed}
    for name, why in config.ignored().items():
        if name in asked:
            msg = f"{name!r} would count for nothing: {why}; leave it out"
            raise SettingError(msg)
    return config


def retrain(
    task: Task,
    slides: Sequence[Path],
    output: Path,
    *,
    base: str | Path = "",
    name: str = "",
    source: str = "",
    terms: str = "",
    device: str = "auto",
    classes: Mapping[str, str] | None = None,
    mpp: float | None = None,
    deep: bool = False,
    settings: Iterable[str] = (),
    resume: bool = False,
) -> Iterator[Event]:
    """Fit a model of a task to what is annotated on slides; the model it begins with stays as it is.

    Parameters
    ----------
    output
        The run's folder; the new model lies in ``output/model``.
    base
        The model to begin with; the task's own by default.
    classes
        What classes of annotations count as, where the task does not know.
    mpp
        um per pixel, where slides do not say.
    deep
        Let all layers of its network learn, in epochs, where the task has a head that is refitted else.
    settings
        ``name=value`` for settings of a deep round.
    resume
        Go on with the deep round that is there.

    Yields
    ------
    The last event is Finished with a report of before and after.

    Raises
    ------
    SettingError
        If nothing is retrained for the task.
    DataFolderError, ModelNotFoundError, ModelError, OutputError
        If the annotations or the model won't do, or the run can't be written.
    """
    retraining = task.retraining
    if retraining is None:
        raise SettingError(f"nothing is retrained for {task.name}")
    run, base = RunFolder(output), str(base or retraining.base or task.default)
    settings = tuple(settings)
    if deep and not retraining.deep:
        raise SettingError(f"{task.name} has no deep round of its own: leave it out")
    if not deep and (settings or resume):
        raise SettingError("settings and resuming are of a deep round: ask for one (--deep)")
    run.check(resume=resume)
    data = TrainingData.stated(output, source or "annotated slides", terms)
    if not retraining.by_patient:  # else there are folders, whose images the task knows
        data = with_images(data, _annotated(task, retraining, slides, mpp))
    how: dict[str, Any] = {
        "device": device,
        "name": name or output.name,
        "data": data,
        "classes": classes,
        "mpp": mpp,
    }
    if not deep:
        yield from task.get(retraining.learn)(slides, base, run, **how)
        return
    recipe = next(iter(task.get(retraining.deep_recipes).values()))
    config = recipe.adjusted(settings)
    asked = {"slides": [str(path) for path in slides], "base": base, "classes": dict(classes or {})}
    run.start(config, asked, resume=resume)
    with run.locked():
        yield from task.get(retraining.deep)(slides, base, run, config=config, **how)


def _annotated(
    task: Task, retraining: Retraining, paths: Iterable[Path], mpp: float | None
) -> Iterator[str]:
    """Digests of those of some slides on which something is annotated."""
    for path in paths:
        with task.get(retraining.open)(path, mpp=mpp) as slide:
            if task.get(retraining.read)(slide)[0]:
                yield slide.imprint.digest


def evaluate(
    task: Task, *folders: Path, model: str | Path = "", device: str = "auto", **options: Any
) -> Iterator[Event]:
    """Measure a model of a task on labelled images.

    Yields
    ------
    Finished with a :class:`~napari_pathogan.engine.report.Report`, whose plain form is the summary;
    before it whatever the task says.

    Raises
    ------
    ModelNotFoundError, ModelError, DataFolderError, SettingError
        If the model or the images won't do, or there is no such option.
    """
    evaluation = task.evaluation
    if evaluation is None:
        raise SettingError(f"nothing is evaluated for {task.name}")
    own = complete((*evaluation.options, *_paths(evaluation.outputs)), options, task)
    run = task.get(evaluation.run)
    loaded = task.load(model, device, **own)
    outcome = run(*folders, loaded, **chosen(run, own))
    if isinstance(outcome, Report):
        yield Finished(outcome, outcome.to_dict())
    else:
        yield from outcome


def load(task: Task, model: str | Path = "", device: str = "auto", **options: Any) -> Any:  # noqa: ANN401
    """What a task's prediction is given as the model; options that are left out have their defaults."""
    assert task.prediction is not None
    prediction = task.prediction
    own = complete(prediction.options, options, task)
    model = model or task.predicts_with
    loads = task.get(prediction.load) if prediction.load else task.load
    return loads(model, device, **(chosen(loads, own) if prediction.load else own))


def predict(
    task: Task,
    path: Path,
    model: Any,  # noqa: ANN401 - as load gives it
    files: Mapping[str, Path],
    *,
    opened: Any = None,  # noqa: ANN401 - a slide, a mammogram
    **options: Any,
) -> Iterator[Event]:
    """Apply a model to what a file holds, and save the result.

    Parameters
    ----------
    model
        Of :func:`load`.
    files
        Name of an export -> file or folder to write.
    opened
        What the file holds, where it is open already.

    Yields
    ------
    The task's events. The last comes when all files are there: Finished with the result; the
    summary tells ``text``, ``seconds``, ``device`` and ``files`` beside what the task says.
    """
    prediction = task.prediction
    if prediction is None:
        raise SettingError(f"nothing is predicted for {task.name}")
    own = complete(prediction.options, options, task)
    run = task.get(prediction.run)
    _check_wishes(task, own, files)
    with _opened(task.get(prediction.open), path, opened, own) as source:
        card = getattr(model, "card", None)
        if (
            card is not None
            and card.tells_images
            and (imprint := getattr(source, "imprint", None)) is not None
            and card.has_seen(imprint.digest)
        ):
            yield Warn(too_well(card, source.name))
        start = time.perf_counter()
        last: Event | None = None
        for last in run(source, model, **chosen(run, own)):
            if not isinstance(last, Finished):
                yield last
        assert isinstance(last, Finished), "a task ends with Finished"
        seconds = time.perf_counter() - start
        for export in prediction.exports:
            if export.name in files:
                target = files[export.name]
                yield Progress(1, 1, f"writing {target.name}")
                write = task.get(export.write)
                writing = write(target, last.result, **chosen(write, own | {"source": source}))
                if isinstance(writing, Iterator):
                    yield from writing
    extra = {
        "seconds": seconds,
        "device": str(getattr(model, "device", "cpu")),
        "files": [str(target) for target in files.values()],
    }
    yield Finished(last.result, {**last.summary, **extra})


def _check_wishes(task: Task, own: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    """Make sure that what is asked of an export is of one that is asked for.

    Raises
    ------
    SettingError
        If it would count for nothing.
    """
    assert task.prediction is not None
    for option in task.prediction.options:
        if own[option.name] == option.default:
            continue
        wish = {option.name: own[option.name]}
        takers = [one.name for one in task.prediction.exports if chosen(task.get(one.write), wish)]
        used = [task.prediction.open, task.prediction.load, task.prediction.run]
        elsewhere = any(chosen(task.get(one), wish) for one in used if one)
        if takers and not elsewhere and not files.keys() & set(takers):
            msg = (
                f"{option.name} would count for nothing: it is for {' and '.join(takers)}, which is not "
                "asked for"
            )
            raise SettingError(msg)


def _opened(
    opens: Callable[..., Any],
    path: Path,
    opened: Any,  # noqa: ANN401
    own: dict[str, Any],
) -> AbstractContextManager[Any]:
    """What a file holds; what is open already stays open."""
    takes = chosen(opens, own | {"opened": opened})
    return (
        nullcontext(opened)
        if opened is not None and "opened" not in takes
        else opens(path, **takes)
    )


def _paths(outputs: tuple[Output, ...]) -> tuple[Option, ...]:
    return tuple(Option(one.name, Path, None, one.help) for one in outputs)


def complete(known: tuple[Option, ...], given: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Options with their defaults where they were not given.

    Raises
    ------
    SettingError
        If there is no such option.
    """
    names = [option.name for option in known]
    for name in given:
        if name not in names:
            msg = f"{task.words} has no option {name!r}; choose among {', '.join(names)}"
            raise SettingError(msg)
    return {option.name: given.get(option.name, option.default) for option in known}
