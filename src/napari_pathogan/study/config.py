"""What a reader study is to be: where its images come from, how many, and how they are asked about."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_pathogan.errors import StudyError

CONSENT = (
    "You will see medical images one after the other; some are real, some were made by a computer. "
    "Your answers, how sure you are, how long you take and whether you zoom are recorded under the "
    "code you give. You may stop at any time and go on later. Please answer alone, without help."
)
_QUESTIONS = {
    "yes-no": "Is this image real or generated?",
    "pairs": "Which of the two images is real?",
}

EXAMPLE = """\
# A reader study: real against generated images.     pathogan study new THIS.toml -o STUDY
name = "IDC patches, real or generated"
mode = "yes-no"            # one image a time; or "pairs": two side by side, which one is real?
n_real = 50                # pairs: as many real as generated ones
n_generated = 50
seed = 0                   # of what is drawn from folders, slides and generators

# Paths are meant from where this file lies.
[[real]]
folder = "real/IDC"        # images; folders inside it count too
label = "IDC"              # free text; the report counts each source and label apart
# [[real]]                 # several sources share n_real evenly
# slides = "slides"        # a slide or a folder of slides: patches on tissue, at mpp and size_px
# slide_mpp = 0.25         # um per px of slides that don't say it themselves

[[generated]]
generator = "idc-generator"
label = "IDC"              # what the generator is asked for
# [[generated]]
# generator = "virtual-pas-he"
# label = "pas"            # a virtual stain is painted over real images, of the other stain:
# of = "real/he"           # a folder of them
# [[generated]]
# folder = "fakes"         # or images made elsewhere

[images]
# size_px = 256            # side of all images; by default the smallest side found
# mpp = 4.0                # um per px of patches from slides
# jpeg_quality = 90        # pass all images through this JPEG compression (real ones often have been)

[session]
practice = 6               # images before the study, not counted
repeats = 0.1              # share of the images that is shown twice
controls = 2               # images that only say what to answer: is the reader awake?
block = 20                 # images between breaks
interpolation = "nearest"  # how pixels are magnified on the screen, for all readers; or "linear"
# question = "..."         # asked under every image
# consent = "..."          # agreed to before the first image

