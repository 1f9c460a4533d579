"""The errors of napari-pathogan: one family, each also the built-in that fits.

A message says what was wrong with which file, and what to do about it. The command line prints
it as one line on stderr (exit code 2), the plugin as a napari notification.
"""

from __future__ import annotations

import re

# control characters, what turns text round, what is not seen, halves of characters
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_UNSEEN = re.compile(r"[\u00ad\u200b\u200e\u200f\u2060-\u2064\ufeff]")


def printable(text: str) -> str:
    """A text of others without characters that work on a terminal, or can't be written: blanks instead."""
    return _CONTROL.sub(" ", _UNSEEN.sub("", text))


def one_line(text: str) -> str:
    """The same in one line, as names are shown."""
    return " ".join(printable(text).split())


class PathoganError(Exception):
    """Base of all errors that a user can do something about."""

    def __str__(self) -> str:
        """What went wrong; what files say of themselves is quoted, but never works on a terminal."""
        return printable(super().__str__())


class SlideFormatError(PathoganError, ValueError):
    """A file is not a slide that can be opened: wrong format, empty, truncated, a directory."""


class FluorescenceError(SlideFormatError):
    """A file holds fluorescence or other channels: there is no colour slide to analyse."""


class MammogramFormatError(SlideFormatError):
    """A file is not a mammogram that can be opened: no pixels, another modality, colour, damaged."""


class CodecMissingError(MammogramFormatError):
    """A file's pixels are compressed in a way that nothing installed can decode."""


class SlideReadError(PathoganError, OSError):
    """Part of an open slide can't be read (a damaged tile, a lost network drive)."""


class SlideClosedError(PathoganError, ValueError):
    """A slide was read after it had been closed."""


class UnknownScaleError(PathoganError, ValueError):
    """Micrometres per pixel are needed, and the slide does not say."""


class NoTissueError(PathoganError, ValueError):
    """No tissue was found where some is needed."""


class DataFolderError(PathoganError, ValueError):
    """A folder of training data lacks what is needed (classes, patients, readable images)."""


class ResultFormatError(PathoganError, ValueError):
    """A file of results or annotations can't be read: damaged, empty, or not what it says."""


class ModelNotFoundError(PathoganError, FileNotFoundError):
    """No model of that name or folder."""


class ModelError(PathoganError, ValueError):
    """A model can't be used: its weights differ from its card, or it is for another task."""


class TrainingDivergedError(PathoganError, ArithmeticError):
    """A loss became NaN or infinite; the last good checkpoint stays."""


class DeviceError(PathoganError, RuntimeError):
    """The compute device asked for is not there, or out of memory."""


class EnvironmentMismatchError(PathoganError, ImportError):
    """Installed packages do not fit together (torch and torchvision of different releases)."""


class OutputError(PathoganError, OSError):
    """A result can't be written: no permission, disk full, wrong kind of path."""


class JobError(PathoganError, RuntimeError):
    """A background run failed, or can't be started, cancelled or resumed."""


class StudyError(PathoganError, ValueError):
    """A reader study can't be made, opened or reported: settings, images, key or records."""


class SessionError(PathoganError, RuntimeError):
    """A reader's session can't go on: open elsewhere, finished, or not an answer to its question."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full; torch says so by a RuntimeError, on a CPU by its text."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
