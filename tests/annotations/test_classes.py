"""What classes count as: by the table, never by a part of a name."""

from __future__ import annotations

import pytest

from napari_pathogan.annotations.classes import IGNORED, UNKNOWN, ClassTable, changes, class_notes
from napari_pathogan.tasks.idc.annotated import CLASS_KINDS

TABLE = ClassTable(CLASS_KINDS)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("IDC", ["IDC", "Tumor", "tumour", "Invasive carcinoma", "invasive_ductal-carcinoma"]),
        ("IDC", ["Tumor: Positive", "Tumor: Invasive", "TUMOR: 2+", "Invasive carcinoma: Grade 3"]),
        ("healthy", ["Non-tumor", "non\u2013IDC", "Nontumor", "Not tumor", "Tumor-free", "Normal"]),
        ("healthy", ["Carcinoma in situ", "DCIS", "ductal carcinoma in-situ", "Non-invasive"]),
        ("healthy", ["Stroma", "Stroma: Negative"]),
        (IGNORED, ["Ignore*", "Artefact*", "Tumor*"]),
        (UNKNOWN, ["", "Krebs", "Tumor?", "IDC-", "peritumoral", "Other", "Necrosis", "Positive"]),
        (UNKNOWN, ["Tumor: In situ", "Tumor: Krebs", "Tumor: Non-tumor", "Krebs: Tumor"]),
        (UNKNOWN, ["Pseudotumor", "anti-tumor", "Tumor bed", "Invasive lobular carcinoma"]),
    ],
)
def test_a_class_counts_as_what_the_table_says(kind, names):
    assert {name: TABLE(name) for name in names} == dict.fromkeys(names, kind)


def test_the_user_says_what_else_counts():
    own = changes(
        'Krebs=idc, "Fat, yellow"=healthy, tumor=ignored, unclassified=healthy', ("IDC", "healthy")
    )
    table = ClassTable(CLASS_KINDS, own)
    assert [table(name) for name in ("krebs", "Fat, Yellow", "Tumor", "", "Krebs: 1+")] == [
        "IDC", "healthy", IGNORED, "healthy", "IDC",
    ]  # fmt: skip
    for text in ("Krebs", "Krebs=cancer", "=IDC"):
        with pytest.raises(ValueError, match="IDC, healthy, ignored"):
            changes(text, ("IDC", "healthy"))


def test_all_classes_are_named():
    counted = {name: TABLE(name) for name in ("Tumor", "DCIS", "", "Ignore*", "Krebs")}
    assert class_notes(counted, ("healthy", "IDC")) == [
        "classes counted as healthy: DCIS",
        "classes counted as IDC: Tumor",
        "classes not used: Ignore*",
        "classes unknown and left out (--classes 'NAME=KIND' says more): Krebs, unclassified",
    ]
