"""What a study's folder holds, and in which order each reader sees it.

``STUDY/study.json`` (the manifest), ``STUDY/images/<id>.png`` and ``STUDY/readers/*.jsonl`` go to
the readers. ``STUDY.key.json`` lies beside the folder, not in it: it says which image is real. The
manifest holds the key's hash, and the key a random salt, so that the key can neither be changed
nor guessed from its hash.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_pathogan.errors import StudyError
from napari_pathogan.files import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_Model = TypeVar("_Model", bound=BaseModel)

MANIFEST, IMAGES, READERS = "study.json", "images", "readers"
CHOICES = {"yes-no": ("real", "generated"), "pairs": ("left", "right")}
_BETWEEN_NUMBERS = re.compile(r"(?<=\d)\0(?=\d)")
TRIES = 64
"""Orders drawn for a reader; the one with repeats farthest apart is taken."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(_Part):
    """What one trial shows: an image, or two. Says nothing about what is real.

    Attributes
    ----------
    id
        Random.
    images
        Ids of one image, or of the two of a pair.
    kind
        ``control``: the image only says what to answer.
    block
        Items of one block are shown together; each block is balanced. Practice is -1.
    repeated
        Shown twice.
    """

    id: str
    images: tuple[str, ...]
    kind: Literal["practice", "study", "control"]
    block: int
    repeated: bool = False


class Manifest(_Part):
    """``study.json``: all that a session loads."""

    format: Literal[1] = 1
    name: str
    mode: Literal["yes-no", "pairs"]
    question: str
    consent: str
    interpolation: Literal["nearest", "linear"] = "nearest"
    size_px: int
    margin: float
    min_answers: int = 10
    order_seed: str
    images: dict[str, str]  # id -> sha256 of the file
    items: tuple[Item, ...]
    key_sha256: str
    created: str
    version: str


class Truth(_Part):
    """What an image is: real or not, and from where."""

    real: bool
    source: str
    origin: str
    label: str | None = None


class Key(_Part):
    """``STUDY.key.json``: what every image is, the settings, and a salt."""

    format: Literal[1] = 1
    salt: str
    config: dict[str, Any]
    truth: dict[str, Truth]


def key_path(folder: Path) -> Path:
    """Where the key lies unless it was moved: beside the study, not in it."""
    folder = folder.absolute()
    return folder.with_name(f"{folder.name}.key.json")


def read_manifest(folder: Path) -> Manifest:
    """Read ``study.json``.

    Raises
    ------
    StudyError
        If the folder holds no study, or a damaged one.
    """
    return _read(folder / MANIFEST, Manifest, "give a folder that `pathogan study new` made")


def read_key(folder: Path, path: Path | None, manifest: Manifest) -> Key:
    """Read the answer key and make sure that it is this study's.

    Parameters
    ----------
    path
        None looks beside the study's folder.

    Raises
    ------
    StudyError
        If it is missing, damaged, of another study, or was changed.
    """
    path = path or key_path(folder)
    key = _read(path, Key, "say where the answer key is (--key)")
    if sha256(path) != manifest.key_sha256:
        msg = (
            f"{path} is not the answer key that {folder.name} was made with: another study's, or "
            "changed since; use the original file"
        )
        raise StudyError(msg)
    if missing := {image for item in manifest.items for image in item.images} - key.truth.keys():
        msg = f"{path} does not say of {len(missing)} images what they are; use the original file"
        raise StudyError(msg)
    return key


def _read(path: Path, kind: type[_Model], remedy: str) -> _Model:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path} can't be read ({error.strerror}); {remedy}"
        raise StudyError(msg) from error
    except (ValidationError, UnicodeDecodeError) as error:
        msg = f"{path} is damaged or not of this kind; {remedy}"
        raise StudyError(msg) from error


@dataclass(frozen=True, slots=True)
class Showing:
    """One trial of one reader: which item, its images as shown (left, right), which time.

    Attributes
    ----------
    id
        ``<item>.<1 or 2>``.
    block
        Place of its block in this reader's order; practice is -1.
    """

    id: str
    item: Item
    images: tuple[str, ...]
    time: int
    block: int


