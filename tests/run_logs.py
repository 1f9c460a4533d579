"""What a training has logged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_pathogan.engine.runs import RunFolder


def logged(run: RunFolder) -> list[dict[str, float]]:
    """The metrics of a run, a dict a step (with ``step``)."""
    lines = map(json.loads, run.metrics.read_text().splitlines())
    return [{"step": line["step"], **line["values"]} for line in lines]
