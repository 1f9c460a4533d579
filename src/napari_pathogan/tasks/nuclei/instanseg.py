"""InstanSeg as another segmenter, from the TorchScript file that it is published as.

InstanSeg (Goldsborough et al. 2024, arXiv:2408.15954) packs network and post-processing into one
TorchScript file, ``instanseg.pt``, so nothing but torch is needed to run it, and nothing is ever
downloaded: the user gives the file, for example that of the model ``brightfield_nuclei`` which
``pip install instanseg-torch`` fetches, or QuPath's InstanSeg extension.

A TorchScript file is a program, not a table of weights: give only one from a place you trust.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_pathogan.engine.devices import Device, choose_device
from napari_pathogan.errors import ModelError, ModelNotFoundError
from napari_pathogan.files import sha256

if TYPE_CHECKING:
    from collections.abc import Callable

_PERCENTILES = (0.1, 99.9)  # become 0 and 1, as InstanSeg was trained
_LEAST_RANGE = 1e-3
_NUCLEI, _BOTH = (1, 0), (1, 1)


@dataclass(frozen=True, eq=False)
class InstanSegSegmenter:
    """InstanSeg behind the door of :class:`.segmenter.Segmenter`.

    Attributes
    ----------
    model
        The TorchScript module: float32 (1, 3, H, W) -> labels (1, n, H, W), nuclei first.
    name, sha256
        Of the file.
    mpp
        um per pixel of the images it was made for; the file says so.
    device
        Where it computes.
    span
        (2, 3): what of red, green and blue becomes 0 and 1; each image's own percentiles while
        None, which makes the result depend on how a slide is tiled.
    margin_px
        As wide as InstanSeg's own tiles overlap.
    """

    model: Any
    name: str
    sha256: str
    mpp: float
    device: Device
    span: np.ndarray | None = None
    margin_px: int = 80

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> InstanSegSegmenter:
        """Load a TorchScript file; it is code and can do what a program can.

        Raises
        ------
        ModelNotFoundError
            If there is no such file.
        ModelError
            If it is not one of InstanSeg's.
        """
        path = Path(path)
        if not path.is_file():
            msg = (
                f"no InstanSeg file {path}; give the path of its TorchScript file instanseg.pt "
                "(it comes with 'pip install instanseg-torch' or QuPath, and is never downloaded)"
            )
            raise ModelNotFoundError(msg)
        chosen = choose_device(device)
        if not _is_torchscript(path):
            msg = f"{path.name} is no TorchScript file; give InstanSeg's instanseg.pt"
            raise ModelError(msg)
        try:
            model = torch.jit.load(str(path), map_location=chosen.torch).eval()
            mpp = float(model.pixel_size)
        except (RuntimeError, AttributeError, TypeError, ValueError) as error:
            msg = (
                f"{path.name} is not InstanSeg's ({str(error).splitlines()[0]}); give instanseg.pt"
            )
            raise ModelError(msg) from error
        if not mpp > 0:
            msg = f"{path.name} does not say for which um per pixel it was made"
            raise ModelError(msg)
        name = path.parent.name if path.stem == "instanseg" else path.stem
        return cls(model, name, sha256(path), mpp, chosen)

    @property
    def line(self) -> str:
        """One line for reports."""
        return (
            f"InstanSeg {self.name}, file {self.sha256[:12]}, given by the user. Research use only."
        )

    def tuned(self, sample: Callable[[], np.ndarray]) -> InstanSegSegmenter:
        """The same with the percentiles of a whole slide's tissue, uint8 (N, P, P, 3)."""
        return replace(self, span=_span(sample()))

    @torch.inference_mode()
    def labels(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) -> int32 (H, W): 0 where there is no nucleus, else its number.

        Raises
        ------
        ModelError
            If the file gives no image of labels.
        """
        low, high = _span(image) if self.span is None else self.span
        scaled = (image - low) / np.maximum(high - low, _LEAST_RANGE)
        x = torch.from_numpy(scaled.astype(np.float32)).permute(2, 0, 1)[None]
        which = _NUCLEI if getattr(self.model, "cells_and_nuclei", False) else _BOTH
        found = self.model(
            x.to(self.device.torch).contiguous(), target_segmentation=torch.tensor(which)
        )
        if found.ndim != 4 or found.shape[2:] != x.shape[2:]:
            msg = f"InstanSeg {self.name} gave {tuple(found.shape)} for an image {tuple(x.shape)}"
            raise ModelError(msg)
        labels: np.ndarray = found[0, 0].cpu().numpy().astype(np.int32)
        return labels


def _span(pixels: np.ndarray) -> np.ndarray:
    """(2, 3): low and high percentile of each colour."""
    span: np.ndarray = np.percentile(pixels.reshape(-1, 3), _PERCENTILES, axis=0)
    return span


def _is_torchscript(path: Path) -> bool:
    """Whether it is an archive with code in it; a plain pickle is never loaded."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())
