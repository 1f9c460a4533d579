"""Networks as ONNX, for programs without torch; what is written gives what the network gives.

The graph is run by ONNX Runtime on images of several sizes and compared with the network before the file
is put in its place. What surrounds the network (tiles, colours of a slide, thresholds) stays with
napari-pathogan; the file's metadata hold the model's card, which names them.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_pathogan.errors import EnvironmentMismatchError, ModelError
from napari_pathogan.files import written
from napari_pathogan.kinds import MARK, FileKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn

    from napari_pathogan.engine.models import ModelCard

TOLERANCE = 1e-3
"""How far an output may be off at most: of probabilities and logits."""

_KIND = "model, ONNX"
_TAIL = 1 << 20  # metadata stand at the end


def _ours(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL))
        return MARK.encode() in stream.read()


ONNX = FileKind(_KIND, ".onnx", _ours)


@dataclass(frozen=True, eq=False)
class Graph:
    """What is exported of a model.

    Attributes
    ----------
    network
        Takes an image, float32 (N, 3, H, W) in [-1, 1], and gives one tensor.
    gives
        What that is, with its shape; stands in the file.
    size
        H and W; any multiple of ``multiple`` if there is one, else just these.
    """

    network: nn.Module
    gives: str
    size: tuple[int, int]
    multiple: int = 0


def export(graph: Graph, card: ModelCard, path: Path) -> float:
    """Write a network as ONNX.

    Returns
    -------
    How far its outputs were off at most.

    Raises
    ------
    EnvironmentMismatchError
        If ONNX or ONNX Runtime is not installed.
    ModelError
        If the network can't be exported, or the graph gives something else than it.
    OutputError
        If it can't be written.
    """
    try:
        import onnx  # noqa: F401, PLC0415
        import onnxruntime  # noqa: F401, PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        msg = f"to export models {error.name} is needed: pip install 'napari-pathogan[onnx]'"
        raise EnvironmentMismatchError(msg) from error
    network = graph.network.eval()
    images = _images(graph)
    dynamic = {0: torch.export.Dim.DYNAMIC}
    if graph.multiple:
        dynamic |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with written(path, ONNX) as beside:
        try:
            with _quietly(), torch.no_grad():
                program = torch.onnx.export(
                    network,
                    (images[0],),
                    dynamo=True,
                    verbose=False,
                    input_names=["image"],
                    output_names=["output"],
                    dynamic_shapes=(dynamic,),
                )
        except Exception as error:
            why = str(error).strip().split("\n", 1)[0] or type(error).__name__
            msg = f"{card.name} can't be exported to ONNX by this torch: {why}"
            raise ModelError(msg) from error
        assert program is not None
        program.model.metadata_props.update(
            {
                MARK: _KIND,
                "card": card.model_dump_json(),
                "input": "image: float32 (N, 3, H, W), RGB in [-1, 1]",
                "output": graph.gives,
            }
        )
        program.save(str(beside))
        off = _off(beside, network, images)
        if not off <= TOLERANCE:
            msg = f"{card.name} as ONNX gives something else than the network ({off:.2g} off); it was not written"
            raise ModelError(msg)
    return off


def _images(graph: Graph) -> list[torch.Tensor]:
    """What the graph is traced and tried with: sizes and numbers that differ."""
    height, width = graph.size
    more = graph.multiple
    drawn = torch.Generator().manual_seed(0)
    shapes = [(2, height, width), (1, height + more, width), (3, height, width + 2 * more)]
    return [torch.rand((n, 3, h, w), generator=drawn) * 2 - 1 for n, h, w in shapes]


def _off(path: Path, network: nn.Module, images: list[torch.Tensor]) -> float:
    """How far ONNX Runtime is off the network at most; infinite where shapes differ."""
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    off = 0.0
    for image in images:
        with torch.no_grad():
            expected = network(image).numpy()
        (found,) = session.run(None, {"image": image.numpy()})
        if found.shape != expected.shape:
            return float("inf")
        off = max(off, float(abs(found - expected).max()))
    return off


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what torch says of its own insides."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
