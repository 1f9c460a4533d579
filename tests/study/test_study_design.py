"""Making a study: what is drawn, and that nothing tells real from generated."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from study_makers import events, made, noise_images, refused, small, warnings

from napari_pathogan.engine.events import Finished, Progress
from napari_pathogan.study.config import make_config
from napari_pathogan.study.design import new_study
from napari_pathogan.study.layout import key_path, read_key
from napari_pathogan.study.pictures import (
    control_image,
    uniform,
)
from napari_pathogan.study.record import Study

ROOT = Path(__file__).parents[2]


def test_fifty_and_fifty_by_default(sources, tmp_path):
    seen = events(sources, tmp_path / "study")
    assert isinstance(seen[-1], Finished)
    assert any(isinstance(x, Progress) for x in seen)
    study = seen[-1].result
    key = read_key(study.folder, None, study.manifest)
    kinds = Counter((x.kind, key.truth[x.images[0]].real) for x in study.manifest.items)
    assert kinds == {
        ("study", True): 50,
        ("study", False): 50,
        ("practice", True): 3,
        ("practice", False): 3,
        ("control", True): 1,
        ("control", False): 1,
    }
    assert sum(x.repeated for x in study.manifest.items) == 10
    assert {x.block for x in study.manifest.items} == {-1, 0, 1, 2, 3, 4}
    origins = [x.origin for x in key.truth.values() if x.source != "control"]
    assert len(set(origins)) == 106
    assert all(x.label == "IDC" for x in key.truth.values() if x.source != "control")


def test_nothing_but_the_picture_tells_real_from_generated(sources, tmp_path):
    real = shutil.copytree(sources["real"][0]["folder"], tmp_path / "real")
    for path in real.iterdir():  # metadata, another size and another date
        with Image.open(path) as image:
            about = PngImagePlugin.PngInfo()
            about.add_text("made by", "a scanner")
            image.resize((20, 24)).save(path, pnginfo=about)
        os.utime(path, (1, 1))
    study = made(small(sources, real=[{"folder": real}]), tmp_path / "study")
    files = list((study.folder / "images").iterdir())
    assert len({path.stat().st_size for path in files}) == 1
    assert len({path.stat().st_mtime for path in files}) == 1
    for path in files:
        with Image.open(path) as image:
            assert (image.size, image.mode, image.info) == ((16, 16), "RGB", {})
    assert list(study.manifest.images) == sorted(study.manifest.images)
    assert [x.id for x in study.manifest.items] == sorted(x.id for x in study.manifest.items)
    shipped = (study.folder / "study.json").read_text("utf-8")
    assert str(tmp_path) not in shipped
    assert "fake" not in shipped


def test_the_seed_fixes_the_images_but_not_their_names(sources, tmp_path):
    drawn, names = [], []
    for number, seed in enumerate((0, 0, 1)):
        study = made(small(sources, seed=seed), tmp_path / str(number))
        key = read_key(study.folder, None, study.manifest)
        drawn.append({x.origin for x in key.truth.values()})
        names.append(set(key.truth))
    assert drawn[0] == drawn[1] != drawn[2]
    assert not names[0] & names[1]


def test_the_key_lies_beside_and_is_salted(sources, tmp_path):
    study = made(small(sources), tmp_path / "study")
    assert key_path(study.folder) == tmp_path / "study.key.json"
    assert not [x for x in study.folder.rglob("*") if "key" in x.name]
    key = read_key(study.folder, None, study.manifest)
    assert len(key.salt) == 64
    assert key.config["n_real"] == 8


def test_sources_share_evenly_and_over_all_blocks(sources, tmp_path):
    other = noise_images(tmp_path / "other", 20, 9)
    generated = [*sources["generated"], {"folder": other}]
    session = {"block": 4, "practice": 4}
    study = made(small(sources, generated=generated, session=session), tmp_path / "study")
    key = read_key(study.folder, None, study.manifest)
    fakes = [
        (x.block, key.truth[x.images[0]].source)
        for x in study.manifest.items
        if x.kind == "study" and not key.truth[x.images[0]].real
    ]
    assert Counter(fakes) == {(b, s): 1 for b in range(4) for s in ("fake, IDC", "other")}


def test_pairs_hold_a_real_and_a_generated_image_of_one_label(sources, tmp_path):
    two = {
        kind: [
            {"folder": noise_images(tmp_path / kind / label, 12, seed + i), "label": label}
            for i, label in enumerate(("IDC", "healthy"))
        ]
        for kind, seed in (("real", 20), ("generated", 30))
    }
    study = made(small({**sources, **two}, mode="pairs"), tmp_path / "study")
    key = read_key(study.folder, None, study.manifest)
    trials = [x for x in study.manifest.items if x.kind == "study"]
    assert len(trials) == 8
    for item in trials:
        left, right = (key.truth[name] for name in item.images)
        assert {left.real, right.real} == {True, False}
        assert left.label == right.label
    assert sum(key.truth[x.images[0]].real for x in trials) == 4
    assert study.choices == ("left", "right")


def test_generators_are_drawn_from_by_name_label_and_seed(sources, tmp_path):
    calls = []

    def draw(name, n, *, label, seed):
        calls.append((name, n, label, seed))
        return np.random.default_rng(seed).integers(0, 256, (n, 24, 24, 3), np.uint8)

    generated = [{"generator": "idc-generator", "label": "IDC"}]
    said = warnings(small(sources, generated=generated), tmp_path / "study", draw)
    assert {call[0] for call in calls} == {"idc-generator"}
    assert {call[2] for call in calls} == {"IDC"}
    assert len({call[3] for call in calls}) == len(calls)
    assert any("real images have 16 px, generated ones 24 px" in line for line in said)
    key = read_key(tmp_path / "study", None, Study.open(tmp_path / "study").manifest)
    sources_named = {x.source for x in key.truth.values()}
    assert sources_named == {"real, IDC", "idc-generator, IDC", "control"}


def test_patches_from_slides_lie_on_tissue_at_the_scale_asked_for(sources, tmp_path):
    slide = ROOT / "src/napari_pathogan/plugin/sample_data/he_phantom.ome.tif"
    settings = small(sources, real=[{"slides": slide}], images={"mpp": 4.0, "size_px": 16})
    study = made(settings, tmp_path / "study")
    key = read_key(study.folder, None, study.manifest)
    patches = [name for name, x in key.truth.items() if x.real and x.source != "control"]
    assert len(patches) == 11
    assert len({key.truth[name].origin for name in patches}) == 11
    for name in patches:
        assert study.image(name).mean() < 235  # glass is 243


def test_slides_that_dont_say_their_scale(sources, tmp_path):
    slide = np.full((200, 300, 3), 243, np.uint8)
    slide[20:180, 20:280] = (215, 140, 185)
    slide = slide - np.random.default_rng(0).integers(0, 40, slide.shape).astype(np.uint8)
    Image.fromarray(slide).save(tmp_path / "slide.png")
    real = {"slides": tmp_path / "slide.png"}
    settings = small(sources, images={"mpp": 4.0, "size_px": 16})
    refused(
        {**settings, "real": [real]}, tmp_path / "study", "does not say how large its pixels are"
    )
    real["slide_mpp"] = 2.0
    study = made({**settings, "real": [real]}, tmp_path / "study")
    key = read_key(study.folder, None, study.manifest)
    origins = [x.origin for x in key.truth.values() if x.source == "slide.png"]
    assert len(origins) == 11
    corners = {tuple(map(int, re.findall(r"[xy] (\d+)", x))) for x in origins}
    assert all(x % 32 == y % 32 == 0 for x, y in corners)  # 16 px of 4 um are 32 px of 2 um


def test_images_are_levelled_alike():
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 256, (64, 80, 3), np.uint8)
    out = uniform(fine, 32, 64, None)
    assert out.shape == (64, 64, 3)
    # none is sharper than the least sharp: half of 64 px is lost
    spectrum = np.abs(np.fft.fft2(out[..., 0] - out[..., 0].mean()))
    assert spectrum[20:44, 20:44].mean() < 0.1 * spectrum.mean()
    assert np.array_equal(uniform(fine[:, 8:72], 64, 64, None), fine[:, 8:72])
    assert not np.array_equal(uniform(fine, 64, 64, 50), fine[:, 8:72])


@pytest.mark.parametrize("size", [16, 50, 256])
def test_control_images_hold_their_text(size):
    image = control_image("answer\ngenerated", size)
    assert image.shape == (size, size, 3)
    ink = (image > 150).any(-1)
    assert ink.sum() > size
    if size >= 50:
        assert not ink[0].any()
        assert not ink[:, 0].any()
        assert not ink[:, -1].any()


def test_what_was_there_stays_when_it_is_cancelled(sources, tmp_path):
    making = new_study(make_config(small(sources)), tmp_path / "study")
    for event in making:
        if isinstance(event, Progress) and event.what == "saving images" and event.done == 5:
            making.close()
            break
    assert list(tmp_path.iterdir()) == []
