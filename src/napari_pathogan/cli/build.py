"""The commands of all tasks, made from what their contracts say."""

from __future__ import annotations

import json
from collections import deque
from enum import StrEnum
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_pathogan.cli import options as common
from napari_pathogan.engine.task import called

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from napari_pathogan.engine.events import Event
    from napari_pathogan.engine.task import Option, Task


def add_task(task: Task, app: typer.Typer) -> None:
    """Add what a task does to the group of its words."""
    if task.training is not None:
        app.command(f"{task.verb_prefix}train", help=task.training.help)(_train(task))
    if task.evaluation is not None:
        app.command(f"{task.verb_prefix}evaluate", help=task.evaluation.help)(_evaluate(task))
    if task.prediction is not None:
        app.command(task.prediction.verb, help=task.prediction.help)(_predict(task))


def add_batch(task: Task, app: typer.Typer) -> None:
    """Add a task's batch, where it predicts something, under its name."""
    if task.prediction is not None:
        app.command(task.name, help=task.prediction.help)(_batch(task))


def _train(task: Task) -> Callable[..., None]:
    training = task.training
    assert training is not None

    def train(folder: Path, output: Path, *, events: bool, **asked: Any) -> None:
        from napari_pathogan.cli.progress import follow
        from napari_pathogan.cli.show import show, show_gain
        from napari_pathogan.engine import parallel, verbs
        from napari_pathogan.engine.before_after import gains
        from napari_pathogan.engine.report import Report

        given = _plain(asked)
        settings = given.pop("settings") or ()
        learning = verbs.train(task, folder, output, settings=settings, **given)
        if not parallel.speaks():
            deque(learning, maxlen=0)
            return
        finished = follow(learning, as_json=events)
        if events:
            return
        results = finished.result if isinstance(finished.result, tuple) else (finished.result,)
        for report in results:
            if isinstance(report, Report):
                (show_gain(report, task) if gains(report, task.gains) else show(report))
        for key, value in finished.summary.items():
            if not isinstance(value, dict):
                typer.echo(f"{key}: {', '.join(value) if isinstance(value, list) else value}")

    recipes = {}
    if len(training.recipe_names) > 1:
        kind = _choices("Recipe", training.recipe_names)
        option = typer.Option(help=training.about_recipes)
        recipes = {"recipe": (Annotated[kind, option], kind(training.recipe))}
    return _command(
        train,
        {
            "folder": (Annotated[Path, typer.Argument(help=training.folder)], Parameter.empty),
            **_folders(training.others),
            "output": (common.Output, Parameter.empty),
            **recipes,
            **_typed(training.settings),
            **_typed(training.options),
            "settings": (common.Settings, None),
            "name": (common.Name, ""),
            "source": (common.Source, ""),
            "terms": (common.Terms, ""),
            "device": (common.Device, "auto"),
            "resume": (common.Resume, False),
            "events": (common.Events, False),
        },
    )


def _evaluate(task: Task) -> Callable[..., None]:
    evaluation = task.evaluation
    assert evaluation is not None

    def evaluate(*, json: bool, events: bool, **asked: Any) -> None:
        from napari_pathogan.cli.outputs import check_outputs
        from napari_pathogan.cli.progress import follow
        from napari_pathogan.cli.show import show
        from napari_pathogan.engine import verbs

        given = _plain(asked)
        folders = [given.pop(name) for name in evaluation.folders]
        model = given.pop(task.model_word)
        outputs = [(given.get(one.name), task.get(one.kind)) for one in evaluation.outputs]
        check_outputs(outputs, folders)
        measuring = verbs.evaluate(task, *folders, model=model, **given)
        finished = follow(measuring, as_json=events)
        if not events:
            show(finished.result, as_json=json)

    return _command(
        evaluate,
        {
            **_folders(evaluation.folders),
            task.model_word: (_model(task), task.default),
            **_typed(evaluation.options),
            **{one.name: _output(one.help) for one in evaluation.outputs},
            "device": (common.Device, "auto"),
            "json": (common.Json, False),
            "events": (common.Events, False),
        },
    )


def _predict(task: Task) -> Callable[..., None]:
    prediction = task.prediction
    assert prediction is not None

    def predict(*, as_json: bool, events: bool, device: str, **asked: Any) -> None:
        from napari_pathogan.cli.outputs import names_differ, over_slides, slide_outputs
        from napari_pathogan.engine import verbs
        from napari_pathogan.engine.events import Finished

        given = _plain(asked)
        paths = given.pop(prediction.sources)
        names_differ([path for path in paths if not path.is_dir()], prediction.sources)
        opened = dict.fromkeys(paths)
        if prediction.expand:
            opened = task.get(prediction.expand)(list(opened), _warn)
        names_differ(list(opened), prediction.sources)
        outputs = {
            one.name: (given.pop(one.name), task.get(one.kind)) for one in prediction.exports
        }
        files = slide_outputs(list(opened), outputs)
        loaded = verbs.load(task, given.pop(task.model_word), device, **given)

        results: list[Any] = []

        def work(path: Path, targets: dict[str, Path]) -> Iterator[Event]:
            source = opened.pop(path)
            for event in verbs.predict(task, path, loaded, targets, opened=source, **given):
                if prediction.together and isinstance(event, Finished):
                    results.append(event.result)
                yield event

        over_slides(files, work, as_json=as_json, events=events, kind=prediction.sources)
        if prediction.together and not events:
            for line, plain in task.get(prediction.together)(results, loaded):
                typer.echo(json.dumps(plain) if as_json else line)

    sources = Annotated[list[Path], typer.Argument(help=prediction.about_sources)]
    return _command(
        predict,
        {
            prediction.sources: (sources, Parameter.empty),
            **{
                one.name: _output(one.help, one.name, needed=one.needed)
                for one in prediction.exports
            },
            task.model_word: (_model(task), task.predicts_with),
            **_typed(prediction.options),
            "device": (common.Device, "auto"),
            "as_json": (common.JsonEach, False),
            "events": (common.Events, False),
        },
    )


