"""The rules that keep the house in order, checked on the source: who imports whom, and what nobody calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mediadiff"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each part imports from the parts above it only, and a part of one line from its own line only if it says so here.
LAYERS = [
    ["errors", "__init__"],
    ["clip", "rng", "_compat"],
    ["io", "nn", "diffusion"],
    ["domains"],
    ["data"],
    ["evaluation", "training", "rendering"],
    ["yaml_document"],
    ["validation"],
    ["recipe"],
    ["model"],
    ["build", "card", "catalogue", "console", "jobs", "studio"],
    ["batch", "bench", "demo", "distill", "export", "measure", "replay"],
    ["compare"],
    ["cli"],
    ["__main__"],
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
# What else is allowed: parts of one line beside each other, and a clip that can save itself.
BESIDE = {("rendering", "evaluation"), ("training", "evaluation"), ("clip", "io")}
HEAVY = {"torch", "torchaudio", "librosa", "diffusers", "av", "soundfile", "matplotlib", "numpy", "scipy", "pydantic"}


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module that a tree imports, and the line; names of a package count as its modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports are not used"
            yield str(node.module), node.lineno
            if node.module == "mediadiff":
                yield from ((f"mediadiff.{alias.name}", node.lineno) for alias in node.names)


def running(tree: ast.Module) -> ast.Module:
    """The tree without what only a type checker reads."""

    class Without(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    return Without().visit(tree)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_one_way(path: Path) -> None:
    mine = part(path)
    if mine == "__init__":
        return  # the package's own door loads what is asked for, when it is asked for
    assert mine in LEVEL, f"{name(path)} is in no layer; give it a place in LAYERS"
    for imported, line in imports(running(ast.parse(path.read_text()))):
        top, _, rest = imported.partition(".")
        if top != "mediadiff" or not rest:
            continue
        other = rest.partition(".")[0]
        if other not in LEVEL or other == mine:
            continue  # `from mediadiff import __version__`
        below = LEVEL[other] < LEVEL[mine] or (mine, other) in BESIDE
        assert below, f"{name(path)} line {line}: {mine} imports {other}, which is not below it"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_code_in_data_and_no_shortcuts(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    for imported, line in imports(tree):
        assert imported.partition(".")[0] not in {"pickle", "marshal", "shelve", "dill", "joblib"}, f"line {line}"
        if name(path) != "_compat.py":
            assert imported.partition(".")[0] not in {"torchaudio", "diffusers"}, f"line {line}: through _compat only"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "compile", "torch.load", "torch.save", "np.load", "numpy.load"}, (
                f"{name(path)} line {node.lineno}: {called}"
            )
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name(path)} line {node.lineno}: a bare except"
    assert "TODO" not in source and "FIXME" not in source
    assert "from __future__ import annotations" in source or len(source.splitlines()) < 10


# Modules that the command line loads before it knows whether it needs anything heavy.
LIGHT = [
    path
    for path in MODULES
    if path.name == "settings.py"
    or part(path) in {"__init__", "_compat", "errors", "rng", "yaml_document", "validation", "recipe", "model", "cli"}
    or part(path) in {"console", "catalogue", "domains"}
]


@pytest.mark.parametrize("path", LIGHT, ids=name)
def test_light_modules_import_nothing_heavy_at_the_top(path: Path) -> None:
    tree = running(ast.parse(path.read_text()))
    # numpy alone is quick, and the types of media are made of it.
    allowed = {"numpy"} if part(path) == "domains" else set()
    for node in tree.body:
        for imported, line in imports(node) if isinstance(node, ast.Import | ast.ImportFrom) else ():
            heavy = imported.partition(".")[0] in HEAVY - allowed
            assert not heavy, f"{name(path)} line {line}: import {imported} inside the function that needs it"


def test_every_part_is_one_noun_of_moderate_size() -> None:
    long = {name(path): n for path in MODULES if (n := len(path.read_text().splitlines())) > 450}
    assert not long, f"over 450 lines: {long}"
