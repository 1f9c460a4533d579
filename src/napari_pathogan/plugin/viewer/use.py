"""What holds in a viewer from the first use of PathoGAN on, by whichever way: a file, a sample, a command, a dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathogan.plugin.viewer.beside_opengl import let_layers_go
from napari_pathogan.plugin.viewer.keys import bind_keys
from napari_pathogan.plugin.viewer.layers import keep_apart
from napari_pathogan.plugin.viewer.mammogram_layers import mark_what_is_seen
from napari_pathogan.plugin.viewer.unscaled import say_in_words

if TYPE_CHECKING:
    import napari


def begin(viewer: napari.Viewer | None) -> None:
    """Bind the keys, keep pictures apart, say what is seen; does nothing where that was done before.

    Parameters
    ----------
    viewer
        None where a file is read without a window.
    """
    bind_keys()
    say_in_words()
    if viewer is not None:
        let_layers_go(viewer)
        keep_apart(viewer)
        mark_what_is_seen(viewer)
