"""Making a study of what will not do: too few images, copies, broken files, wrong settings."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from study_makers import events, made, noise_images, refused, small, warnings

from napari_pathogan.errors import OutputError, StudyError
from napari_pathogan.study.config import EXAMPLE, make_config, read_config
from napari_pathogan.study.design import new_study
from napari_pathogan.study.layout import read_key
from napari_pathogan.study.pictures import Album, Fingerprint, read_image
from napari_pathogan.study.record import Study


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


def test_a_key_that_came_meanwhile_is_not_lost(sources, tmp_path):
    key = tmp_path / "study.key.json"
    making = new_study(make_config(small(sources)), tmp_path / "study")
    with pytest.raises(OutputError, match="is there already"):  # noqa: PT012
        for _ in making:
            key.write_text("of another study")
    assert not (tmp_path / "study").exists()
    assert key.read_text() == "of another study"


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
