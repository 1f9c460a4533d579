"""Outputs of every command: checked before the work, and nothing of the user's is ever replaced.

The commands and their outputs are read from the app, so that a new one is tested too.
"""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args, get_type_hints

import numpy as np
import pytest
from PIL import Image
from typer.models import ArgumentInfo

from napari_pathogan.annotations import geojson
from napari_pathogan.cli.app import app, main
from napari_pathogan.engine.models import locate, read_card
from napari_pathogan.files import told_apart
from napari_pathogan.plugin.viewer.samples import FOLDER
from napari_pathogan.slides.slide import Slide
from napari_pathogan.tasks.idc import live

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

INPUTS = {
    "--instanseg",
    "--resnet-weights",
    "--on",
    "--reference",
    "--key",
    "--against",
    "--against-key",
    "--from-pool",
    "--others",
    "--slides",
}
NOTE = b"what no computer can write again"


class Output(NamedTuple):
    """An option that says where to write, and what else must be typed."""

    words: tuple[str, ...]
    needed: tuple[str, ...]
    flag: str


def commands(group: typer.Typer, *words: str) -> Iterator[tuple[tuple[str, ...], object]]:
    for inner in group.registered_groups:
        yield from commands(inner.typer_instance, *words, inner.name)
    for one in group.registered_commands:
        yield (*words, one.name or one.callback.__name__.replace("_", "-")), one.callback


def outputs() -> Iterator[Output]:
    """Every option of every command that is a path, but for those that are read."""
    for words, function in commands(app):
        hints = get_type_hints(function, include_extras=True)
        needed, flags = {}, []
        for name, parameter in inspect.signature(function).parameters.items():
            kind, about = get_args(hints[name])
            if isinstance(about, ArgumentInfo):
                needed[name] = ["nothing"]
                continue
            flag = next(
                (x for x in about.param_decls if x.startswith("--")), f"--{name.replace('_', '-')}"
            )
            if parameter.default is inspect.Parameter.empty:
                needed[flag] = [flag, "nothing"]
            read = flag in INPUTS and (*words, flag) != ("study", "new", "--key")
            if Path in {kind, *get_args(kind)} and not read:
                flags.append(flag)
        for flag in flags:
            rest = [word for name, own in needed.items() if name != flag for word in own]
            yield Output(words, tuple(rest), flag)


