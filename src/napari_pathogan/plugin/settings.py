"""The user's choices from napari's preferences (Preferences > PathoGAN)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PLUGIN = "napari-pathogan"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the manifest's ``configurations`` hold at this moment."""

    device: str
    precision: str
    models_folders: tuple[Path, ...]
    cache_mb: int


def settings() -> Settings:
    """Read the plugin's configuration."""
    from napari.settings import get_plugin_settings  # noqa: PLC0415  (slow to import)

    chosen = get_plugin_settings(PLUGIN)
    folder = chosen.storage.models_folder.strip()
    return Settings(
        device=chosen.compute.device,
        precision=chosen.compute.precision,
        models_folders=(Path(folder).expanduser(),) if folder else (),
        cache_mb=chosen.storage.cache_mb,
    )