def reader_code(name: str) -> str:
    """The normal form of a reader's name or code, which alone decides who is who.

    Of letters and digits: capitals, spaces, full stops and other marks, and the forms that Unicode
    has of a letter don't make another reader ("Dr. X" is "dr x"). Numbers stay apart ("1 1" is not "11").

    Raises
    ------
    StudyError
        If it has no letter or digit, or more than 80 characters.
    """
    shown = " ".join(name.split())
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold())
    words = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in plain).split()
    code = _BETWEEN_NUMBERS.sub(" ", "\0".join(words)).replace("\0", "")
    if not code or len(shown) > 80 or not shown.isprintable():
        msg = "a reader needs a name or code of letters or digits, up to 80 characters"
        raise StudyError(msg)
    return code


def order(manifest: Manifest, reader: str) -> tuple[Showing, ...]:
    """All trials of a reader in order; always the same for the same reader.

    Practice first. Blocks, and items within them, are shuffled for each reader; as every block is
    balanced, so is every part of the order. The second showing of an item lies half of the blocks
    away from the first. Which side of a pair is real is balanced within a block, and whole blocks
    are mirrored.
    """
    seed = f"{manifest.order_seed}:{reader_code(reader)}"
    rank = _rank(seed, "practice")
    practice = [item for item in manifest.items if item.kind == "practice"]
    first = (_shown(item, 1, -1, False) for item in sorted(practice, key=lambda x: rank(x.id)))
    items = [item for item in manifest.items if item.kind != "practice"]
    tries = (_shuffled(items, f"{seed}:{number}") for number in range(TRIES))
    return (*first, *(_shown(*trial) for trial in max(tries, key=_least_distance)))


def _rank(*what: str) -> Callable[[object], bytes]:
    """Make a random-looking rank that no version of any library changes: orders must stay."""
    begun = hashlib.sha256(":".join(what).encode())

    def rank(last: object) -> bytes:
        whole = begun.copy()
        whole.update(f":{last}".encode())
        return whole.digest()

    return rank


_Placed = tuple[Item, int, int, bool]  # which item, which time, place of its block, mirrored


def _shuffled(items: Sequence[Item], seed: str) -> list[_Placed]:
    by_block, by_side, by_item = _rank(seed, "block"), _rank(seed, "side"), _rank(seed)
    names = sorted({item.block for item in items}, key=by_block)
    place_of = {name: place for place, name in enumerate(names)}
    mirrored = {name: bool(by_side(name)[-1] % 2) for name in names}
    blocks: list[list[tuple[bytes, Item, bool]]] = [[] for _ in names]
    for item in items:
        place, mirror = place_of[item.block], mirrored[item.block]
        blocks[place].append((by_item(f"{item.id}:{mirror}"), item, mirror))
        if item.repeated:
            far = (place + (len(names) + 1) // 2) % len(names)
            blocks[far].append((by_item(f"{item.id}:{not mirror}"), item, not mirror))
    shown: list[_Placed] = []
    seen: set[str] = set()
    for place, block in enumerate(blocks):
        for _, item, mirror in sorted(block, key=lambda x: x[0]):
            shown.append((item, 1 + (item.id in seen), place, mirror))
            seen.add(item.id)
    return shown


def _shown(item: Item, time: int, block: int, mirrored: bool) -> Showing:  # noqa: FBT001
    images = item.images[::-1] if mirrored else item.images
    return Showing(f"{item.id}.{time}", item, images, time, block)


def _least_distance(shown: Sequence[_Placed]) -> int:
    """Trials between the two showings of an item, the least of them."""
    first: dict[str, int] = {}
    distances = []
    for place, (item, time, *_) in enumerate(shown):
        if time == 2:
            distances.append(place - first[item.id])
        elif item.repeated:
            first[item.id] = place
    return min(distances, default=0)