def _batch(task: Task) -> Callable[..., None]:
    prediction = task.prediction
    assert prediction is not None
    names = [called(one) for one in prediction.exports]
    usual = [called(one) for one in prediction.exports if one.usual]

    def batch(
        *, patterns: list[str], output: Path, events: bool, save: list[Any], **asked: Any
    ) -> None:
        from napari_pathogan.batch.run import run
        from napari_pathogan.cli.outputs import fail
        from napari_pathogan.cli.progress import follow

        given = _plain(asked)
        wanted = [one.value for one in save or ()]
        model = given.pop(task.model_word)
        work = run(task, patterns, output, model=model, save=wanted, **given)
        summary = follow(work, as_json=events).summary
        if not events:
            typer.echo(summary["text"])
        if failed := summary["failed"]:
            n = len(failed) + summary["done"] + summary["before"]
            fail(f"{len(failed)} of {n} failed; --resume tries these again")

    patterns = typer.Argument(help="Slides, folders of them, patterns such as 'in/**/*.svs'.")
    about = f"What to save; repeat for more. By default: {', '.join(usual)}."
    kind: Any = _choices("Saved", names)
    return _command(
        batch,
        {
            "patterns": (Annotated[list[str], patterns], Parameter.empty),
            "output": (
                Annotated[Path, typer.Option("-o", "--output", help="Folder of the batch.")],
                Parameter.empty,
            ),
            task.model_word: (_model(task), task.predicts_with),
            "save": (Annotated[list[kind] | None, typer.Option(help=about)], None),
            **_typed(prediction.options),
            "workers": (
                Annotated[int, typer.Option(help="Processes on this machine.", min=1)],
                1,
            ),
            "cluster": (
                Annotated[
                    str,
                    typer.Option(
                        help="Scheduler of a dask cluster that sees the same files.",
                        metavar="ADDRESS|FILE",
                    ),
                ],
                "",
            ),
            "device": (common.Device, "auto"),
            "resume": (
                Annotated[
                    bool,
                    typer.Option(
                        "--resume", help="Go on: what is done stays, what failed is tried again."
                    ),
                ],
                False,
            ),
            "events": (common.Events, False),
        },
    )


def _warn(text: str) -> None:
    typer.echo(f"pathogan: {text}", err=True)


def _command(
    run: Callable[..., None], parameters: dict[str, tuple[Any, Any]]
) -> Callable[..., None]:
    """Give a function the signature that typer makes a command of."""

    def command(**given: Any) -> None:
        run(**given)

    # without a default first, as Python wants it
    order = sorted(parameters, key=lambda name: parameters[name][1] is not Parameter.empty)
    command.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                annotation=parameters[name][0],
                default=parameters[name][1],
            )
            for name in order
        ]
    )
    command.__annotations__ = {name: parameters[name][0] for name in order}
    return command


def _model(task: Task) -> Any:  # noqa: ANN401
    return Annotated[str, typer.Option(help=f"Name of a {task.model_word}, or its folder.")]


def _output(text: str, name: str = "", *, needed: bool = False) -> tuple[Any, Any]:
    flags = ("-o", "--output") if name == "output" else ()
    if needed:
        return Annotated[Path, typer.Option(*flags, help=text)], Parameter.empty
    return Annotated[Path | None, typer.Option(*flags, help=text)], None


def _folders(folders: Mapping[str, str]) -> dict[str, tuple[Any, Any]]:
    """Arguments that are folders: what each of them holds."""
    return {
        name: (Annotated[Path, typer.Argument(help=text)], Parameter.empty)
        for name, text in folders.items()
    }


def _typed(options: Iterable[Option]) -> dict[str, tuple[Any, Any]]:
    """Keyword -> annotation and default of options."""
    return {option.name: _one(option) for option in options}


def _one(option: Option) -> tuple[Any, Any]:
    kind, default = option.kind, option.default
    more: dict[str, Any] = {"min": option.least, "max": option.most, "metavar": option.metavar}
    flags = (option.flag,) if option.flag else ()
    if kind is bool:
        flags = flags or (f"--{option.name.replace('_', '-')}",)
    if isinstance(kind, tuple):
        kind = _choices(option.name.title(), kind)
        default = None if default is None else kind(default)
    elif isinstance(kind, str):
        more["parser"] = _parser(kind)
        kind = str
    hint: Any = kind if default is not None else kind | None
    return Annotated[hint, typer.Option(*flags, help=option.help, **more)], default


def _choices(name: str, texts: Sequence[str]) -> type[StrEnum]:
    make: Any = StrEnum
    made: type[StrEnum] = make(name, {text: text for text in texts})
    return made


def _parser(where: str) -> Callable[[str], Any]:
    """A function that reads a text, of which typer shows what is wrong."""

    def parse(text: Any) -> Any:  # noqa: ANN401 - a text, or what it was read as
        from importlib import import_module

        if not isinstance(text, str):
            return text
        module, _, name = where.partition(":")
        try:
            return getattr(import_module(module), name)(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parse


def _plain(asked: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, choices as plain texts."""
    return {
        name: value.value if isinstance(value, StrEnum) else value for name, value in asked.items()
    }
