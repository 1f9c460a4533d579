"""What records say of the computer that they are written on: a name that tells nothing, the time."""

from __future__ import annotations

import hashlib
import secrets
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import platformdirs

from napari_pathogan.files import write_text
from napari_pathogan.kinds import OURS

if TYPE_CHECKING:
    from pathlib import Path


def machine() -> str:
    """A name for this computer and user that tells nothing: 8 random-looking hex digits.

    Raises
    ------
    OutputError
        If the user's data folder can't be written.
    """
    path = user_folder() / "machine"
    if not path.exists():
        write_text(path, secrets.token_hex(16), OURS)
    # a home folder may be shared by several computers
    mixed = f"{path.read_text('utf-8')}:{socket.gethostname()}"
    return hashlib.sha256(mixed.encode()).hexdigest()[:8]


def machine_of(record: Path) -> str:
    """The computer that a record (``<reader>.<computer>[...].jsonl``) was written on."""
    return record.name.split(".")[1]


def user_folder() -> Path:
    """Where what belongs to this user is kept."""
    return platformdirs.user_data_path("napari-pathogan")


def now() -> str:
    """The time, ISO 8601, UTC, to the millisecond: times sort as texts."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
