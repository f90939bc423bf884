"""Who may import whom: rooms one way, private modules at home, no circle; what is left of old ones may only shrink."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "attnflow"
CORE = "core"  # attnflow/_checks.py and its neighbours, which belong to no room


def _name(path: Path) -> str:
    parts = ("attnflow", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in PACKAGE.rglob("*.py")}


def _imports(module: str) -> Iterator[str]:
    """The modules of attnflow that a module imports, anywhere in its text."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{base}.{alias.name}"
                if target in MODULES or base in MODULES:
                    yield target if target in MODULES else base


EDGES = {module: set(_imports(module)) for module in MODULES if module != "attnflow"}


def _room(module: str) -> str:
    parts = module.split(".")
    if len(parts) == 2 and MODULES[module].name != "__init__.py":
        return CORE
    return parts[1]


def _listed(name: str) -> set[tuple[str, str]]:
    lines = (Path(__file__).parent / name).read_text().splitlines()
    return {(a, b) for a, b in (line.split() for line in lines if line and line[0] != "#")}


def test_rooms_import_only_rooms_above_them_in_the_map():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    order = re.findall(r"^\| `(\w+)` \|", text, re.M)
    rooms = {_room(module) for module in EDGES if module != "attnflow.__main__"}
    assert sorted(order) == sorted(rooms)
    wrong = {
        (module, target)
        for module, targets in EDGES.items()
        for target in targets
        if "attnflow" not in (module, target) and module != "attnflow.__main__"
        if order.index(_room(target)) > order.index(_room(module))
    }
    assert wrong == set()


def test_a_private_module_is_imported_by_its_own_room_but_for_those_listed():
    seen = {
        (module, target)
        for module, targets in EDGES.items()
        for target in targets
        if target != "attnflow" and _room(target) not in (CORE, _room(module))
        if any(part.startswith("_") for part in target.split("."))
    }
    listed = _listed("private_imports.txt")
    assert seen - listed == set(), "import it from its package, or make it public there"
    assert listed - seen == set(), "gone: delete these lines from tests/rooms/private_imports.txt"


def test_no_modules_import_one_another_in_a_circle_but_for_those_listed():
    kept = _listed("circles.txt")
    assert all(target in EDGES.get(module, ()) for module, target in kept), (
        "gone: delete the line from tests/rooms/circles.txt"
    )
    graph = {
        module: {target for target in targets - {"attnflow"} if (module, target) not in kept}
        for module, targets in EDGES.items()
    }
    circle = None
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle is None


def test_every_line_of_the_list_of_circles_is_needed():
    kept = _listed("circles.txt")
    for spared in kept:
        graph = {
            module: {t for t in targets - {"attnflow"} if (module, t) not in kept - {spared}}
            for module, targets in EDGES.items()
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError:
            continue
        raise AssertionError(f"no circle without it: delete {spared} from tests/rooms/circles.txt")
