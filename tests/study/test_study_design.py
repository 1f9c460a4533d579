"""Making a study: what is drawn, that nothing tells real from generated, and every bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from study_makers import made, noise_images

from napari_pathogan.engine.events import Finished, Progress, Warn
from napari_pathogan.errors import OutputError, StudyError
from napari_pathogan.study.config import EXAMPLE, make_config, read_config
from napari_pathogan.study.design import new_study
from napari_pathogan.study.layout import key_path, read_key
from napari_pathogan.study.pictures import (
    Album,
    Fingerprint,
    control_image,
    read_image,
    uniform,
)
from napari_pathogan.study.record import Study

ROOT = Path(__file__).parents[2]


def events(settings: dict, folder, draw=None) -> list:
    return list(new_study(make_config(settings), folder, draw))


def warnings(settings: dict, folder, draw=None) -> list[str]:
    return [x.message for x in events(settings, folder, draw) if isinstance(x, Warn)]


def small(sources: dict, **changed) -> dict:
    return {**sources, "n_real": 8, "n_generated": 8, **changed}


def refused(settings: dict, folder, said: str, draw=None) -> None:
    with pytest.raises(StudyError, match=said):
        events(settings, folder, draw)
    assert not folder.exists()
    assert not key_path(folder).exists()


# --- what comes out


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


# --- bad input


def test_fewer_images_than_asked_for(sources, tmp_path):
    few = noise_images(tmp_path / "few", 10, 5)
    settings = {**sources, "generated": [{"folder": few}]}
    refused(settings, tmp_path / "study", "few: 53 images are needed, 10 are there; give more")


def test_unreadable_images_are_left_out_and_named(sources, tmp_path):
    folder = noise_images(tmp_path / "some", 20, 5)
    (folder / "broken.png").write_bytes((folder / "000.png").read_bytes()[:100])
    (folder / "text.png").write_text("no image")
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(folder / "deep.png")
    settings = small(sources, generated=[{"folder": folder}])
    (said,) = warnings(settings, tmp_path / "study")
    assert "3 left out as unreadable" in said
    assert "the first:" in said
    settings["n_generated"] = 30
    refused(settings, tmp_path / "other", "some: 33 images are needed, 20 are there: 3 left out")


def test_duplicates_are_left_out_by_content_not_by_name(sources, tmp_path):
    folder = noise_images(tmp_path / "some", 11, 5)
    for number in range(5):
        with Image.open(folder / f"{number:03}.png") as image:
            image.save(folder / f"copy {number}.bmp")
    settings = small(sources, generated=[{"folder": folder}])
    assert Study.open(made(settings, tmp_path / "study").folder)
    settings["n_generated"] = 12
    refused(settings, tmp_path / "other", "15 images are needed, 11 are there: 5 left out as dupl")


def test_a_real_image_among_the_generated_is_refused(sources, tmp_path):
    folder = noise_images(tmp_path / "some", 40, 5)
    with Image.open(sources["real"][0]["folder"] / "059.png") as image:
        image.save(folder / "innocent.tiff")
    settings = small(sources, generated=[{"folder": folder}])
    refused(
        settings,
        tmp_path / "study",
        r"innocent\.tiff among the generated .* is the real image .*059",
    )


def test_near_copies_of_real_images_are_left_out(tmp_path):
    from napari_pathogan.study.example import draw

    real, fake = tmp_path / "real", tmp_path / "fake"
    for folder, seed in ((real, 0), (fake, 1)):
        folder.mkdir()
        for number, image in enumerate(draw(14, 2.0, seed)):
            Image.fromarray(image).save(folder / f"{number:03}.png")
    noise = np.random.default_rng(0)
    for number in range(3):  # copied, flipped or turned, brightened, with noise
        image = read_image(real / f"{number:03}.png").astype(float)
        image = (
            [image, image[:, ::-1], np.rot90(image)][number] + 9 + noise.normal(0, 4, image.shape)
        )
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(fake / f"near {number}.png")
    settings = {"name": "x", "real": [{"folder": real}], "generated": [{"folder": fake}]}
    settings |= {"n_real": 11, "n_generated": 11}
    made(settings, tmp_path / "study")
    key = read_key(tmp_path / "study", None, Study.open(tmp_path / "study").manifest)
    assert not [x.origin for x in key.truth.values() if "near " in x.origin]
    settings["n_generated"] = 12
    refused(
        settings, tmp_path / "more", "15 images are needed, 14 are there: 3 left out as generated"
    )


def test_perceptual_hashes_tell_strangers_apart():
    from napari_pathogan.study.example import draw

    marks = [Fingerprint.of(image) for image in draw(40, 2.0, 3)]
    for i, one in enumerate(marks):
        apart = [np.bitwise_count(one.hashes[0] ^ x.hashes).min() for x in marks[:i]]
        assert min(apart, default=63) > 8


@pytest.mark.parametrize(("folder", "n"), [("idc/patches", 600), ("glomeruli_pas", 72)])
def test_strangers_are_no_copies(data, folder, n):
    files = sorted(x for x in (data / folder).rglob("*") if x.suffix in (".png", ".jpg"))
    album = Album()
    for index in np.random.default_rng(0).permutation(len(files))[:n]:
        mark = Fingerprint.of(read_image(files[index]))
        assert album.same(mark) is None
        assert album.near(mark) is None
        album.add(files[index].name, mark)


def test_folders_that_hold_nothing(sources, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(
        small(sources, real=[{"folder": tmp_path / "empty"}]), tmp_path / "s", "holds no images"
    )
    refused(small(sources, real=[{"folder": tmp_path / "no"}]), tmp_path / "s", "is not a folder")
    refused(
        small(sources, real=[{"slides": tmp_path / "no"}], images={"mpp": 1, "size_px": 16}),
        tmp_path / "s",
        "does not exist",
    )


def test_a_generator_without_generators(sources, tmp_path):
    settings = small(sources, generated=[{"generator": "g"}])
    refused(settings, tmp_path / "study", "no generators are at hand")

    def wrong(name, n, *, label, seed):
        return np.zeros((n, 16, 16), np.float32)

    refused(settings, tmp_path / "study", "not 8-bit RGB", wrong)

    def same(name, n, *, label, seed):
        return np.full((n, 16, 16, 3), 7, np.uint8)

    refused(
        settings, tmp_path / "study", "11 images are needed, 1 are there: 14 left out as dup", same
    )


def test_a_place_that_is_taken(sources, tmp_path):
    made(small(sources), tmp_path / "study")
    with pytest.raises(OutputError, match="is there already"):
        events(small(sources), tmp_path / "study")
    shutil.rmtree(tmp_path / "study")
    with pytest.raises(OutputError, match=r"study\.key\.json is there already"):
        events(small(sources), tmp_path / "study")


# --- settings


def test_the_example_is_valid_and_says_the_defaults(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(EXAMPLE, "utf-8")
    config = read_config(path)
    plain = make_config(
        {"name": config.name, "real": [{"folder": "x"}], "generated": [{"folder": "y"}]}
    )
    assert (config.session, config.analysis, config.images) == (
        plain.session,
        plain.analysis,
        plain.images,
    )
    assert (config.n_real, config.mode, config.seed) == (plain.n_real, plain.mode, plain.seed)
    assert config.real[0].folder == tmp_path / "real" / "IDC"  # from where the file lies
    assert config.generated[0].generator == "idc-generator"


def test_json_will_do(sources, tmp_path):
    path = tmp_path / "study.json"
    path.write_text(json.dumps(sources, default=str), "utf-8")
    assert read_config(path) == make_config(sources)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"n_reals": 5}, "n_reals: Extra inputs"),
        ({"n_real": 0}, "n_real: Input should be greater"),
        ({"name": ""}, "name: "),
        ({"real": []}, "real: "),
        ({"real": [{"generator": "x"}]}, "real images can't come from a generator"),
        ({"real": [{}]}, "real.0: give exactly one of folder, slides and generator"),
        ({"real": [{"slides": "x"}]}, "patches from slides need images.mpp and images.size_px"),
        ({"mode": "pairs", "n_real": 5}, "pairs need as many real as generated"),
        ({"mode": "triplets"}, "mode: "),
        ({"session": {"repeats": 0.9}}, "session.repeats: "),
        ({"analysis": {"margin": 0.5}}, "analysis.margin: "),
    ],
)
def test_wrong_settings_are_named(sources, changed, said):
    with pytest.raises(StudyError) as error:
        make_config({**sources, **changed})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"), [("name = ", "not valid TOML"), ("", "name: Field required")]
)
def test_a_broken_file_is_said(tmp_path, text, said):
    path = tmp_path / "study.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(StudyError, match=said):
        read_config(path)
    with pytest.raises(StudyError, match="can't be read"):
        read_config(tmp_path / "none.toml")
