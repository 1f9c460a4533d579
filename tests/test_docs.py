"""README and docs: every command that they name is there, with every option that they give it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from napari_pathogan.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACES = re.compile(r"`([^`]*)`|^(?: {4,}|\$ )(.*)$", re.MULTILINE)  # inline code, and blocks
FENCED = re.compile(r"```(?:bash|sh|console)?\n(.*?)```", re.DOTALL)
NAMED = re.compile(r"(?<![\w./-])pathogan ((?:(?!\bpathogan ).)+)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
TREE = typer.main.get_command(app)


def said(page):
    """What a page gives after each ``pathogan``, in its code."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    text = re.sub(r"```python\n.*?```", "", text, flags=re.DOTALL)
    text = FENCED.sub(lambda block: re.sub("^", "    ", block[1], flags=re.MULTILINE), text)
    text = re.sub(r"`([^`]*)`", lambda code: f"`{' '.join(code[1].split())}`", text)
    for place in PLACES.finditer(text):
        code = re.split(r"[;#)]| \w+ = ", place[1] or place[2] or "")
        yield from (found[1] for part in code for found in NAMED.finditer(part))


def commands(words):
    """Those that words name, ``a|b`` being two; and what was no command's name."""
    at, left = [TREE], list(words)
    while left and all(getattr(one, "commands", None) for one in at):
        alternatives = [word for word in left[0].split("|") if word and word != "..."]
        if not alternatives or not all(re.fullmatch("[a-z-]+", word) for word in alternatives):
            break
        missing = [w for w in alternatives if not any(w in one.commands for one in at)]
        if missing:
            return [], missing
        at = [one.commands[word] for one in at for word in alternatives if word in one.commands]
        left.pop(0)
    return at, []


def options(command):
    inner = getattr(command, "commands", None)
    if inner:
        return set().union(*map(options, inner.values()))
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_are_there(page):
    wrong = []
    for text in said(page):
        words = text.replace("[", " ").replace("]", " ").split()
        found, missing = commands([word for word in words if not word.startswith("-")][:3])
        if missing:
            wrong.append(f"pathogan {text}: no command {missing[0]}")
            continue
        known = set().union(*map(options, found)) | {"--help", "--version"}
        wrong += [f"pathogan {text}: no {flag}" for flag in FLAG.findall(text) if flag not in known]
    assert wrong == []


def test_commands_are_found_in_the_docs():
    assert sum(len(list(said(page))) for page in PAGES) > 100
    assert commands(["idc", "nonsense"]) == ([], ["nonsense"])
