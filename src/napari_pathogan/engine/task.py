"""The contract of a task: what it says of itself once, and everybody else reads.

A task is a folder in :mod:`napari_pathogan.tasks` whose package holds a :class:`Task` and that the
registry there names. Command line, docks, generators, exports and lists of models take all that
they know of a task from it. What is slow to import is named as ``"module:attribute"``, the module
as from the task's package (``".train:train"``), and imported when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Option:
    """Something that may be asked for: an option of the command line, a keyword of a function.

    Attributes
    ----------
    name
        The keyword; its flag is ``--name``, or ``flag``.
    kind
        ``str``, ``int``, ``float``, ``bool``, :class:`~pathlib.Path`, the texts to choose among, or
        a function that reads a text, as ``"module:attribute"``; a ValueError says what is wrong.
    default
        Where it is not given; None leaves the choice to the function.
    help
        One line.
    least, most
        Limits of a number, which belong to it.
    metavar
        What a value looks like, where the kind does not say.
    before
        Of a training's: what its default was in versions that wrote it into their runs.
    """

    name: str
    kind: type | tuple[str, ...] | str
    default: Any
    help: str
    least: float | None = None
    most: float | None = None
    metavar: str | None = None
    flag: str = ""
    before: Any = None


@dataclass(frozen=True)
class Output:
    """A file or folder that can be asked for.

    Attributes
    ----------
    name
        The option that names it; ``output`` is the main one.
    help
        One line.
    kind
        The :class:`~napari_pathogan.kinds.Kind` that it is of, lazily.
    """

    name: str
    help: str
    kind: str


EPOCHS = Option("epochs", int, None, "Epochs; the recipe's by default.", 1)
SEED = Option("seed", int, None, "Seed of everything random; 0 by default.")
COMPARE = Option(
    "compare",
    bool,
    False,
    "First measure what is gained over the model of --start, on halves of the images by networks that "
    "learnt from the other half; takes as long again.",
)
IDENTIFIERS = Option("identifiers", bool, False, "Copy who the patient is into what is DICOM.")
SLIDE_MPP = Option("mpp", float, None, "um per pixel, where the slide does not say.")
REGION = Option(
    "region",
    "napari_pathogan.slides.geometry:region_of",
    None,
    "Only this part: y,x,height,width in pixels.",
    metavar="Y,X,H,W",
)


@dataclass(frozen=True)
class Training:
    """How models are trained.

    Attributes
    ----------
    read
        ``(folder, **options)`` -> what is learnt from.
    recipes
        Name -> :class:`~napari_pathogan.engine.config.TrainConfig`.
    learn
        ``(images, config, run, *, device, name, data, **options)`` -> events. ``data`` is what the
        card says of the images. The last event is Finished with a report, several or None.
    check
        ``(images, config, **options)``: raises if ``learn`` would lack something.
    begin
        ``(config, **options)`` -> the recipe changed for what is begun with.
    folder
        What it holds, one line.
    others
        Name -> what further folders hold that it takes, one line; options of ``read``.
    recipe, recipe_names, about_recipes
        The name of the one that is taken unless another is asked for, those that can be asked for,
        and what they are, one line.
    small
        The one for small data, which docks take.
    settings
        Those of the recipe that have a flag of their own.
    options
        Of the functions; each is given those that it names.
    """

    read: str
    recipes: str
    learn: str
    check: str = ""
    begin: str = ""
    help: str = "Train a model."
    folder: str = "Images to learn from."
    others: Mapping[str, str] = field(default_factory=dict)
    recipe: str = "paper"
    recipe_names: tuple[str, ...] = ("paper", "quick")
    about_recipes: str = "The paper's settings, or quick ones for small data."
    small: str = "quick"
    settings: tuple[Option, ...] = ()
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """How models are measured.

    Attributes
    ----------
    run
        ``(*folders, model, **options)`` -> a :class:`~napari_pathogan.engine.report.Report`, or
        events of which the last is Finished with one.
    folders
        Name -> what it holds, one line.
    options
        Of ``run`` and of the model's ``load``.
    outputs
        What ``run`` can write, each an option of its own.
    """

    run: str
    help: str = "Evaluate a model."
    folders: Mapping[str, str] = field(default_factory=lambda: {"folder": "Labelled images."})
    options: tuple[Option, ...] = ()
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True)
class Export(Output):
    """What a result can be saved as.

    Attributes
    ----------
    write
        ``(path, result, **options)``: write a result; what it is of is the option ``source``. May
        be a generator of events.
    suffix, title
        Of its files; as menus say it.
    needed
        Whether the command line must be told where it is to go.
    usual
        Whether a batch saves it unless it is told what to save.
    lacks
        ``(source)`` -> why nothing of that can be saved so, in a few words; empty if it can. By default it
        always can.
    """

    write: str
    suffix: str
    title: str
    needed: bool = False
    usual: bool = True
    lacks: str = ""


@dataclass(frozen=True)
class Prediction:
    """How a model is applied to what a user opens.

    Attributes
    ----------
    open
        ``(path, **options)`` -> context manager with what is looked at: a slide, a mammogram.
    run
        ``(source, model, **options)`` -> events. The last is Finished: its result is exported, its
        summary is plain JSON, in which ``text`` is what is said of it in a line or two.
    exports
        What results are saved as.
    verb
        Of the command.
    load
        ``(model, device, **options)`` -> what ``run`` is given as the model; by default it. Its ``card``
        tells whether it has learnt from what is looked at.
    expand
        ``(paths, warn)`` -> the files among and in them, each with what is open already or None.
    together
        ``(results, model)`` -> what several results say together, each a line and plain JSON.
    picture
        ``(source, result, px)`` -> uint8 (H, W, 3), its long side at most ``px``: what was found, over
        what was looked at.
    default
        The model that is used unless another is named; the task's own if None.
    sources, about_sources
        What is opened, in the plural; one line.
    options
        Of the functions, of the model's ``load`` and of exports.
    """

    open: str
    run: str
    exports: tuple[Export, ...]
    verb: str = "predict"
    help: str = "Apply a model."
    load: str = ""
    expand: str = ""
    together: str = ""
    picture: str = ""
    default: str | None = None
    sources: str = "slides"
    about_sources: str = "One slide, or several."
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Retraining:
    """How a model becomes the reader's own: what is annotated on slides, and what is learnt from it.

    Attributes
    ----------
    suffix
        Of the annotations' file, behind the slide's name.
    classes
        Name -> colour, in the order of their keys.
    read, write
        ``(slide)`` -> outlines and notes of what is kept with it; ``(slide, outlines)`` -> path.
        ``read`` also takes another file.
    count
        ``(slide, outlines, classes)`` -> how many of what there are to learn from, and notes.
    learn
        ``(slides, base, run, *, device, name, data, classes, mpp)`` -> events, ``slides`` being paths. The last
        is Finished with a report of before and after.
    deep, deep_recipes
        The same for all layers of a model's network, in epochs, with a ``config`` and a run that was started and can
        be resumed; the recipes by name, of which the first is taken. Empty where the head alone is refitted, or
        ``learn`` is that already.
    review
        ``(slides, base, *, device, classes, mpp)`` -> events; the last is Finished with an
        :class:`~napari_pathogan.annotations.review.AnnotationReview` by slide. Empty where there is none.
    images, open
        What is annotated, in the plural; ``(path, *, mpp)`` -> context manager with one.
    by_patient
        Whether images lie in folders of their patients: then annotations in folders below the one
        that is given count too, and ``learn`` is given folders as they are.
    base
        The model that is begun with unless another is named; the task's own if empty.
    kinds
        ``(text)`` -> what classes count as; a ValueError says what is wrong. Empty where classes are
        nobody's choice.
    counted
        What is counted of each class; empty where ``count`` says it itself.
    """

    suffix: str
    classes: Mapping[str, str]
    read: str
    write: str
    count: str
    learn: str
    images: str = "slides"
    open: str = "napari_pathogan.slides.slide:Slide.open"
    by_patient: bool = False
    base: str = ""
    review: str = ""
    deep: str = ""
    deep_recipes: str = ""
    kinds: str = ""
    counted: str = ""


@dataclass(frozen=True)
class Task:
    """What there is to know of a task.

    Attributes
    ----------
    name
        As models' cards have it.
    package
        The task's package, ``__name__``.
    words
        Before the verb on the command line: ``"nuclei classes"``.
    model_word
        What its models are called there.
    verb_prefix
        Before ``train`` and ``evaluate``, where two tasks have the same words.
    help
        One line of what it does.
    title
        What a list of models calls it; as of ``help`` if left out.
    model
        The class of its models, lazily: ``load(name, device, **options)``.
    default
        The model that is used unless another is named.
    training, evaluation, prediction, retraining
        None where there is none.
    gains
        Figures of before and after: name in the report -> what a reader calls it. By the first, of what was held
        back, the new model is chosen or not (:data:`.before_after.RULE`).
    generator
        ``(model, n, label, seed)`` -> uint8 (n, H, W, 3), lazily: images that its models draw, of
        one of the card's classes or, with None, of all. Empty where they draw none. One that also takes
        ``of``, uint8 (n, H, W, 3), paints over images.
    graph
        ``(model)`` -> :class:`~napari_pathogan.engine.onnx.Graph`, lazily: what of it other programs run.
        Empty where there is nothing to export.
    """

    name: str
    package: str
    words: str
    help: str
    model: str
    title: str = ""
    default: str = ""
    model_word: str = "model"
    verb_prefix: str = ""
    training: Training | None = None
    evaluation: Evaluation | None = None
    prediction: Prediction | None = None
    retraining: Retraining | None = None
    gains: Mapping[str, str] = field(default_factory=dict)
    generator: str = ""
    graph: str = ""

    @property
    def predicts_with(self) -> str:
        """The model of a prediction unless another is named; empty where something else may be."""
        own = self.prediction.default if self.prediction is not None else None
        return self.default if own is None else own

    def get(self, where: str) -> Any:  # noqa: ANN401 - whatever it is
        """Import what is named as ``"module:attribute"``."""
        module, _, attribute = where.partition(":")
        found: Any = import_module(module, self.package)
        for name in attribute.split("."):
            found = getattr(found, name)
        return found

    def load(self, model: str | Path = "", device: str = "auto", **options: Any) -> Any:  # noqa: ANN401 - of the task's class
        """Load a model by its name, or by its folder or its run's.

        Raises
        ------
        ModelNotFoundError, ModelError
            If there is none, or its files don't fit together or are for another task.
        """
        load = self.get(self.model).load
        return load(model or self.default, device, **chosen(load, options))


def called(export: Export) -> str:
    """What an export is asked for by: its name, or what its files end in."""
    return export.suffix.removeprefix(".") if export.name == "output" else export.name


def chosen(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some options that a function takes."""
    from inspect import signature  # noqa: PLC0415

    takes = signature(function).parameters
    return {name: value for name, value in options.items() if name in takes}
