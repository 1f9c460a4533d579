"""A training run is a folder: config.json, metrics.jsonl, previews/, checkpoint, model/.

It can be killed at any moment and resumed: checkpoints are written beside and renamed. They are
safetensors with the structure of the state in the header, so that no pickle is ever loaded.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file

from napari_pathogan.engine.events import Metrics, to_json
from napari_pathogan.errors import DataFolderError, OutputError
from napari_pathogan.files import check, locked, output_error, tidy, write_text, written
from napari_pathogan.kinds import NEW, OURS, ROOM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_pathogan.engine.config import TrainConfig

_LOCK = ".training-lock"  # in a run's folder: held by who trains there
_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one training run."""

    path: Path

    @property
    def config(self) -> Path:
        """What was asked for: config.json."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """One JSON line per :class:`Metrics` event."""
        return self.path / "metrics.jsonl"

    @property
    def previews(self) -> Path:
        """Pictures of the training's state."""
        return self.path / "previews"

    @property
    def checkpoint(self) -> Path:
        """The newest resumable state."""
        return self.path / "checkpoint.safetensors"

    @property
    def model(self) -> Path:
        """The finished model's folder."""
        return self.path / "model"

    def start(
        self,
        config: TrainConfig | dict[str, Any],
        asked: Mapping[str, Any] | None = None,
        *,
        before: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        """Make the folder and keep the configuration.

        Parameters
        ----------
        asked
            What else the run was asked for; kept beside the configuration.
        before
            What versions before this one wrote where an option was not given.

        Raises
        ------
        OutputError
            As :meth:`check`.
        DataFolderError
            If a resumed run was started with another configuration; names what differs. A setting
            that its version did not have is as it is by default.
        """
        self.check(resume=resume)
        usual: dict[str, Any] = dict(before or {})
        if not isinstance(config, dict):
            usual |= type(config)().to_json()
            config = config.to_json()
        config = {**config, **(asked or {})}
        if self.config.exists():
            old, new = (_filled(one, usual) for one in (self._asked() or {}, config))
            differing = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
            if differing:
                msg = f"{self.path} was started with other settings: {', '.join(differing)}"
                raise DataFolderError(msg)
        write_text(self.config, json.dumps(config, indent=1), OURS)
        try:
            self.previews.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(self.path, error) from error

    def check(self, *, resume: bool = False) -> None:
        """Make sure that the folder can be this run's alone, before anything is read or made.

        Raises
        ------
        OutputError
            If the folder can't be made, holds another run and ``resume`` is false, or holds
            anything else (a run writes files of many names), or if what says how a resumed run was
            begun is damaged.
        """
        if self.path.is_dir():
            tidy(self.path)
        if self._asked() is not None:
            rooms = self.path.rglob(f"{ROOM}*")
            for folder in {room.parent for room in rooms if room.is_dir()}:
                tidy(folder)
        if self._asked() is not None and not resume:
            msg = f"{self.path} holds a run already; resume it (--resume) or choose another folder"
            raise OutputError(msg)
        if resume and self._asked() is None and self.config.exists():
            msg = (
                f"{self.config} is damaged, or no run's, so nothing says how to go on; copy it again, or "
                "begin anew in another folder"
            )
            raise OutputError(msg)
        if self._asked() is None and (objection := NEW.objection(self.path)):
            raise OutputError(f"{self.path} {objection}")
        check(self.config, OURS)

    def _asked(self) -> dict[str, Any] | None:
        """The configuration of the run that the folder holds; None if there is none."""
        try:
            asked = json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return asked if isinstance(asked, dict) else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in the folder, which must be there.

        Raises
        ------
        OutputError
            If another one is at it.
        """
        busy = f"{self.path} is being trained just now; wait for its end or choose another folder"
        with locked(self.path / _LOCK, busy):
            yield

    def log(self, event: Metrics) -> None:
        """Append one line to metrics.jsonl."""
        try:
            with self.metrics.open("a", encoding="utf-8") as stream:
                stream.write(to_json(event) + "\n")
        except OSError as error:
            raise output_error(self.metrics, error) from error

    def rewind(self, step: int) -> None:
        """Drop logged metrics after ``step``: what a killed run logged beyond its checkpoint."""
        if self.metrics.exists():
            try:
                text = self.metrics.read_text(encoding="utf-8", errors="replace")
            except OSError as error:  # a folder of that name
                raise output_error(self.metrics, error) from error
            lines = [line for line in text.splitlines(keepends=True) if _step(line) <= step]
            write_text(self.metrics, "".join(lines), OURS)


def _filled(config: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as JSON gives it back, with what is usual where it says nothing, at any depth."""
    given = {k: v for k, v in json.loads(json.dumps(config)).items() if v is not None}
    filled = json.loads(json.dumps({**usual, **given}))
    inner = {k: v for k, v in usual.items() if isinstance(v, dict) and isinstance(filled[k], dict)}
    return filled | {k: _filled(filled[k], v) for k, v in inner.items()}


def _step(line: str) -> float:
    """Of a line of metrics; infinity for one that a kill cut short, or that is none."""
    try:
        record = json.loads(line)
        return float(record["step"]) if isinstance(record["values"], dict) else float("inf")
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return float("inf")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Save nested dicts and lists of tensors and plain values, whole or not at all."""
    tensors: dict[str, torch.Tensor] = {}

    def flatten(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, torch.Tensor):
            key = f"t{len(tensors)}"
            tensors[key] = value.detach().cpu().contiguous().clone()
            return {"tensor": key}
        if isinstance(value, dict):
            return {"dict": [[k, flatten(v)] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            return {"list": [flatten(v) for v in value]}
        return {"value": value}

    structure = json.dumps(flatten(state))
    tensors.setdefault("empty", torch.zeros(0))
    with written(path, OURS) as beside:
        save_file(tensors, beside, metadata={"structure": structure})


def load_state(path: Path) -> dict[str, Any]:
    """Load what :func:`save_state` saved (tuples come back as lists).

    Raises
    ------
    DataFolderError
        If the file is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as stream:
            structure = json.loads(stream.metadata()["structure"])

            def restore(node: Any) -> Any:  # noqa: ANN401
                ((kind, value),) = node.items()
                if kind == "tensor":
                    return stream.get_tensor(value)
                if kind == "dict":
                    return {k: restore(v) for k, v in value}
                return [restore(v) for v in value] if kind == "list" else value

            state: dict[str, Any] = restore(structure)
            return state
    except (OSError, SafetensorError, *_DAMAGED) as error:
        raise no_checkpoint(path, error) from error


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays as safetensors, whole or not at all."""
    with written(path, OURS) as beside:
        save_numpy({name: np.ascontiguousarray(array) for name, array in arrays.items()}, beside)


def no_checkpoint(path: Path, error: Exception) -> DataFolderError:
    """Say that a file is no state to go on from."""
    why = " ".join(str(error).split())
    if isinstance(error, RecursionError):
        why = "it is nested too deeply"
    elif isinstance(error, KeyError):
        why = f"{error} is missing"
    elif isinstance(error, TypeError | AttributeError | IndexError):
        why = "it is not built as checkpoints are"
    return DataFolderError(
        f"checkpoint {path} can't be read ({why}); start the run anew in another folder"
    )
