"""The house keeps its rules: imports go one way, nothing heavy is loaded early."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import grimp
import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_go_one_way():
    lint = Path(sys.executable).parent / "lint-imports"
    done = run(str(lint), "--no-cache")
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_no_module_imports_itself_in_a_circle():
    """Not for a type alone either: whoever needs a part of another's asks for a Protocol."""
    graph = grimp.build_graph("napari_pathogan", exclude_type_checking_imports=False)
    imports = nx.DiGraph(
        (one, other)
        for one in graph.modules
        for other in graph.find_modules_directly_imported_by(one)
    )
    circles = [sorted(c) for c in nx.strongly_connected_components(imports) if len(c) > 1]
    assert circles == []


@pytest.mark.parametrize(
    "steps",
    [
        {"slides.slide": "torch", "plugin": "torch", "plugin.masses.dock": "torch"},
        {
            "cli.app": "torch",
            "tasks.masses.contract": "sklearn",
            "tasks.idc.predict": "napari",
        },
    ],
)
def test_heavy_packages_wait_for_their_use(steps: dict[str, str]):
    """Imported one after the other in a fresh process."""
    code = "import sys, importlib\n" + "".join(
        f"importlib.import_module('napari_pathogan.{module}'); print({heavy!r} in sys.modules)\n"
        for module, heavy in steps.items()
    )
    done = run(sys.executable, "-c", code)
    assert done.stdout.split() == ["False"] * len(steps), done.stderr


def test_changelog_names_the_version():
    import napari_pathogan

    assert f"## {napari_pathogan.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_readme_links_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
