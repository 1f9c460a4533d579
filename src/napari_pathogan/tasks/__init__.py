"""The tasks, and the registry in which everybody else looks them up."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_pathogan.errors import ModelNotFoundError

if TYPE_CHECKING:
    from napari_pathogan.engine.task import Task

PACKAGES = [  # each holds TASKS
    "napari_pathogan.tasks.idc",
    "napari_pathogan.tasks.masses",
    "napari_pathogan.tasks.blending",
    "napari_pathogan.tasks.nuclei",
    "napari_pathogan.tasks.nuclei_classes",
    "napari_pathogan.tasks.stain",
    "napari_pathogan.tasks.virtual_stain",
    "napari_pathogan.tasks.virtual_stain.g2c",
]


def registered() -> dict[str, Task]:
    """Name -> every task."""
    return {task.name: task for package in PACKAGES for task in import_module(package).TASKS}


def task_of(name: str) -> Task:
    """The task of a name, such as a model's card has.

    Raises
    ------
    ModelNotFoundError
        If there is none; the message lists those there are.
    """
    known = registered()
    if name not in known:
        msg = f"no task {name!r}; choose one of {', '.join(known)}"
        raise ModelNotFoundError(msg)
    return known[name]
