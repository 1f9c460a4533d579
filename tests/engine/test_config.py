"""Configurations of all trainings: changed by name, and refused where they are impossible."""

from __future__ import annotations

import shlex
from dataclasses import fields, is_dataclass
from importlib import import_module

import pytest

from napari_pathogan.engine.config import SettingError

TASKS = ("idc", "nuclei", "nuclei_classes", "masses", "blending", "stain")


@pytest.fixture(params=TASKS)
def config(request):
    """The paper's configuration of a task."""
    return import_module(f"napari_pathogan.tasks.{request.param}.config").TrainConfig()


def refused(config, *settings, **flags):
    with pytest.raises(SettingError) as caught:
        config.adjusted(settings, **flags)
    return str(caught.value)


def test_values_are_those_of_before_as_json(config):
    said = config.to_json()
    assert said["seed"] == 0
    assert type(config)(**said) == config


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("epochs=2.9", "valid integer"),
        ("epochs=-5", "greater than or equal to"),
        ("epochs=many", "valid integer"),
        ("ema=1", "less than 1"),
        ("ema=nan", "finite number"),
        ("seed=", "valid integer"),
    ],
)
def test_impossible_values_are_refused(config, setting, problem):
    said = refused(config, setting)
    assert said.startswith(f"{setting!r} is not possible: ")
    assert problem in said
    assert "\n" not in said


@pytest.mark.parametrize("setting", ["speed=3", "epochs", "epochs.x=1", "augment=1", "x.y=1"])
def test_unknown_names_are_refused_with_those_there_are(config, setting):
    said = refused(config, setting)
    assert f"{setting!r} is not a setting" in said
    assert all(f.name in said for f in fields(config) if not is_dataclass(getattr(config, f.name)))


def test_choices_are_refused_with_what_is_possible():
    for task in ("idc", "nuclei", "masses"):
        paper = import_module(f"napari_pathogan.tasks.{task}.config").TrainConfig()
        assert "'one-cycle'" in refused(paper, "schedule=onecycle")
    idc = import_module("napari_pathogan.tasks.idc.config").TrainConfig()
    assert "'cgan', 'cnn' or 'frozen'" in refused(idc, "method=xyz")
    assert "valid boolean" in refused(idc, "batch_norm=0.5")
    assert "augment.mix" in refused(idc, "augment.mixed=1")
    assert "less than or equal to 1" in refused(idc, "augment.mix=2")


def test_a_flag_goes_before_a_setting_and_that_before_the_recipe(config):
    assert config.adjusted().epochs == config.epochs
    assert config.adjusted(["epochs=7"], epochs=None).epochs == 7
    assert config.adjusted(["epochs=7"], epochs=8).epochs == 8
    assert "greater than or equal to" in refused(config, epochs=-1)


@pytest.mark.parametrize("task", TASKS)
def test_a_configuration_is_typed_so_that_it_comes_back(task):
    module = import_module(f"napari_pathogan.tasks.{task}.config")
    recipes = getattr(module, "RECIPES", None) or {"only": module.TrainConfig()}
    for name, recipe in recipes.items():
        assert recipe.typed({name: recipe}) == f"--recipe {name}"
        config = recipe.adjusted(["epochs=7", "ema=0.25"], seed=3)
        _, closest, *changes = shlex.split(config.typed(recipes))
        assert recipes[closest].adjusted(x for x in changes if x != "--set") == config


@pytest.mark.parametrize("task", TASKS)
def test_no_flag_of_a_command_has_a_value_that_would_hide_a_setting(task):
    """A default of a flag that is also a setting would win over ``--set``."""
    import typer

    from napari_pathogan.cli.app import app

    words = {
        "nuclei_classes": ["nuclei", "classes", "train"],
        "blending": ["masses", "blend-train"],
    }
    command = typer.main.get_command(app)
    for word in words.get(task, [task, "train"]):
        command = command.commands[word]
    names = {
        f.name for f in fields(import_module(f"napari_pathogan.tasks.{task}.config").TrainConfig)
    }
    flags = {one.name: one.default for one in command.params if one.name in names}
    assert {"epochs", "seed"} <= set(flags)
    assert {name: value for name, value in flags.items() if value not in (None, "")} == {}
