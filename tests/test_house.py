"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.dataroot import DataRoot

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for folder in ("pipeline", "schemas", "workers") for path in (REPOSITORY / folder).rglob("*.py"))

EXITS = {"sys.exit", "os._exit", "os.abort", "exit", "quit", "SystemExit"}
LAYOUT = {path.name for path in vars(DataRoot(Path("/root-of-all"))).values() if isinstance(path, Path)} | {"activity"}


def _name(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def exits(tree: ast.AST) -> Iterator[int]:
    """Lines that end the process."""
    for node in ast.walk(tree):
        ends = node.func if isinstance(node, ast.Call) else node.exc if isinstance(node, ast.Raise) else None
        if isinstance(node, ast.stmt | ast.expr) and ends is not None and _name(ends) in EXITS:
            yield node.lineno


def layout_paths(tree: ast.AST) -> Iterator[int]:
    """Lines that build a path out of a name that the DataRoot's layout knows."""
    for node in ast.walk(tree):
        parts: list[ast.expr] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [node.right]
        elif isinstance(node, ast.Call) and _name(node.func).split(".")[-1] in ("Path", "PurePosixPath", "joinpath"):
            parts = node.args
        constants = [str(part.value) for part in parts if isinstance(part, ast.Constant)]
        if any(text.split("/")[0] in LAYOUT for text in constants):
            yield parts[0].lineno


def _may_exit(path: Path) -> bool:
    place = path.relative_to(REPOSITORY).as_posix()
    return place.startswith(("pipeline/cli/", "workers/")) or place == "pipeline/__main__.py"


def test_only_the_command_line_and_servers_exit() -> None:
    found = [f"{path}:{line}" for path in SOURCES if not _may_exit(path) for line in exits(ast.parse(path.read_text()))]
    assert found == []


def test_only_dataroot_builds_paths_in_a_dataroot() -> None:
    sources = [path for path in SOURCES if path.name != "dataroot.py"]
    found = [f"{path}:{line}" for path in sources for line in layout_paths(ast.parse(path.read_text()))]
    assert found == []


@pytest.mark.parametrize("code", ["import sys\nsys.exit(1)", "raise SystemExit", "raise SystemExit(2)", "exit()"])
def test_exits_are_seen(code: str) -> None:
    assert list(exits(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ['root / "metadata.db"', 'Path("derived")', 'root.joinpath("media", x)', 'root / "derived/facts"']
)
def test_layout_paths_are_seen(code: str) -> None:
    assert list(layout_paths(ast.parse(code)))


def test_no_file_names_the_place_of_this_checkout() -> None:
    folders = ("pipeline", "schemas", "workers", "scripts", "tests", "docs", "notebooks", "dataroot_fixtures")
    files = [path for name in folders for path in (REPOSITORY / name).rglob("*") if path.is_file()]
    files += [path for path in REPOSITORY.iterdir() if path.is_file()]
    place = f"{REPOSITORY}/".encode()
    found = [path for path in files if path.suffix != ".pyc" and place in path.read_bytes()]
    assert found == []


def test_pure_code_opens_no_urls() -> None:
    """The floors forbid HTTP packages as a whole; of `urllib` only this part."""
    pure = [path for path in SOURCES if {"stages", "schemas", "ingest", "dag.py"} & set(path.parts)]
    assert [path for path in pure if "urllib.request" in path.read_text()] == []
