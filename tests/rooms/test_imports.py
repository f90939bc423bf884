"""Who may import whom: rooms one way, private modules at home, no circle; and how long a file may be."""

import ast
import re
import statistics
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "attnflow"


def _name(path: Path) -> str:
    parts = ("attnflow", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in PACKAGE.rglob("*.py")}


def _names(module: str) -> Iterator[tuple[str, str]]:
    """Each module of attnflow that a module imports from, anywhere in its text, and the name."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{base}.{alias.name}"
                if target in MODULES:
                    yield target, ""
                elif base in MODULES and base != "attnflow":
                    yield base, alias.name


def _imports(module: str) -> set[str]:
    return {target for target, _ in _names(module)}


EDGES = {
    module: _imports(module)
    for module in MODULES
    if module not in ("attnflow", "attnflow.__main__")
}


def _room(module: str) -> str:
    return module.split(".")[1]


def test_rooms_import_only_rooms_above_them_in_the_map():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    order = re.findall(r"^\| `(\w+)` \|", text, re.M)
    rooms = {_room(module) for module in EDGES}
    assert sorted(order) == sorted(rooms)
    wrong = {
        (module, target)
        for module, targets in EDGES.items()
        for target in targets
        if target != "attnflow"
        if order.index(_room(target)) > order.index(_room(module))
    }
    assert wrong == set()


def test_a_private_module_is_imported_by_its_own_room_alone():
    wrong = {
        (module, target)
        for module, targets in EDGES.items()
        for target in targets
        if target != "attnflow" and _room(target) != _room(module)
        if any(part.startswith("_") for part in target.split("."))
    }
    assert wrong == set(), "import it from its package, or from a module for other rooms"


def test_no_private_name_crosses_between_rooms():
    wrong = {
        (module, f"{target}.{name}")
        for module in EDGES
        for target, name in _names(module)
        if _room(target) != _room(module) and name.startswith("_")
    }
    assert wrong == set()


def test_no_modules_import_one_another_in_a_circle():
    graph = {module: targets - {"attnflow"} for module, targets in EDGES.items()}
    circle = None
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle is None


def test_files_are_one_room_each():
    lines = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: n for module, n in lines.items() if n > 400} == {}
    assert statistics.median(lines.values()) <= 150
