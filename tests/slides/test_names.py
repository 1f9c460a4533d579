"""Names of slides, and of what is made of them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathogan.slides import names
from napari_pathogan.slides.computed import ComputedLevel, computed_slide
from napari_pathogan.slides.slide import Slide

VIEW = "idcslide.png in the colours of 06_1.png (Reinhard) [synthetic]"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("case-17.svs", "case-17"),
        ("a.b.svs", "a.b"),
        ("a.b.ome.tif", "a.b"),
        ("S12-345.1.2", "S12-345.1.2"),
        ("case [2].SVS", "case [2]"),
        ("a: b.tiff", "a: b"),
        (".svs", ".svs"),
        ("06_1.png, Reinhard: x", "06_1.png, Reinhard: x"),
    ],
)
def test_only_a_files_suffix_is_taken_off(name, kept):
    assert names.short(name) == kept
    assert names.of_image("IDC outline", name) == f"IDC outline ({kept})"


def test_results_of_what_was_computed_are_called_by_their_slide_and_say_so():
    assert names.of_image("Nuclei", VIEW) == (
        "Nuclei (idcslide.png in the colours of 06_1.png (Reinhard)) [synthetic]"
    )
    assert names.of_image("Nuclei", "field.png [synthetic]") == "Nuclei (field) [synthetic]"


@pytest.mark.parametrize("name", [VIEW, "a: b [2].svs", "a/b.c.svs"])
def test_a_results_file_may_lie_on_any_disk(name):
    made = names.file_name(name, "idc")
    assert made.endswith("-idc")
    assert not set(made) & set('[]:/\\*?"<>|')
    assert made.startswith(names.short(name).split()[0].replace(":", "-").replace("/", "-"))
    assert ("synthetic" in made) == ("synthetic" in name)


def test_a_computed_slide_says_what_it_is_made_of():
    slide = Slide.from_arrays([np.full((40, 60, 3), 9, np.uint8)], name="idcslide.png", mpp=0.5)
    assert slide.synthetic == ""
    made = computed_slide(slide, [ComputedLevel(slide, (1.0, 1.0), (40, 60))], VIEW)
    made.metadata |= {
        "synthetic": True,
        "stain_slide": "idcslide.png",
        "stain_colours_of": "06_1.png",
        "stain_method": "reinhard",
    }
    assert "idcslide.png in the colours of 06_1.png (Reinhard)" in made.synthetic
    old = {"virtual_stain": "pas", "virtual_stain_slide": "case.svs"}  # of an earlier version
    assert names.made(old, "v.ome.zarr") == "case.svs as virtual pas"
