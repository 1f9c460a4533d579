"""What the task's contract names: virtual stains as images that a reader study asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from napari_pathogan.tasks.virtual_stain.model import VirtualStainModel


def drawn(
    model: VirtualStainModel,
    n: int,  # noqa: ARG001
    label: str | None,
    seed: int,  # noqa: ARG001
    of: np.ndarray,
) -> np.ndarray:
    """Paint images, uint8 (N, H, W, 3): over those ``of`` the other stain, of the stain ``label``."""
    return model.paint(of, model.target_of(label or model.target_stain))
