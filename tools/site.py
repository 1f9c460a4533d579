# ruff: noqa: INP001 - no package
"""What MkDocs adds to docs/: the start page, the command line, models and names, all from the code.

A hook of mkdocs.yml: ``make docs`` builds the site, strictly.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from mkdocs.structure.files import File

import napari_pathogan
from napari_pathogan.cli.app import app
from napari_pathogan.library import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\((?:\.\./)?(README|CHANGELOG|CONTRIBUTING)\.md")
_PAGES = {"README": "index", "CHANGELOG": "changelog", "CONTRIBUTING": "contributing"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {f"{page}.md": _linked(ROOT / f"{name}.md") for name, page in _PAGES.items()}
    made |= {"commands.md": commands(), "models.md": models(), "names.md": names()}
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to the pages of the repository's root lead to those of the site."""
    return _LINK.sub(lambda link: f"]({_PAGES[link[1]]}.md", markdown)


def _linked(path: Path) -> str:
    """A page of the root, as if it lay in docs/."""
    text = path.read_text(encoding="utf-8").replace("](docs/", "](")
    return re.sub(r"\]\(LICENSE\)", "](https://opensource.org/license/bsd-3-clause)", text)


def commands() -> str:
    """Every command of ``pathogan`` with its options, from the command line itself."""
    lines = [
        "# Command line",
        "",
        "Made from the program; `pathogan COMMAND --help` says the same.",
        "",
    ]
    lines += _command(typer.main.get_command(app), ("pathogan",))
    return "\n".join(lines)


def _command(command: Any, words: tuple[str, ...]) -> Iterator[str]:  # noqa: ANN401 - click's, or typer's
    inner = getattr(command, "commands", None)
    if inner is not None:
        if len(words) > 1:
            yield from (f"## {' '.join(words)}", "", command.help or "", "")
        for name, one in inner.items():
            yield from _command(one, (*words, name))
        return
    level = "##" if len(words) == 2 else "###"
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    asked = " ".join(one.name.upper() for one in arguments)
    yield from (f"{level} {' '.join(words)}", "", command.help or "", "")
    yield from (f"    {' '.join(words)} {asked} [OPTIONS]", "")
    if rows := [*_rows(arguments), *_rows(options)]:
        yield from ("| | |", "| --- | --- |", *rows, "")


def _rows(parameters: list[Any]) -> Iterator[str]:
    for one in parameters:
        if getattr(one, "hidden", False) or one.name == "help":
            continue
        names = ", ".join(f"`{name}`" for name in one.opts)
        text = " ".join((one.help or "").split()).replace("|", "\\|")
        needed = " **Needed.**" if one.required else ""
        default = one.default if isinstance(one.default, str | int | float) else None
        usual = "" if default in {None, "", False} else f" By default `{default}`."
        yield f"| {names} | {text}{needed}{usual} |"


def models() -> str:
    """Every embedded model's card."""
    lines = [
        "# Embedded models",
        "",
        "Made from their cards. Figures are of patients that a model had not learnt from.",
        "",
    ]
    for name, one in listed().items():
        card = one.card
        lines += [f"## {name}", "", f"{card.title}. {card.intended_use}", ""]
        lines += [f"- Not for: {text}" for text in card.not_for]
        lines += [f"- Misses: {text}" for text in card.blind_to]
        lines += [f"- Learnt from {data.name}. Terms: {data.terms}." for data in card.training_data]
        lines += [
            f"- {one.size / 1e6:.1f} MB, weights `{card.sha256[:12]}`, licence {card.licence or 'not stated'}",
            "",
        ]
        if card.metrics:
            lines += ["| figure | value | 95 % interval |", "| --- | --- | --- |"]
            for key, metric in card.metrics.items():
                limits = "" if metric.low is None else f"{metric.low:.3f} to {metric.high:.3f}"
                value = "not measured" if metric.value is None else f"{metric.value:.3f}"
                lines.append(f"| {key} | {value} | {limits} |")
            lines += ["", f"Measured by `{card.measured_by}`." if card.measured_by else "", ""]
        lines += [f"Looked at: {card.looks}", ""] if card.looks else []
    return "\n".join(lines)


def names() -> str:
    """What the package exports, from its docstrings."""
    public = sorted(napari_pathogan.__all__)
    lines = [
        "# Names",
        "",
        "What `import napari_pathogan` gives; [From Python](api.md) shows how it is used.",
        "",
    ]
    for name in public:
        one = getattr(napari_pathogan, name)
        if hasattr(one, "__qualname__"):
            lines += [f"::: {one.__module__}.{one.__qualname__}", ""]
    return "\n".join(lines)
