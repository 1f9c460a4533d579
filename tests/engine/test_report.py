"""A report says the same as JSON and as a table."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from napari_pathogan.engine.report import Report, Value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(0.8812, 0.8421, 0.9134), "0.881 (0.842 to 0.913)"),
        (Value(0.5), "0.500"),
        (Value(None), "not defined"),
        (Value(0.0, 0.0, 0.0), "0.000 (0.000 to 0.000)"),
    ],
)
def test_values_in_words(value, text):
    assert str(value) == text


REPORT = Report(
    "idc-cgan on 10 patients",
    {"auc": Value(0.9, 0.85, 0.94), "f1": Value(None)},
    {"n_patients": 10},
    ("one class only in two patients",),
)


def test_json_is_one_object_in_the_projects_form():
    assert json.loads(REPORT.to_json()) == {
        "auc": {"value": 0.9, "low": 0.85, "high": 0.94},
        "f1": {"value": None, "low": None, "high": None},
        "n_patients": 10,
        "notes": ["one class only in two patients"],
    }


def test_table_shows_everything():
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(REPORT.table())
    text = console.export_text()
    for part in ("idc-cgan on 10", "0.900 (0.850 to 0.940)", "not defined", "n_patients", "two"):
        assert part in text
