"""Making a study in the background: finding generators, drawing from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_pathogan.engine.events import Event, Finished, Progress
from napari_pathogan.plugin.viewer.beside_opengl import ready_for_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_pathogan.plugin.shell.settings import Settings
    from napari_pathogan.study.sources import Draw
    from napari_pathogan.synthetic import GeneratorInfo


@dataclass(frozen=True, slots=True, eq=False)
class Generators(Event):
    """The generators there are, by name."""

    known: Mapping[str, GeneratorInfo]


def find_generators(folders: tuple[Path, ...]) -> Iterator[Event]:
    """Look for generators in the zoo and the user's models folders."""
    yield Progress(0, 0, "looking for generators")
    ready_for_torch()
    from napari_pathogan.synthetic import generators  # noqa: PLC0415  (imports torch)

    yield Generators(generators(*folders))
    yield Finished()


def make_study(
    settings: dict[str, Any], folder: Path, key: Path | None, chosen: Settings
) -> Iterator[Event]:
    """Check the settings and make the study; finishes with it.

    Parameters
    ----------
    settings
        As :func:`~napari_pathogan.study.design.make_config` takes them.
    key
        File of the answer key; None puts it beside the folder.
    chosen
        Device and models folders for generators.
    """
    from napari_pathogan.study.design import make_config, new_study  # noqa: PLC0415  (as slow)

    config = make_config(settings)
    yield Progress(0, 0, "starting")
    asked = any(source.generator for source in config.generated)
    yield from new_study(config, folder, _draw(chosen) if asked else None, key=key)


def power_text(n: int, margin: float) -> str:
    """What ``n`` images could show, in words: for one reader and for three."""
    from napari_pathogan.study.plan import plan  # noqa: PLC0415  (scipy is slow to import)

    one, three = (plan(n * readers, 0.5, margin) for readers in (1, 3))
    return (
        f"If readers can only guess, this can be shown (accuracy within 50 % ± {100 * margin:.0f} "
        f"points) with a chance of {one.equivalent:.0%} by one reader, {three.equivalent:.0%} by three."
    )


def _draw(chosen: Settings) -> Draw:
    ready_for_torch()
    from napari_pathogan.synthetic import generate  # noqa: PLC0415  (imports torch)

    return partial(generate, device=chosen.device, folders=chosen.models_folders)
