"""The user's choices from napari's preferences (Preferences > PathoGAN)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from napari_pathogan.engine.places import note_models_folder, own_models
from napari_pathogan.errors import ModelError
from napari_pathogan.plugin.viewer.keys import PLUGIN

_NAPARI = "napari"
_PICTURES = (".png", ".jpg", ".jpeg")
_SLIDES = (".svs", ".ndpi", ".scn", ".bif", ".dcm", ".dicom")
_EITHER = (".tif", ".tiff", ".btf", ".tf8", ".pgm", ".csv", ".zarr/", "/")  # "/": a folder
_USUAL_READERS = {
    f"*{suffix}": reader
    for reader, kinds in ((_NAPARI, _PICTURES), (PLUGIN, _SLIDES), (PLUGIN, _EITHER))
    for plain in kinds
    for suffix in (plain, plain.upper())
}
"""Who opens what napari lists as well, unless the user has chosen.

PathoGAN hands on to napari what of either is napari's: stacks, grey pictures, other Zarr, folders of
pictures, tables of layers.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the manifest's ``configurations`` hold at this moment."""

    device: str
    precision: str
    models_folders: tuple[Path, ...]
    cache_mb: int

    @property
    def own_models(self) -> Path:
        """Where models that the user makes are kept: the models folder, else the data folder."""
        return self.models_folders[-1] if self.models_folders else own_models()

    def own_model(self, name: str, *, new: bool = False) -> Path:
        """The folder of a model that the user makes.

        Raises
        ------
        ModelError
            If no model can have this name, or, with ``new``, one has it already.
        """
        from napari_pathogan.engine.models import check_name  # noqa: PLC0415  (torch is slow)

        folder = self.own_models / check_name(name)
        if new and folder.exists():
            msg = f"there is a model called {name} already: choose another name"
            raise ModelError(msg)
        return folder


def choose_usual_readers(_context: object) -> None:
    """Leave plain pictures to napari's own reader, and open slides; called when PathoGAN is found, and first used.

    Where two readers fit, napari asks at each opening unless Preferences > Plugins names one. So
    that registering PNG and JPEG (for File > Open with Plugin) brings no question that was not
    there before, napari's reader is named there; and PathoGAN for slides, DICOM, TIFF, PGM, Zarr, CSV and folders,
    which napari's lists and can't show as they are, or which PathoGAN hands on where it can. Not if the user has named one, nor if a third plugin
    reads such files.
    """
    import npe2  # noqa: PLC0415
    from napari.settings import get_settings  # noqa: PLC0415  (slow to import)

    plugins = get_settings().plugins
    chosen = {}
    for pattern, reader in _USUAL_READERS.items():
        name = os.curdir if pattern == "*/" else "file" + pattern.removeprefix("*")
        fitting = npe2.PluginManager.instance().iter_compatible_readers([name])
        named = any(fnmatchcase(name, known) for known in plugins.extension2reader)
        if not named and {one.plugin_name for one in fitting} == {PLUGIN, _NAPARI}:
            chosen[pattern] = reader
    if chosen:
        plugins.extension2reader = {**plugins.extension2reader, **chosen}


def settings() -> Settings:
    """Read the plugin's configuration."""
    from napari.settings import get_plugin_settings  # noqa: PLC0415  (slow to import)

    chosen = get_plugin_settings(PLUGIN)
    folder = chosen.storage.models_folder.strip()
    named = Path(folder).expanduser() if folder else None
    note_models_folder(named)
    own = own_models()
    folders = ([own] if own.is_dir() else []) + ([named] if named else [])
    return Settings(
        device=chosen.compute.device,
        precision=chosen.compute.precision,
        models_folders=tuple(folders),
        cache_mb=chosen.storage.cache_mb,
    )
