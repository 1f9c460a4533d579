"""What libraries warn of and log is kept back: those of DICOM quote values of headers."""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES = ("pydicom", "highdicom", "wsidicom", "PIL", "zarr")
_CALLERS = rf"({'|'.join((*_LIBRARIES, 'napari_pathogan'))})(\.|$)"  # whom a warning is put down to
_reading = ContextVar("_reading", default=False)


class _Unwarned:
    """The process's filters of warnings: the first thread to come sets them, the last resets them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=_CALLERS)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._before.close()


_unwarned = _Unwarned()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what these libraries say meanwhile; what other threads log of them stays."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in _LIBRARIES]
    loggers = [logging.getLogger(name) for name in {*_LIBRARIES, *names}]
    for logger in loggers:  # a logger's filter does not see what its children log
        logger.addFilter(_may_be_said)
    handlers = [handler for logger in (*loggers, logging.root) for handler in logger.handlers]
    for handler in (*handlers, logging.lastResort):  # nor what children log that are made meanwhile
        if handler is not None:
            handler.addFilter(_is_not_theirs)
    token = _reading.set(True)
    try:
        with _unwarned:
            yield
    finally:
        _reading.reset(token)


def _is_not_theirs(record: logging.LogRecord) -> bool:
    return record.name.split(".")[0] not in _LIBRARIES or not _reading.get()


def _may_be_said(_: logging.LogRecord) -> bool:
    return not _reading.get()
