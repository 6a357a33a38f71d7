"""The shape of the project: imports go one way, files stay short, and the pure part stays pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kroute"
FILES = sorted(PACKAGE.rglob("*.py"))
STAGES = ("signals", "diagnosis", "incidents", "routing")
PURE = (*STAGES, "contracts", "engine", "domain", "heartbeat")
IMPURE_MODULES = {
    "asyncio", "threading", "time", "random", "logging", "socket", "subprocess", "os", "uuid", "faust", "aiokafka",
    "confluent_kafka", "kafka", "aiohttp", "requests",
}  # fmt: skip
SHELLS = ("stream", "collect", "deliver", "board", "local", "admin", "cli")
ABOVE: dict[str, tuple[str, ...]] = {
    "contracts": ("errors", "contracts"),
    "signals": ("errors", "contracts", "signals"),
    "diagnosis": ("errors", "files", "contracts", "signals", "diagnosis"),
    "incidents": ("errors", "contracts", "signals", "diagnosis", "incidents"),
    "routing": ("errors", "files", "contracts", "signals", "diagnosis", "incidents", "routing"),
}
"""Package → what it may import of kroute."""


def _room(path: Path) -> str:
    rest = path.relative_to(PACKAGE)
    return rest.parts[0] if len(rest.parts) > 1 else rest.stem


def _imports(path: Path) -> list[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    out: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            out += [(node.lineno, a.name) for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "kroute":
                out += [(node.lineno, f"kroute.{a.name}") for a in node.names]
            else:
                out.append((node.lineno, node.module))
    return out


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_imports_go_one_way(path: Path) -> None:
    room = _room(path)
    for line, module in _imports(path):
        if not module.startswith("kroute."):
            continue
        target = module.split(".")[1]
        if room in ABOVE:
            assert target in ABOVE[room], f"{_id(path)}:{line}: {room} may not import kroute.{target}"
        if room in ("engine", "domain", "heartbeat", "intake", "settings", "files", "errors"):
            assert target not in SHELLS, f"{_id(path)}:{line}: {room} may not import the shell kroute.{target}"
        if target == "cli":
            assert room == "cli", f"{_id(path)}:{line}: nothing imports the command line"


@pytest.mark.parametrize("path", [p for p in FILES if _room(p) in PURE], ids=_id)
def test_the_engine_imports_nothing_that_has_a_clock_or_does_input_or_output(path: Path) -> None:
    for line, module in _imports(path):
        assert module.split(".")[0] not in IMPURE_MODULES, f"{_id(path)}:{line}: imports {module}"


@pytest.mark.parametrize("path", [p for p in FILES if _room(p) in PURE], ids=_id)
def test_the_engine_iterates_no_set(path: Path) -> None:
    """Two hash seeds must give the same bytes, so no loop runs over a set."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        iters = [node.iter] if isinstance(node, ast.For | ast.comprehension) else []
        for i in iters:
            named = isinstance(i, ast.Call) and isinstance(i.func, ast.Name) and i.func.id in ("set", "frozenset")
            line = getattr(i, "lineno", 0)
            assert not named, f"{_id(path)}:{line}: loops over a set"
            assert not isinstance(i, ast.Set | ast.SetComp), f"{_id(path)}:{line}: loops over a set"


@pytest.mark.parametrize("path", [p for p in FILES if _room(p) != "stream"], ids=_id)
def test_only_the_stream_package_imports_faust(path: Path) -> None:
    for line, module in _imports(path):
        assert module.split(".")[0] not in ("faust", "mode"), f"{_id(path)}:{line}: imports {module}"


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_a_file_stays_under_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_a_module_and_its_public_names_say_what_they_are(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{_id(path)} has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{_id(path)}:{node.lineno}: {node.name} has no docstring"


def test_the_top_level_holds_only_what_a_project_has() -> None:
    expected = {
        "kroute", "tests", "deploy", "docker-compose.yml", "README.md", "pyproject.toml", "Makefile", "LICENSE",
        "CHANGELOG.md", "CONTRIBUTING.md",
    }  # fmt: skip
    found = {p.name for p in ROOT.iterdir() if not p.name.startswith(".") and not p.name.endswith(".egg-info")}
    assert found - expected <= {"build", "dist", "__pycache__"}
    assert expected <= found
