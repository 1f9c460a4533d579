"""Every task keeps the contract; and a task is one folder and one line in the registry."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

import napari_pathogan
from napari_pathogan import errors, tasks
from napari_pathogan.cli.app import build
from napari_pathogan.engine import verbs
from napari_pathogan.engine.config import SettingError, TrainConfig
from napari_pathogan.engine.events import Checkpoint, Warn
from napari_pathogan.engine.models import find_models, read_card
from napari_pathogan.engine.runs import load_state
from napari_pathogan.engine.task import chosen
from napari_pathogan.kinds import Kind
from napari_pathogan.slides import imprint
from napari_pathogan.synthetic import generate, generators
from napari_pathogan.tasks import PACKAGES, registered
from tiny_data import TINY

TASKS = {task.name: task for task in registered().values()}


@pytest.fixture(params=TASKS)
def task(request):
    return TASKS[request.param]


def commands(task):
    """The verbs of a task as typed, with what the help says of them."""
    words = task.words.split()
    for verb, part in (
        (f"{task.verb_prefix}train", task.training),
        (f"{task.verb_prefix}evaluate", task.evaluation),
        (task.prediction.verb if task.prediction else "", task.prediction),
    ):
        if part is not None:
            yield [*words, verb], part


def functions(task, part):
    """The functions that a part of the contract names."""
    if part is not task.training:
        yield task.get(task.model).load
    for field in fields(part):
        where = getattr(part, field.name)
        if field.name in {"read", "learn", "check", "begin", "run", "open", "load"} and where:
            yield task.get(where)
    for export in getattr(part, "exports", ()):
        yield task.get(export.write)


def test_what_a_contract_names_is_there(task):
    assert callable(task.get(task.model).load)
    if task.training is not None:
        assert {task.training.recipe, task.training.small} <= set(task.get(task.training.recipes))
    for _, part in commands(task):
        assert all(map(callable, functions(task, part)))
    outputs = [*getattr(task.prediction, "exports", ()), *getattr(task.evaluation, "outputs", ())]
    for output in outputs:
        assert isinstance(task.get(output.kind), Kind)


def test_every_option_is_taken_by_a_function_and_said_by_the_help(task):
    for words, part in commands(task):
        takes = {
            name for one in functions(task, part) for name in inspect.signature(one).parameters
        }
        assert {option.name for option in part.options} <= takes
        said = CliRunner().invoke(build(), [*words, "--help"], env={"COLUMNS": "200"})
        assert said.exit_code == 0
        for option in part.options:
            assert f"--{option.name.replace('_', '-')}" in said.output


def test_recipes_are_checked_and_flags_are_theirs(task):
    if task.training is None:
        pytest.skip("nothing is trained")
    recipes = task.get(task.training.recipes)
    assert tuple(recipes) == task.training.recipe_names
    assert task.training.recipe in recipes
    for recipe in recipes.values():
        assert isinstance(recipe, TrainConfig)
        with pytest.raises(SettingError, match="epochs"):
            recipe.adjusted(epochs=-1)
        assert {one.name for one in task.training.settings} <= {one.name for one in fields(recipe)}


def test_suffixes_tell_exports_apart(task):
    suffixes = [one.suffix for one in getattr(task.prediction, "exports", ())]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix.startswith(".") for suffix in suffixes)


def test_the_default_model_is_embedded_and_loads(task):
    model = task.load(device="cpu")
    assert model.card.task == task.name
    assert task.default in find_models(task.name)
    assert task.default in napari_pathogan.models()


def test_a_model_of_another_task_is_refused(task):
    other = next(one for one in TASKS.values() if one.name != task.name)
    folder = find_models(other.name)[other.default]
    with pytest.raises(errors.ModelError, match=r"choose another model"):
        task.load(folder, device="cpu")


def test_an_empty_folder_is_one_sentence_and_no_run(task, tmp_path):
    if task.training is None:
        pytest.skip("nothing is trained")
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.PathoganError, match="empty"):
        napari_pathogan.train(task.name, tmp_path / "empty", tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_an_unknown_option_is_refused(task, tmp_path):
    if task.training is None:
        pytest.skip("nothing is trained")
    with pytest.raises(SettingError, match="nonsense"):
        napari_pathogan.train(task.name, tmp_path, tmp_path / "run", nonsense=1)


@pytest.mark.parametrize("side", [1024, 3000])  # a field cut out of tissue, and more than one
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_a_grey_slide_is_refused_in_a_sentence(task, dtype, side, tmp_path):
    if task.prediction is None or task.name == "masses" or not task.default:
        pytest.skip("it looks at no slide, or no model of it is embedded")
    path, pixels = tmp_path / "a.tif", np.random.default_rng(0).integers(40, 200, (side, side))
    tifffile.imwrite(
        path, pixels.astype(dtype), photometric="minisblack", tile=(256, 256),
        resolution=(40_000, 40_000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    with pytest.raises(errors.SlideFormatError, match=r"a\.tif is grey"):
        napari_pathogan.predict(path, task.default, device="cpu")


# trainings, on the smallest data


def learnt_tensors(run):
    """All weights of a run's model, by file and name."""
    return {
        (path.name, name): value
        for path in sorted((run / "model").rglob("*.safetensors"))
        for name, value in load_file(path).items()
    }


