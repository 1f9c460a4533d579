"""Addresses of images that lie elsewhere, as paths without what opens them to others.

``https://host/folder/slide.svs`` and ``s3://bucket/slide.svs`` go through the program as a path, whose
name and suffix are the slide's. What is secret in an address (a user and a password before the host,
the query with its signature) is no part of that path: it is known to this process alone, and comes
into no message, log, result or setting.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

_ADDRESS = re.compile(r"(https?|s3):[/\\]+(?=[^/\\])", re.IGNORECASE)  # a path has lost a slash
_FOREIGN = re.compile(r"([a-z][a-z0-9+.-]+):[/\\]", re.IGNORECASE)  # one letter is a drive
_TEXTS = ("--source", "--terms")
_CHOSEN = re.compile(r"/~[0-9a-f]{8}(?=/[^/]*$)")
# of a signed address; any other part of a query may say which file it is
_SIGNED = re.compile(
    r"x-(amz|goog|ms)-.*|signature|sig|expires|policy|key-pair-id|awsaccesskeyid|googleaccessid|"
    r"token|access_token|sas|s[vrtpe]|s[ie]p|spr|ske?|skoid|sktid|skt|sks|skv",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, repr=False)
class _Secrets:
    """What an address holds besides its path: how it is logged in with, and what is asked with it."""

    login: str = ""
    query: str = ""


_secrets: dict[str, _Secrets] = {}
_states: dict[str, str] = {}


def is_address(place: str | PurePath) -> bool:
    """Whether something is an address of a kind that is read, not a path on this computer."""
    return _ADDRESS.match(str(place)) is not None


def foreign(place: str | PurePath) -> str:
    """The scheme of an address of any other kind, such as ``ftp``; empty for anything else."""
    found = _FOREIGN.match(str(place))
    return found[1].lower() if found and not is_address(place) else ""


def may_be_there(place: PurePath) -> bool:
    """Whether a path exists, or is an address: what lies there, only opening it tells."""
    return is_address(place) or Path(place).exists()


def place_of(text: str | PurePath) -> Path:
    """What stands for an address, without its secrets; a path on this computer as it is.

    Two files that only a query tells apart are two places.
    """
    found = _ADDRESS.match(str(text))
    if found is None:
        return Path(text)
    scheme, rest = found[1].lower(), str(text)[found.end() :].replace("\\", "/")
    if scheme == "s3":  # all of it is a key: such an address has no query and no login
        return Path(f"{scheme}:/{rest}")
    parts = urlsplit(f"{scheme}://{rest}")
    login, _, host = parts.netloc.rpartition("@")
    path = parts.path
    chosen = sorted(pair for pair in parse_qsl(parts.query) if not _SIGNED.fullmatch(pair[0]))
    if chosen:
        digest = hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]
        folder, _, name = path.rpartition("/")
        path = f"{folder}/~{digest}/{name}"
    place = Path(f"{scheme}:/{host.lower()}{path}")
    if login or parts.query:
        _secrets[str(place)] = _Secrets(unquote(login), parts.query)
    return place


def shown(place: str | PurePath) -> str:
    """An address as it is written, without its secrets; any other path as it is."""
    text = str(place)
    found = _ADDRESS.match(text)
    if found is None:
        return text
    rest = str(place_of(text))[len(found[1]) + 2 :].replace("\\", "/")
    return _CHOSEN.sub("", f"{found[1].lower()}://{rest}")


def login_of(place: PurePath) -> str:
    """``user:password``, where the address was given with one in this process; else empty."""
    return _secrets.get(str(place), _Secrets()).login


def query_of(place: PurePath) -> str:
    """The query of an address, where it was given with one in this process; else empty."""
    return _secrets.get(str(place), _Secrets()).query


def note_state(place: PurePath, state: str) -> None:
    """Note in which state (version, time of change, length) a file was read at an address."""
    _states[str(place)] = state


def identity(place: PurePath) -> str:
    """What tells a file at an address from any other there; of a state that was never seen, none.

    Two states of one file are two, as far as the server tells them apart.
    """
    return f"{place}|{_states.get(str(place), '')}"


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """Arguments of a command line, addresses without their secrets, which this process then knows.

    What is written into a model's card (``--source``, ``--terms``) is text, whatever it looks like.
    """
    before = ["", *arguments]
    return [
        str(place_of(one)) if option not in _TEXTS and _holds_secrets(one) else one
        for option, one in zip(before, arguments, strict=False)
    ]


def _holds_secrets(text: str) -> bool:
    place = place_of(text) if is_address(text) else None
    return place is not None and bool(login_of(place) or query_of(place))