OUTPUTS = {" ".join((*output.words, output.flag)): output for output in outputs()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_outputs_are_found():
    assert {"idc predict --report", "masses detect --gsps", "study report --html"} < set(OUTPUTS)
    assert len(OUTPUTS) > 25


@pytest.mark.parametrize("case", OUTPUTS)
@pytest.mark.parametrize("what", ["folder", "file", "link", "in a file", "in a zarr"])
def test_every_output_is_checked_first(pathogan, tmp_path, monkeypatch, case, what):
    monkeypatch.chdir(tmp_path)
    output = OUTPUTS[case]
    target = tmp_path / "results"
    (tmp_path / "own").mkdir()
    if what in {"folder", "link"}:
        (tmp_path / "own" / "results").mkdir()
        (tmp_path / "own" / "results" / "slide.svs").write_bytes(NOTE)
        target.symlink_to("own/results") if what == "link" else target.mkdir()
        (target / "slide.svs").write_bytes(NOTE)
    else:
        target.write_bytes(NOTE)
    if what == "in a file":
        target /= "inside"
    elif what == "in a zarr":
        (tmp_path / "own" / "zarr.json").write_text("{}")
        target = tmp_path / "own" / "inside"
    before = contents(tmp_path)
    code, out, err = pathogan(*output.words, *output.needed, output.flag, target)
    assert (code, out) == (2, "")
    assert err.startswith("pathogan: ")
    assert err.count("\n") == 1, err
    assert str(target) in err  # and not what is wrong with the inputs
    assert contents(tmp_path) == before


REAL = {
    "heat map": ["idc", "predict", "slide.png", "--mpp", "4", "-o"],
    "outlines": ["idc", "predict", "slide.png", "--mpp", "4", "--geojson"],
    "cells": ["idc", "predict", "slide.png", "--mpp", "4", "--csv"],
    "page": ["idc", "predict", "slide.png", "--mpp", "4", "--report"],
    "nuclei": ["nuclei", "segment", "slide.png", "--mpp", ".25", "-o"],
    "nucleus outlines": ["nuclei", "segment", "slide.png", "--mpp", ".25", "--geojson"],
    "nucleus table": ["nuclei", "segment", "slide.png", "--mpp", ".25", "--csv"],
    "nucleus Parquet": ["nuclei", "segment", "slide.png", "--mpp", ".25", "--parquet"],
    "colours": [
        "stain",
        "apply",
        "slide.png",
        "--mpp",
        ".5",
        "--style",
        "stain-tnbc",
        "--method",
        "reinhard",
        "-o",
    ],
    "virtual stain": [
        "virtual-stain",
        "apply",
        "slide.png",
        "--mpp",
        ".5",
        "--source-stain",
        "he",
        "-o",
    ],
    "classified": ["g2c", "predict", "slide.png", "--mpp", "4", "-o"],
    "annotated": ["annotations", "export", "slide.png", "-o"],
    "masses": ["masses", "detect", "breast.dcm", "-o"],
    "mass table": ["masses", "detect", "breast.dcm", "--csv"],
    "mass SR": ["masses", "detect", "breast.dcm", "--sr"],
    "mass GSPS": ["masses", "detect", "breast.dcm", "--gsps"],
    "grid": ["nuclei", "classes", "grid", "nuclei-classes-crc", "--rows", "2", "-o"],
    "names": ["nuclei", "classes", "rename", "nuclei-classes-crc", "--name", "0=small", "-o"],
    "patches": ["idc", "generate", "-n", "2", "-o"],
    "study": ["study", "report", "study", "--html"],
}


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """What the commands read, and in ``out/`` what each has written."""
    folder = tmp_path_factory.mktemp("work")
    rng = np.random.default_rng(0)
    pink = np.add((215, 140, 185), rng.integers(-9, 9, (500, 600, 3)))
    Image.fromarray(pink.astype(np.uint8)).save(folder / "slide.png")
    with Slide.open(folder / "slide.png") as slide:
        ring = np.array([[60.0, 60], [60, 260], [260, 260], [260, 60]])
        live.write(slide, [geojson.Annotation(geojson.outline([[ring]]), class_name="IDC")])
    mammogram = min((FOLDER / "mammogram_phantom" / "images").iterdir())
    shutil.copy(mammogram, folder / "breast.dcm")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = [["study", "example", "-o", "study"]]
        made += [[*words, f"out/{case}"] for case, words in REAL.items()]
        for words in made:
            patch.setattr("sys.argv", ["pathogan", *words])
            with pytest.raises(SystemExit) as left:
                main()
            assert not left.value.code, words
    return folder


@pytest.fixture
def room(work, tmp_path, monkeypatch) -> Path:
    """The same, to change, as the working directory."""
    shutil.copytree(work, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", REAL)
def test_a_command_replaces_its_own_output_and_no_other(pathogan, room, case):
    before = contents(room)
    for other in {*REAL} - {case}:
        target = room / "out" / other
        code, _, err = pathogan(*REAL[case], target)
        assert (code, err.count("\n")) == (2, 1), (other, err)
        assert str(target) in err
    assert contents(room) == before
    target = room / "out" / case
    code, _, err = pathogan(*REAL[case], target)
    assert code == 0, err
    after = contents(room)
    assert after.keys() == before.keys()
    if target.is_dir():
        (target / "notes.txt").write_bytes(NOTE)
    else:
        target.write_bytes(NOTE)
    own = contents(room)
    code, _, err = pathogan(*REAL[case], target)
    assert (code, err.count("\n")) == (2, 1), err
    assert contents(room) == own


@pytest.mark.parametrize(
    "case", [case for case, words in REAL.items() if "slide.png" in words or "breast.dcm" in words]
)
def test_what_is_read_is_never_written(pathogan, room, case):
    words = REAL[case]
    slide = next(x for x in words if x in {"slide.png", "breast.dcm"})
    (room / "link").symlink_to(slide)
    before = contents(room)
    for target in (slide, "link", ".", room, room / "out", f"./{slide}", f"{slide}/", f"{slide}/x"):
        code, _, err = pathogan(*words, target)
        assert (code, err.count("\n")) == (2, 1), (target, err)
    assert contents(room) == before


def test_an_output_that_is_read_is_not_replaced(pathogan, room):
    words = ["stain", "apply", "out/colours", *REAL["colours"][3:]]
    before = contents(room)
    code, _, err = pathogan(*words, "out/colours")
    assert (code, "out/colours, which is read, would be lost" in err) == (2, True)
    assert contents(room) == before


@pytest.mark.parametrize(
    ("second", "third"), [("a", "b"), ("A", "b"), ("./a", "b"), ("a/in", "b"), ("b", "link")]
)
def test_two_results_need_two_places(pathogan, room, second, third):
    (room / "link").symlink_to("b")
    code, _, err = pathogan(*REAL["heat map"], "a", "--csv", second, "--geojson", third)
    assert (code, "can't write both" in err) == (2, True)
    assert not {"a", "A", "b"} & {path.name for path in room.iterdir()}


def test_corrections_that_were_kept_are_no_output(pathogan, room):
    kept = room / "slide.png.nuclei.geojson"
    shutil.copy(room / "out" / "nucleus outlines", kept)
    content = json.loads(kept.read_text())
    content["pathogan"]["grid"] = {"origin": [0, 0], "step": [1, 1], "shape": [500, 600]}
    kept.write_text(json.dumps(content))
    before = kept.read_bytes()
    code, _, err = pathogan(*REAL["nucleus outlines"], kept)
    assert (code, "is there already" in err) == (2, True)
    assert kept.read_bytes() == before


def test_a_model_that_was_learned_is_not_replaced_by_new_names_of_another(pathogan, room):
    learned = room / "learned"
    shutil.copytree(locate("nuclei-classes-tnbc", "nuclei-classes"), learned)
    before = contents(learned)
    code, _, err = pathogan(*REAL["names"], learned)
    assert (code, "this very model" in err) == (2, True)
    assert contents(learned) == before
    code, _, err = pathogan("nuclei", "classes", "rename", learned, "--name", "0=s", "-o", learned)
    assert code == 0, err
    assert read_card(learned).classes[0] == "s"
    assert contents(learned)["weights.safetensors"] == before["weights.safetensors"]


def test_several_slides_go_into_a_folder_with_other_files(pathogan, room):
    shutil.copy(room / "slide.png", room / "other.png")
    (room / "results").mkdir()
    (room / "results" / "notes.txt").write_bytes(NOTE)
    words = ["idc", "predict", "slide.png", "other.png", "--mpp", "4", "-o", "results"]
    for _ in range(2):
        code, _, err = pathogan(*words)
        assert code == 0, err
    assert sorted(path.name for path in (room / "results").iterdir()) == [
        *("notes.txt", "other.ome.zarr", "slide.ome.zarr"),
    ]
    (room / "results" / "other.ome.zarr" / "slide.svs").write_bytes(NOTE)
    before = contents(room)
    code, _, err = pathogan(*words)
    assert (code, "slide.svs, which would be lost" in err) == (2, True)
    assert contents(room) == before


@pytest.mark.parametrize(
    ("paths", "names", "shown"),
    [
        (["a.dcm", "b.dcm"], ["a", "b"], ["a.dcm", "b.dcm"]),
        (["s1/1-1.dcm", "s2/1-1.dcm"], ["s1_1-1", "s2_1-1"], ["s1/1-1.dcm", "s2/1-1.dcm"]),
        (["x/s/1.dcm", "y/s/1.dcm"], ["x_s_1", "y_s_1"], ["x/s/1.dcm", "y/s/1.dcm"]),
        (["a.png", "a.tif"], ["a.png", "a.tif"], ["a.png", "a.tif"]),
        (["s1/A.dcm", "s2/a.dcm"], ["s1_A", "s2_a"], ["s1/A.dcm", "s2/a.dcm"]),
    ],
)
def test_results_of_files_of_one_name_are_told_apart(paths, names, shown):
    paths = [Path(path) for path in paths]
    assert list(told_apart(paths).values()) == names
    assert list(told_apart(paths, suffixes=True).values()) == shown
