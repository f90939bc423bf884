"""Names mean one thing: no class is called what another is, and public functions only where the list says why."""

import ast
import importlib
import re
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "attnflow"

# Functions that are told apart by their room, as users call them. This list may only become shorter.
BY_THEIR_ROOM = {
    "branch": "plot.branch draws what attractors.branch found",
    "clusters": "language.clusters of a loop's end; observables.clusters, af.clusters, of tokens",
    "counterexample": "plot.counterexample draws what certify.counterexample proves",
    "equilibrium": "certify.equilibrium proves what theory.equilibrium solves for",
    "heads": "plot.heads draws the heads of language.heads",
    "load": "language.load a transformer; records.load, af.load, what af.save wrote",
    "looped": "plot.looped draws what language.looped ran",
    "run": "ensemble.run of many starts; sweep.run of a study",
    "save": "plot.save a figure; records.save, af.save, a module",
}


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


def test_a_public_name_is_one_thing_unless_its_room_tells_it_apart():
    things = defaultdict(dict)
    for listing in [*PACKAGE.glob("*/__init__.py"), *PACKAGE.glob("*/__init__.pyi")]:
        room = listing.parent.name
        for name in re.findall(r"\b([a-zA-Z]\w*) as \1\b", listing.read_text()):
            things[name][room] = getattr(importlib.import_module(f"attnflow.{room}"), name)
    assert len(things) > 400
    twice = {name for name, rooms in things.items() if len(set(map(id, rooms.values()))) > 1}
    assert twice == set(BY_THEIR_ROOM)
