"""Events travel as JSON lines and come back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_pathogan.engine.events import (
    Checkpoint,
    Event,
    Finished,
    Metrics,
    Preview,
    Progress,
    Tile,
    Warn,
    from_json,
    to_json,
)

PLAIN = [
    Progress(3, 10, "scoring", 1.5),
    Progress(0, 0),
    Metrics(2, {"loss": 0.25, "auc": 0.9}),
    Checkpoint(4, Path("run") / "checkpoint.safetensors"),
    Warn("a tile can't be read"),
]


@pytest.mark.parametrize("event", PLAIN, ids=lambda event: type(event).__name__)
def test_plain_events_come_back_the_same(event: Event):
    line = to_json(event)
    assert "\n" not in line
    assert from_json(line) == event


def test_numpy_numbers_travel():
    assert from_json(to_json(Metrics(1, {"loss": np.float32(0.5)}))) == Metrics(1, {"loss": 0.5})


def test_arrays_stay_behind():
    preview = from_json(to_json(Preview("samples", np.zeros((4, 4, 3), np.uint8), Path("a.png"))))
    assert (preview.name, preview.image, preview.path) == ("samples", None, Path("a.png"))
    tile = from_json(to_json(Tile("probability", 3, 4, np.ones((2, 5), np.float32))))
    assert (tile.layer, tile.row, tile.col, tile.data.shape) == ("probability", 3, 4, (2, 5))
    assert np.isnan(tile.data).all()


def test_a_result_leaves_its_summary():
    done = from_json(to_json(Finished(result=object(), summary={"idc_mm2": 1.5})))
    assert (done.result, done.summary) == (None, {"idc_mm2": 1.5})


@pytest.mark.parametrize("line", ["", "hello", "[1]", '{"event": "party"}', '{"done": 3}'])
def test_other_lines_are_no_events(line):
    with pytest.raises(ValueError):
        from_json(line)


def test_what_is_not_plain_is_refused():
    with pytest.raises(TypeError, match="object does not travel"):
        to_json(Metrics(1, {"loss": object()}))


def test_lines_name_their_event():
    assert json.loads(to_json(Warn("x"))) == {"event": "warn", "message": "x"}
