"""What a file says of its channels, and whether they are red, green and blue or fluorescence.

Nobody but the file can say: H&E and three dyes both come as three planes. Its words go first, for
any number of channels; only three channels without a word are looked at, since light that went
through a slide is bright where there is no tissue, and a dye shines on black.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pathogan.errors import FluorescenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_pathogan.slides.colours import Colours
    from napari_pathogan.slides.plane import Plane

_PRIMARIES = ("FF0000", "00FF00", "0000FF")
_WHITE = "FFFFFF"
_SAYS_NOTHING = re.compile(
    r"((channel|chan|ch|c|image|plane|sample|band)?[\W_]*\d*([\W_]+\d+)*|c:\d+/\d+.*"
    r"|(tl|bf|rgb|bright[\W_]*field|h\s*&?\s*e|transmitted)([\W_]+(r|g|b|red|green|blue|\d+))?)",
    re.IGNORECASE,
)
_DYE = re.compile(
    r"(?<![a-z])(dapi|hoechst|fitc|tritc|cy[\W_]*[2357]([.\W_]*5)?|e?[gyrcb]fp|mcherry|tdtomato|texas[\W_]*red"
    r"|alexa|af[\W_]*\d{3}|rhodamine|opal[\W_]*\d{3}|atto[\W_]*\d{3}|bodipy|sytox|draq[\W_]*5|propidium"
    r"|q?dot[\W_]*\d{3}|\w*fluor(escein|escence|escent)?)(?![a-z])",
    re.IGNORECASE,
)
_RGB_NAMES = (("r", "g", "b"), ("red", "green", "blue"))
_ALPHA_NAMES = ("a", "alpha", "opacity")
_LIT_SHARE = 1 / 3  # of the brightest: what most pixels have where light goes through
_LIT_WHITE = 0.3  # of a bright pixel's brightest channel: what its darkest has
_LIT_LEAST = {1: 100, 2: 512}  # bytes a sample -> the brightest of a picture that was exposed
_LOOKED_AT = 1_000_000  # pixels that stand for all
_NAMED = 6  # channels that a message names


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """What a file says of one channel.

    Attributes
    ----------
    name
        Of the dye or the colour; empty where it says nothing.
    colour
        RRGGBB in which it is shown; empty where it says nothing.
    fluoresces
        Whether wavelengths, a dye or the way of lighting say so.
    """

    name: str = ""
    colour: str = ""
    fluoresces: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One channel of a fluorescence image, as a source of grey tiles.

    Attributes
    ----------
    said
        Its name and colour.
    planes
        Finest first, of one sample a pixel.
    colours
        The rule for it.
    """

    said: ChannelInfo
    planes: tuple[Plane, ...]
    colours: Colours


def names_dye(name: str) -> bool:
    """Whether a channel is called after a dye that shines: for pictures in colour of one."""
    return _DYE.search(name) is not None


def refuse(name: str, channels: Sequence[Channel]) -> None:
    """Raise FluorescenceError if a file has channels, which are then not red, green and blue."""
    if not channels:
        return
    said = [channel.said for channel in channels]
    names = [word for one in said if (word := one.name or one.colour.replace(_WHITE, ""))]
    more = ", ..." if len(names) > _NAMED else ""
    listed = f" ({', '.join(names[:_NAMED])}{more})" if names else ""
    raise FluorescenceError(
        f"{name} has {len(said)} channels{listed}, so it is fluorescence or the like, not a stained "
        "slide in colour; the viewer shows its channels. For an analysis, save an RGB rendering as "
        "its own file"
    )


def are_colour(
    said: Sequence[ChannelInfo], count: int, tiles: Callable[[], list[np.ndarray]]
) -> bool:
    """Whether separate channels are red, green and blue (and alpha, where the fourth says so).

    Parameters
    ----------
    said
        What the file says of each; it says nothing where there are not ``count`` of them.
    tiles
        Gives some of a coarse level, (Y, X, count) each; asked for if words do not decide.
    """
    known = by_words(said, count)
    return look_lit(tiles()) if known is None else known


def by_words(said: Sequence[ChannelInfo], count: int) -> bool | None:
    """The same by words alone; None where only the picture can tell."""
    if len(said) != count:
        return None if count == 3 else False
    names = tuple(one.name.strip().lower() for one in said)
    if count not in (3, 4) or (count == 4 and names[3] not in _ALPHA_NAMES):
        return False
    shown = tuple(one.colour.upper() for one in said[:3])
    neutral = names[:3] in _RGB_NAMES or all(_SAYS_NOTHING.fullmatch(name) for name in names[:3])
    usual = shown == _PRIMARIES or set(shown) <= {"", _WHITE}
    if not (neutral and usual) or any(one.fluoresces for one in said):
        return False
    return True if names[:3] in _RGB_NAMES else None


def look_lit(tiles: Sequence[np.ndarray]) -> bool:
    """Whether three channels are a picture of light that went through a slide.

    Most pixels are then not much darker than the brightest, which are about white. Black around a
    scan does not count.

    Parameters
    ----------
    tiles
        (Y, X, 3 or 4) each.
    """
    if not tiles:
        return False
    step = math.ceil(math.sqrt(sum(tile.shape[0] * tile.shape[1] for tile in tiles) / _LOOKED_AT))
    pixels = np.concatenate([tile[::step, ::step, :3].reshape(-1, 3) for tile in tiles])
    depth = pixels.dtype.itemsize if pixels.dtype.kind == "u" else 0
    pixels = np.nan_to_num(pixels.astype(np.float32), posinf=0, neginf=0)
    pixels -= min(0, pixels.min(initial=0))
    for some in (pixels, pixels[pixels.any(-1)]):
        if not len(some):
            return False
        light = some.mean(-1)
        bright, top = np.percentile(light, (99.5, 99.99))
        exposed = bright > _LIT_LEAST.get(depth, 0) and bright >= _LIT_SHARE * top
        exposed &= np.median(light) >= _LIT_SHARE * bright
        white = some[light >= np.percentile(light, 95)]
        if exposed and np.median(white.min(-1) / white.max(-1)) >= _LIT_WHITE:
            return True
    return False
