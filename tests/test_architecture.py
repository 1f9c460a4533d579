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
    ("module", "heavy"),
    [
        ("napari_pathogan.slides.slide", "torch"),
        ("napari_pathogan.plugin", "torch"),
        ("napari_pathogan.plugin.masses.dock", "torch"),
        ("napari_pathogan.cli.app", "torch"),
        ("napari_pathogan.tasks.idc.predict", "napari"),
        ("napari_pathogan.tasks.masses.contract", "sklearn"),
    ],
)
def test_heavy_packages_wait_for_their_use(module: str, heavy: str):
    done = run(sys.executable, "-c", f"import sys, {module}; print({heavy!r} in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_changelog_names_the_version():
    import napari_pathogan

    assert f"## {napari_pathogan.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_readme_links_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
