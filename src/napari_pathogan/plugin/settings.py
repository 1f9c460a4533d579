"""The user's choices from napari's preferences (Preferences > PathoGAN)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import platformdirs

PLUGIN = "napari-pathogan"


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
        return self.models_folders[-1] if self.models_folders else data_folder() / "models"


def data_folder() -> Path:
    """The user's data folder."""
    return Path(platformdirs.user_data_dir(PLUGIN, appauthor=False))


def kept_elsewhere(image: Path) -> Path:
    """Where corrections of an image are kept whose own folder can't be written."""
    digest = hashlib.sha256(str(image.resolve()).encode()).hexdigest()[:16]
    return data_folder() / "corrections" / digest


def settings() -> Settings:
    """Read the plugin's configuration."""
    from napari.settings import get_plugin_settings  # noqa: PLC0415  (slow to import)

    chosen = get_plugin_settings(PLUGIN)
    folder = chosen.storage.models_folder.strip()
    own = data_folder() / "models"
    folders = ([own] if own.is_dir() else []) + ([Path(folder).expanduser()] if folder else [])
    return Settings(
        device=chosen.compute.device,
        precision=chosen.compute.precision,
        models_folders=tuple(folders),
        cache_mb=chosen.storage.cache_mb,
    )