[analysis]
margin = 0.1               # 'indistinguishable' means an accuracy within 0.5 +- margin; set it beforehand
min_answers = 10           # of real and of generated images, for a reader to count (or half of them, if less)
"""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Settings):
    """Where images come from: exactly one of ``folder``, ``slides`` and ``generator``.

    Attributes
    ----------
    folder
        Images, in folders of any depth.
    slides
        A slide, or a folder of slides, from which patches on tissue are cut.
    generator
        Name of a generator, or its folder.
    of
        Images that the generator paints over, in folders of any depth, where it takes some.
    label
        What the images are ("IDC"); a generator is asked for it.
    slide_mpp
        um per px of the slides, where they don't say it themselves.
    """

    folder: Path | None = None
    slides: Path | None = None
    generator: str | None = None
    of: Path | None = None
    label: str | None = None
    slide_mpp: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(x is not None for x in (self.folder, self.slides, self.generator)) != 1:
            msg = "give exactly one of folder, slides and generator"
            raise ValueError(msg)
        if self.of is not None and self.generator is None:
            msg = "'of' is for generators that paint over images"
            raise ValueError(msg)
        return self

    @property
    def name(self) -> str:
        """What the report calls it: generator or folder, and label."""
        place = self.folder or self.slides
        name = place.name if place is not None else Path(self.generator or "").name
        return name if self.label in (None, name) else f"{name}, {self.label}"


class ImageSettings(_Settings):
    """How all images are brought to one form.

    Attributes
    ----------
    size_px
        Side of all images; None takes the smallest side found among them.
    mpp
        um per px of patches from slides.
    jpeg_quality
        All images pass through JPEG of this quality; None leaves them as they are.
    """

    size_px: int | None = Field(default=None, ge=16, le=4096)
    mpp: float | None = Field(default=None, gt=0)
    jpeg_quality: int | None = Field(default=None, ge=10, le=100)


class SessionSettings(_Settings):
    """What a reader is shown beside the images that count.

    Attributes
    ----------
    practice
        Trials before the study; images of their own, half of them real.
    repeats
        Share of the trials that is shown twice, for agreement of a reader with themselves.
    controls
        Images that only say what to answer.
    block
        Trials between breaks.
    interpolation
        How pixels are magnified on the screen; the same for all readers.
    question, consent
        Texts shown to the reader; an empty question takes the usual one of the mode.
    """

    practice: int = Field(default=6, ge=0, le=50)
    repeats: float = Field(default=0.1, ge=0, le=0.5)
    controls: int = Field(default=2, ge=0, le=20)
    block: int = Field(default=20, ge=2)
    interpolation: Literal["nearest", "linear"] = "nearest"
    question: str = ""
    consent: str = CONSENT


class AnalysisSettings(_Settings):
    """What is fixed beforehand about the analysis.

    Attributes
    ----------
    margin
        Accuracies within 0.5 +- margin count as equivalent to guessing.
    min_answers
        A reader counts who has judged so many real and so many generated images, or half of each
        where that is less. With 10, each cell of a guesser's table of answers is expected to hold 5
        of them (Cochran 1954, Biometrics 10, 417-451), and the interval around 50 % is no wider
        than 40 points.
    """

    margin: float = Field(default=0.1, gt=0, lt=0.5)
    min_answers: int = Field(default=10, ge=0, le=5000)


class StudyConfig(_Settings):
    """A whole study; see :data:`EXAMPLE` for the file.

    Attributes
    ----------
    name
        What the study is called; readers see it.
    mode
        ``yes-no``: one image a trial. ``pairs``: one real and one generated side by side.
    real, generated
        Sources; several share the number evenly.
    n_real, n_generated
        Images that count; alike for pairs.
    seed
        Of what is drawn. Ids and orders have a secret seed of their own.
    """

    name: str = Field(min_length=1, max_length=120)
    mode: Literal["yes-no", "pairs"] = "yes-no"
    real: tuple[Source, ...] = Field(min_length=1)
    generated: tuple[Source, ...] = Field(min_length=1)
    n_real: int = Field(default=50, ge=1, le=5000)
    n_generated: int = Field(default=50, ge=1, le=5000)
    seed: int = Field(default=0, ge=0)
    images: ImageSettings = ImageSettings()
    session: SessionSettings = SessionSettings()
    analysis: AnalysisSettings = AnalysisSettings()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if any(source.generator for source in self.real):
            msg = "real images can't come from a generator"
            raise ValueError(msg)
        if self.mode == "pairs" and self.n_real != self.n_generated:
            msg = f"pairs need as many real as generated images, not {self.n_real} and {self.n_generated}"
            raise ValueError(msg)
        slides = any(source.slides for source in (*self.real, *self.generated))
        if slides and (self.images.mpp is None or self.images.size_px is None):
            msg = "patches from slides need images.mpp and images.size_px"
            raise ValueError(msg)
        return self

    @property
    def question(self) -> str:
        """What is asked under every image."""
        return self.session.question or _QUESTIONS[self.mode]


def make_config(settings: dict[str, object]) -> StudyConfig:
    """Check settings, from a file or a form.

    Raises
    ------
    StudyError
        If one is missing, unknown or impossible; names it.
    """
    try:
        return StudyConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "too_short":
            said = "name at least one source: a folder, slides or a generator"
        msg = f"settings of the study: {f'{place}: ' if place else ''}{said}"
        raise StudyError(msg) from error


def read_config(path: Path) -> StudyConfig:
    """Read a TOML or JSON file; relative paths in it are meant from where it lies.

    Raises
    ------
    StudyError
        If it can't be read or holds a wrong setting.
    """
    try:
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        msg = f"{path} can't be read ({error.strerror}); `pathogan study config` prints an example"
        raise StudyError(msg) from error
    except ValueError as error:
        msg = f"{path} is not valid TOML or JSON: {error}"
        raise StudyError(msg) from error
    if not isinstance(settings, dict):
        msg = f"{path} holds no settings; `pathogan study config` prints an example"
        raise StudyError(msg)
    try:
        config = make_config(settings)
    except StudyError as error:
        msg = f"{path}: {error}"
        raise StudyError(msg) from error
    near = {
        kind: tuple(_near(source, path.parent) for source in getattr(config, kind))
        for kind in ("real", "generated")
    }
    return config.model_copy(update=near)


def _near(source: Source, folder: Path) -> Source:
    place = {
        kind: folder / value
        for kind in ("folder", "slides", "of")
        if (value := getattr(source, kind)) is not None
    }
    return source.model_copy(update=place)
