"""What programs import, and that the documentation's lines run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import napari_pathogan
from napari_pathogan.errors import PathoganError

BLOCKS = re.findall(
    r"```python\n(.*?)```",
    (Path(__file__).parent.parent / "docs" / "api.md").read_text(),
    re.DOTALL,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What the documentation's lines open."""
    monkeypatch.chdir(tmp_path)
    samples = resources.files("napari_pathogan") / "plugin" / "sample_data"
    for name in ("he_phantom.ome.tif", "he_phantom_40x.ome.tif"):
        shutil.copy(str(samples / name), tmp_path / name)
    rng = np.random.default_rng(0)
    for patient in "abc":
        for label in (0, 1):
            place = tmp_path / "patches" / patient / str(label)
            place.mkdir(parents=True)
            for x in range(0, 300, 50):
                pixels = rng.integers(
                    90 + 60 * label, 190 + 60 * label, (50, 50, 3), dtype=np.uint8
                )
                name = f"{patient}_idx5_x{x + 1}_y{300 * label + 1}_class{label}.png"
                Image.fromarray(pixels).save(place / name)
    return tmp_path


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_documentations_lines_run(folder, capsys, number):
    code = BLOCKS[number].replace("epochs=1", 'epochs=1, settings=["width=0.1"]')
    exec(compile(code, "api.md", "exec"), {"pathogan": napari_pathogan})
    said = capsys.readouterr().out
    if number == 0:
        assert "mm²" in said.splitlines()[0]
        assert (folder / "heat.ome.zarr").is_dir()
        assert "FeatureCollection" in (folder / "heat.geojson").read_text()
        assert "idc-cgan idc" in said
    else:
        assert "Finished" in said


def test_every_public_name_is_there_and_documented():
    page = (Path(__file__).parent.parent / "docs" / "api.md").read_text()
    for name in napari_pathogan.__all__:
        assert getattr(napari_pathogan, name) is not None
        assert name == "__version__" or f"`{name}`" in page, name
    assert set(napari_pathogan.__all__) <= set(dir(napari_pathogan))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = napari_pathogan.nonsense


def test_names_don_t_hide_one_another():
    code = "import napari_pathogan as p; [getattr(p, n) for n in p.__all__]; print(all(callable(getattr(p, n)) for n in p.__all__ if n != '__version__'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize(
    ("words", "save", "wrong"),
    [
        ({"model": "nowhere"}, (), "no model 'nowhere'"),
        ({"model": "idc-cgan"}, ("heat.doc",), "no suffix"),
        ({"model": "idc-cgan", "nonsense": 1}, (), "nonsense"),
        ({"model": "masses-blending"}, (), "predicts nothing"),
        ({"model": "idc-cgan"}, ("a.csv", "b.csv"), "same export"),
    ],
)
def test_bad_input_is_one_sentence(folder, words, save, wrong):
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(PathoganError, match=wrong) as caught:
        napari_pathogan.predict("he_phantom.ome.tif", save=save, **words)
    assert "\n" not in str(caught.value)
    assert {path.name for path in folder.iterdir()} == before
