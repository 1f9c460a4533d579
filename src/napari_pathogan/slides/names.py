"""What slides and what is made of them are called: one spelling for layers, results, files and reports.

Names are put together from the slide and what was done to it, and only a suffix that files of
images or results have is ever taken off: names hold dots, brackets and colons of their own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SYNTHETIC = " [synthetic]"  # behind the name of what was computed
METHODS = {
    "cnn": "Network (CNN)",
    "lut": "Network, fast (LUT)",
    "macenko": "Macenko",
    "reinhard": "Reinhard",
    "scanner": "Scanner map",
}
"""How a slide is carried to other colours, as docks, layers and reports call it."""
_SUFFIX = re.compile(
    r"(?<=.)(\.ome)?\.(svs|ndpi|scn|bif|mrxs|vms|vmu|svslide|qptiff|tiff?|btf|tf8|zarr|dcm|dicom|png|jpe?g"
    r"|bmp|gif|pgm|webp|jp2|vsi|czi|isyntax|i2syntax|npy|csv|json|geojson|parquet)\Z",
    re.IGNORECASE,
)
_NO_FILE = str.maketrans(dict.fromkeys('/\\:*?"<>|', "-") | dict.fromkeys("[]"))


def short(name: str) -> str:
    """A slide's name without its file's suffix: ``a.b.ome.tif`` is ``a.b``, and ``v1.2`` is ``v1.2``."""
    return _SUFFIX.sub("", name)


def marked(name: str) -> str:
    """A name that says, once, that what it names is synthetic."""
    return f"{name.removesuffix(SYNTHETIC)}{SYNTHETIC}"


def of_image(what: str, name: str) -> str:
    """What a result of an image is called: ``IDC outline (case)``; of a synthetic one, that it is so."""
    own = name.removesuffix(SYNTHETIC)
    return f"{what} ({short(own)}){SYNTHETIC * (own != name)}"


def file_name(name: str, what: str) -> str:
    """What the file of a result is called, without its suffix: ``case-idc``; it may lie on any disk."""
    own = name.removesuffix(SYNTHETIC)
    return f"{short(own)}{' synthetic' * (own != name)}-{what}".translate(_NO_FILE)


def recoloured(slide: str, whose: str, method: str) -> str:
    """A slide in another's colours."""
    return f"{slide} in the colours of {whose} ({METHODS.get(method, method)})"


def virtually_stained(slide: str, title: str) -> str:
    """A slide in a virtual stain, whose title says that it is one."""
    return f"{slide} as {title}"


def made(about: Mapping[str, object], name: str) -> str:
    """What a synthetic slide shows, from what it says of itself; its own name where it says nothing."""
    if whose := about.get("stain_colours_of"):
        slide = str(about.get("stain_slide", name))
        return recoloured(slide, str(whose), str(about.get("stain_method", "")))
    if stain := about.get("virtual_stain"):
        slide = str(about.get("virtual_stain_slide", name))
        return virtually_stained(slide, str(about.get("virtual_stain_title", f"virtual {stain}")))
    return name.removesuffix(SYNTHETIC)
