"""Names mean one thing: no class is called what another is. Public functions are in tests/test_project.py."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "attnflow"


def test_no_class_is_called_what_another_is():
    """Of all of attnflow, the checker too; a name with an underscore may come again in files of one room."""
    homes = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(path.relative_to(PACKAGE))
    assert len(homes) > 400
    twice = {}
    for name, paths in homes.items():
        places = {p.parts[0] for p in paths} if name.startswith("_") else paths
        if len(places) > 1:
            twice[name] = [str(p) for p in paths]
    assert twice == {}