@pytest.mark.parametrize("name", [one.name for one in TASKS.values() if one.training])
def test_it_learns_is_stopped_goes_on_bit_for_bit_and_its_model_works(name, tmp_path, monkeypatch):
    monkeypatch.setattr(imprint, "_TELLING", 1)  # such small images are all alike
    task, tiny = TASKS[name], TINY[name]
    data, whole, stopped = (tmp_path / one for one in ("data", "whole", "stopped"))
    tiny.make(data)
    options = {**tiny.options, "epochs": 2, "device": "cpu", "name": f"{name}-own"}
    folders = tiny.folders(data)
    options |= dict(zip(tiny.beside, folders[1:], strict=True))
    napari_pathogan.train(name, data, whole, **options)
    learning = verbs.train(task, data, stopped, **options)
    next(event for event in learning if isinstance(event, Checkpoint))
    learning.close()
    assert not (stopped / "model").exists()
    napari_pathogan.train(name, data, stopped, resume=True, **options)
    one, other = learnt_tensors(whole), learnt_tensors(stopped)
    assert one.keys() == other.keys()
    assert one
    for key, value in one.items():
        assert torch.equal(value, other[key]), key

    card = read_card(whole / "model")
    assert (card.name, card.task) == (f"{name}-own", name)
    assert f"{name}-own" in find_models(name, tmp_path)
    if task.evaluation:
        asked = (folders * len(task.evaluation.folders))[: len(task.evaluation.folders)]
        report = napari_pathogan.evaluate(whole, *asked, device="cpu")
        assert report.metrics
    if task.prediction:
        saved = tmp_path / f"saved{tiny.export}"
        image = data / tiny.image
        model = verbs.load(task, whole, "cpu", **tiny.asked)
        said = list(verbs.predict(task, image, model, {}, **tiny.asked))
        assert any("has learnt from" in one.message for one in said if isinstance(one, Warn))
        result = napari_pathogan.predict(image, whole, save=[saved], device="cpu", **tiny.asked)
        assert result is not None
        assert saved.exists()
        if task.prediction.picture:
            opens = task.get(task.prediction.open)
            with opens(image, **chosen(opens, tiny.asked)) as source:
                picture = task.get(task.prediction.picture)(source, result, 40)
            assert (picture.dtype, picture.ndim, picture.shape[2]) == (np.uint8, 3, 3)
            assert 1 <= max(picture.shape) <= 40


# a task of one folder


@pytest.fixture
def toy(monkeypatch):
    """The toy task, registered as any other: by one line."""
    monkeypatch.setattr(tasks, "PACKAGES", [*PACKAGES, "toy_task"])
    return registered()["toy"]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        level = 40 if number % 2 else 200
        pixels = rng.integers(level, level + 30, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{'dark' if number % 2 else 'light'}_{number}.png")
    return folder


def run(*words):
    """What the command line says, as it is with the tasks that are registered."""
    done = CliRunner().invoke(build(), [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("toy")
def test_a_task_of_one_folder_gets_all_that_a_task_has(pictures, tmp_path, monkeypatch):
    whole, half = tmp_path / "runs" / "toy-own", tmp_path / "half"
    run("toy", "train", pictures, "-o", whole, "--epochs", 4, "--skip", 1, "--device", "cpu")
    killed(monkeypatch, pictures, half)
    run(
        "toy",
        "train",
        pictures,
        "-o",
        half,
        "--epochs",
        4,
        "--skip",
        1,
        "--resume",
        "--device",
        "cpu",
    )
    for one, other in zip(
        *(tensors(x / "checkpoint.safetensors") for x in (whole, half)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    card = read_card(whole / "model")
    assert (card.name, card.training_data[0].name) == ("toy-own", "pictures")
    assert "toy-own" in find_models("toy", tmp_path / "runs")
    said = json.loads(run("toy", "evaluate", pictures, "--model", whole, "--json"))
    assert said["accuracy"]["value"] == 1.0
    out = tmp_path / "out"
    images = [pictures / "dark_1.png", pictures / "light_2.png"]
    said = run("toy", "predict", *images, "--model", whole, "-o", out, "--json").splitlines()
    assert [json.loads(line)["dark"] for line in said] == [True, False]
    assert (out / "dark_1.toy.txt").read_text().startswith("toy dark_1.png 0.")
    assert set(generators(tmp_path / "runs")) - set(generators()) == {"toy-own"}
    drawn = generate("toy-own", 2, label="dark", folders=(tmp_path / "runs",))
    assert drawn.shape == (2, 8, 8, 3)
    dark = napari_pathogan.predict(images[0], whole, save=[tmp_path / "a.toy.txt"], device="cpu")
    assert dark > 0.5
    assert (tmp_path / "a.toy.txt").exists()


def killed(monkeypatch, pictures, output):
    """A training of two epochs out of four."""
    work = verbs.train(registered()["toy"], pictures, output, epochs=4, skip=1, device="cpu")
    for event in work:
        if getattr(event, "step", 0) == 2 and hasattr(event, "path"):
            break
    work.close()


def tensors(checkpoint):
    state = load_state(checkpoint)
    return [value.numpy() for value in state["networks"]["network"].values()]


def test_a_wish_for_an_export_that_is_not_asked_for_is_refused(task, tmp_path):
    if task.prediction is None:
        pytest.skip("it predicts nothing")
    exports = {one.name: inspect.signature(task.get(one.write)).parameters
               for one in task.prediction.exports}  # fmt: skip
    for option in task.prediction.options:
        takers = [name for name, takes in exports.items() if option.name in takes]
        others = {name: tmp_path / name for name in exports if name not in takers}
        if takers and option.kind is bool:
            with pytest.raises(SettingError, match=f"{option.name} would count for nothing"):
                list(verbs.predict(task, tmp_path / "a.png", None, others, **{option.name: True}))
