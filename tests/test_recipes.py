"""Every recipe in CONTRIBUTING.md runs as it is printed."""

import dataclasses
import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import attnflow as af
from attnflow.theorems import _verdicts

ROOT = Path(__file__).parent.parent
RECIPES = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Recipes\n")[2]
PARTS = dict(re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", RECIPES, re.M | re.S))
WANTED = ("mask", "kernel", "normalisation", "schedule", "observable", "theorem", "claim", "figure")


@pytest.fixture(scope="module")
def names():
    before = dict(_verdicts._THEOREMS)
    yield {
        "af": af,
        "dataclasses": dataclasses,
        "eqx": eqx,
        "jax": jax,
        "jnp": jnp,
        "__name__": "recipes",
    }
    _verdicts._THEOREMS.clear()
    _verdicts._THEOREMS.update(before)


@pytest.mark.parametrize("title", PARTS)
def test_a_recipe_runs_as_printed(title, names):
    blocks = re.findall(r"^```python\n(.*?)^```", PARTS[title], re.M | re.S)
    assert blocks
    for block in blocks:
        assert "assert " in block
        sphere = af.Sphere(3)
        names |= {"sphere": sphere, "y0": sphere.random(jax.random.key(0), (8,))}
        names.setdefault("field", af.AttentionField(sphere, P=jnp.eye(3), mask="causal"))
        exec(block, names)


def test_a_claim_that_can_be_certified_stands_in_two_files():
    """Whole, with its words, in a file of claims; and in the checker's own table."""
    from attnflow.checker.equilibria import CLAIMS

    sources = {p: p.read_text() for p in (ROOT / "attnflow").rglob("*.py")}
    for name in CLAIMS:
        made = re.compile(
            rf'name="{re.escape(name)}"|words\["{re.escape(name)}"\]|"{re.escape(name)}": Refutable\('
        )
        files = {p.name for p, text in sources.items() if made.search(text)}
        assert len(files) == 2
        assert files - {"claims.py"} <= {"_theorems.py", "_extensions.py"}


def test_there_is_a_recipe_for_each_kind_of_thing():
    titles = " ".join(PARTS)
    assert [kind for kind in (*WANTED, "architecture") if kind not in titles] == []


def test_each_file_that_a_recipe_or_the_walk_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rooms = {path.name for path in (ROOT / "attnflow").iterdir() if path.is_dir()}
    paths = [p for p in re.findall(r"`([a-z]+/\w+\.py)", text) if p.split("/")[0] in rooms]
    assert len(paths) > 25
    assert [path for path in paths if not (ROOT / "attnflow" / path).exists()] == []
