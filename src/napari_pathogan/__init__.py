"""napari-pathogan: deep learning for pathology and mammography in napari and on the command line.

What programs use is here; docs/api.md shows how.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_pathogan.version import __version__

if TYPE_CHECKING:
    from napari_pathogan.api import (
        evaluate,
        load_model,
        models,
        open_mammogram,
        open_slide,
        predict,
        train,
    )
    from napari_pathogan.engine.config import SettingError, TrainConfig
    from napari_pathogan.engine.events import Event, Finished
    from napari_pathogan.engine.models import ModelCard
    from napari_pathogan.engine.report import Report
    from napari_pathogan.engine.task import Task
    from napari_pathogan.errors import (
        DataFolderError,
        ModelError,
        OutputError,
        PathoganError,
        SlideFormatError,
    )
    from napari_pathogan.mammograms.mammogram import Mammogram
    from napari_pathogan.slides.geometry import Overlay, Region
    from napari_pathogan.slides.slide import Slide
    from napari_pathogan.synthetic import generate, generators

__all__ = [
    "DataFolderError",
    "Event",
    "Finished",
    "Mammogram",
    "ModelCard",
    "ModelError",
    "OutputError",
    "Overlay",
    "PathoganError",
    "Region",
    "Report",
    "SettingError",
    "Slide",
    "SlideFormatError",
    "Task",
    "TrainConfig",
    "__version__",
    "evaluate",
    "generate",
    "generators",
    "load_model",
    "models",
    "open_mammogram",
    "open_slide",
    "predict",
    "train",
]

_FROM = {  # imported when they are used: `import napari_pathogan` takes no torch
    "api": (
        "evaluate",
        "load_model",
        "models",
        "open_mammogram",
        "open_slide",
        "predict",
        "train",
    ),
    "engine.config": ("SettingError", "TrainConfig"),
    "engine.events": ("Event", "Finished"),
    "engine.models": ("ModelCard",),
    "engine.report": ("Report",),
    "engine.task": ("Task",),
    "errors": (
        "DataFolderError",
        "ModelError",
        "OutputError",
        "PathoganError",
        "SlideFormatError",
    ),
    "synthetic": ("generate", "generators"),
    "mammograms.mammogram": ("Mammogram",),
    "slides.geometry": ("Overlay", "Region"),
    "slides.slide": ("Slide",),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    for module, names in _FROM.items():
        if name in names:
            return getattr(import_module(f"napari_pathogan.{module}"), name)
    msg = f"module 'napari_pathogan' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return [*__all__]
