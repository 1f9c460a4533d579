"""The manifest is valid, all it names is there, and nothing heavy loads before its time."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources

import npe2
import pytest

from napari_pathogan.engine.places import models_folders
from napari_pathogan.plugin.shell.settings import PLUGIN, settings
from napari_pathogan.plugin.viewer.reader import SUFFIXES
from patience import PATIENCE_S

LIMIT_S = 0.3


@pytest.fixture
def manifest():
    path = resources.files("napari_pathogan") / "napari.yaml"
    return npe2.PluginManifest.from_file(str(path))


def test_all_that_is_named_can_be_imported(manifest):
    manifest.validate_imports()


def test_contributions(manifest):
    offered = manifest.contributions
    assert {"napari/layers/classify", "napari/layers/annotate", "napari/file/new_layer"} <= set(
        offered.menus
    )
    assert {sample.key for sample in offered.sample_data} == {
        "he_phantom",
        "he_phantom_40x",
        "ihc",
        "mammogram_phantom",
    }
    patterns = {p for reader in offered.readers for p in reader.filename_patterns}
    assert {"*.svs", "*.ndpi", "*.scn", "*.mrxs", "*.tif", "*.zarr"} <= patterns
    assert {f"*{suffix}" for suffix in SUFFIXES} <= patterns, "what we can open is offered"


def test_import_is_light():
    code = (
        "import time; start = time.process_time(); import napari_pathogan.plugin, sys; "
        "print(time.process_time() - start); "
        "print([m for m in ('torch', 'napari', 'zarr', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    seconds, heavy = done.stdout.splitlines()
    assert float(seconds) < LIMIT_S
    assert heavy == "[]"


def test_configurations_are_read(manifest, tmp_path):
    from napari.settings import get_plugin_settings

    npe2.PluginManager.instance().discover()
    assert settings().device == "auto"
    assert settings().models_folders == ()
    chosen = get_plugin_settings(PLUGIN)
    before = chosen.compute.device, chosen.storage.models_folder, chosen.storage.cache_mb
    try:
        chosen.compute.device = "cpu"
        chosen.storage.models_folder = str(tmp_path)
        chosen.storage.cache_mb = 100
        assert settings().device == "cpu"
        assert settings().models_folders == (tmp_path,)
        assert models_folders() == (tmp_path,)  # for the command line
        assert settings().cache_mb == 100
        with pytest.raises(ValueError, match="abacus"):
            chosen.compute.device = "abacus"
    finally:
        chosen.compute.device, chosen.storage.models_folder, chosen.storage.cache_mb = before
