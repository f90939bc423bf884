"""The project's own files agree with one another, and importing it is cheap."""

import ast
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import attnflow as af
from attnflow import claims, design

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_importing_attnflow_imports_no_numerical_library():
    heavy = ("jax", "numpy", "equinox", "diffrax", "matplotlib", "msgspec", "cyclopts")
    result = _python(f"import sys, attnflow; print([m for m in {heavy} if m in sys.modules])")
    assert result == "[]"


@pytest.mark.parametrize("name", sorted(af.__all__))
def test_every_public_name_resolves(name):
    assert getattr(af, name) is not None
    assert name in dir(af)


@pytest.mark.parametrize("module", [af, claims, design, af.search], ids=lambda m: m.__name__)
def test_a_stub_imports_each_name_as_itself_and_once(module):
    names = []
    for node in ast.parse(Path(module.__file__).with_suffix(".pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            assert node.level == (2 if module is af.search else 1)
            assert all(alias.asname == alias.name for alias in node.names)
            names += [alias.name for alias in node.names]
    assert len(set(names)) == len(names)
    assert {*names, "__version__"} == {*module.__all__, "__version__"}


def test_every_name_of_a_lazy_namespace_is_there():
    for name in af.search.__all__:
        assert getattr(af.search, name) is not None
        assert name in dir(af.search)
    with pytest.raises(AttributeError, match="attnflow.search.*attribute .falsfy"):
        af.search.falsfy  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attnflow attribute simulat"):
        af.simulat  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_the_version_is_one_and_the_changelog_and_citation_know_it():
    assert re.search(
        rf"^## {re.escape(af.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert f"version: {af.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("package", ["jax", "jaxlib"])
@pytest.mark.parametrize("version", ["0.7.0", "0.7.1", "0.10.2", "0.11.0"])
def test_known_bad_versions_of_jax_are_excluded_by_name(package, version):
    requirements = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    (requirement,) = [r for r in requirements if r.name == package]
    assert not requirement.specifier.contains(version)
    assert requirement.specifier.contains("0.10.1")


def _readme_commands() -> list[str]:
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    return [line for block in blocks for line in block.splitlines() if line and line[0] != "#"]


def test_the_readmes_examples_run_and_end_in_consensus():
    text = (ROOT / "README.md").read_text()
    one, precise, many, theory, search = re.findall(r"```python\n(.*?)```", text, re.S)
    names = {}
    exec(one, names)
    assert names["sol"].ys["E"][-1] < 1e-6
    exec(precise, names)
    assert names["sol"].y1.shape == names["y0"].shape
    assert af.misalignment(names["sol"].y1) < 1e-9
    exec(many.replace("100_000", "70"), names)
    assert names["result"].reached.all()
    exec(theory, names)
    assert names["verdicts"]["4.2"].applies is True
    assert names["watch"].check(names["sol"]).holds
    exec(search, names)
    assert (names["evidence"].status, names["evidence"].basin) == ("open", 1.0)


def test_every_file_that_the_readme_points_to_is_there():
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    within = [link for link in links if "://" not in link]
    assert len(within) > 3
    assert [link for link in within if not (ROOT / link).exists()] == []


def test_ci_installs_and_tests_as_the_readme_says():
    (command,) = [line for line in _readme_commands() if "pytest" in line]
    script = (ROOT / ".ci" / "run").read_text()
    for step in command.replace(".venv/bin/", "").split(" && ")[1:]:
        program, arguments = step.split(" ", 1)
        assert f'"$venv/bin/{program}" {arguments}' in script


def test_ci_can_be_executed():
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


_RENAMED = [
    ("search", "Consensus", "ToConsensus"),
    ("search", "STATED", "STATEMENTS"),
    ("search", "Standing", "Evaluation"),
    ("search", "earn", "verify"),
    ("search", "earn_null", "verify_null"),
    ("search", "read", "read_counterexample"),
    ("search", "standing", "evaluate"),
    ("programs", "kept", "cached"),
    ("search", "check", "check_counterexample"),
    ("sweep", "read", "read_study"),
    ("sweep", "names", "study_names"),
    ("spec", "Attention", "AttentionTable"),
    ("bench", "compare", "compare_solvers"),
    ("paper", "Claim", "PaperClaim"),
    ("language", "Block", "TransformerBlock"),
]


@pytest.mark.parametrize(("space", "old", "new"), _RENAMED)
def test_old_names_go_on_and_say_what_they_are_called_now(space, old, new):
    room = getattr(af, space)
    with pytest.warns(DeprecationWarning, match=f"{old} is called attnflow.{space}.{new} now"):
        assert getattr(room, old) is getattr(room, new)
    assert old not in dir(room)
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = room.nothing_of_that_name


def test_old_arguments_attributes_and_methods_go_on_and_say_what_they_are_called_now(monkeypatch):
    with pytest.warns(DeprecationWarning, match="`again` of start_times is called `repeats` now"):
        assert af.bench.start_times([], again=1) == []
    with pytest.raises(TypeError, match="neither"):
        af.bench.start_times([], neither=1)
    evaluation = af.search.Evaluation({}, {"solver": "Tsit5"}, "E", "minimise")
    with pytest.warns(
        DeprecationWarning, match="Evaluation.again is called Evaluation.recheck now"
    ):
        assert evaluation.again is evaluation.recheck
    optimised = object.__new__(af.search.Optimised)
    optimised.rerun = optimise = af.search.optimise
    with pytest.warns(DeprecationWarning, match="Optimised.again is called Optimised.rerun now"):
        assert optimised.again is optimise
    monkeypatch.setattr(af.search.Brief, "evaluate", lambda brief, of, **given: evaluation)
    with pytest.warns(DeprecationWarning, match="Brief.standing is called Brief.evaluate now"):
        assert af.search.Brief.read("accelerate").standing(optimised) is evaluation


# A picture of something is called as what it shows; `certify` proves what `theory` computes; `run`, `load`
# `save` and `clusters` do to one kind of thing what they do to another.
_TWICE = {
    "branch",
    "clusters",
    "counterexample",
    "equilibrium",
    "heads",
    "looped",
    "run",
    "load",
    "save",
}


def test_a_public_name_means_one_thing():
    homes = {}
    rooms = {n: getattr(af, n) for n in af.__all__}
    for room in (r for r in rooms.values() if isinstance(r, types.ModuleType)):
        for name in vars(room):
            value = getattr(room, name)
            if not name.startswith("_") and not isinstance(value, types.ModuleType):
                homes.setdefault(name, set()).add(
                    f"{value.__module__}.{name}" if callable(value) else id(value)
                )
    assert {name for name, values in homes.items() if len(values) > 1} - {"TYPE_CHECKING"} == _TWICE
