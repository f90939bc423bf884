"""The site: no public name and no known answer is without a place in it, and its links lead somewhere."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

import attnflow as af

ROOT = Path(__file__).parent.parent.parent


def _pages_module():
    spec = importlib.util.spec_from_file_location("_pages", ROOT / "docs" / "_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = _pages_module()


@pytest.fixture(scope="module")
def site() -> dict[str, str | bytes]:
    return PAGES.pages()


@pytest.mark.parametrize("namespace", PAGES.namespaces())
def test_every_public_name_is_on_the_page_of_its_namespace(namespace, site):
    module = importlib.import_module(f"attnflow.{namespace}")
    public = {
        name for name in dir(module) if not name.startswith("_") and name in _as_themselves(module)
    }
    assert public
    page = site[f"reference/{namespace}.md"]
    shown = re.findall(rf"^::: attnflow\.{namespace}\.(\w+)$", page, re.M)
    assert sorted(shown) == sorted(public)


def _as_themselves(module) -> set[str]:
    """Names that the module's own text imports `as` themselves, or lists in `__all__`."""
    text = Path(module.__file__).read_text()
    return {*re.findall(r"\b(\w+) as \1\b", text), *getattr(module, "__all__", ())}


def test_every_everyday_name_leads_to_the_page_where_it_lives(site):
    links = dict(re.findall(r"\[`(\w+)`\]\[attnflow\.(\w+)\.\1\]", site["reference/index.md"]))
    assert set(af.__all__) == {"__version__", *links, *PAGES.namespaces()}
    for name, namespace in links.items():
        assert getattr(af, name) is getattr(getattr(af, namespace), name)


def test_pages_that_are_made_link_to_pages_that_are_there(site):
    hand_written = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    there = hand_written | set(site)
    lost = [
        (page, target)
        for page, text in site.items()
        if isinstance(text, str)
        for target in re.findall(r"\]\((?!https?:)([^)\s#]+)[^)]*\)", PAGES._CODE.sub("", text))
        if PAGES.relpath(f"{Path(page).parent.as_posix()}/{target}", ".") not in there
    ]
    assert lost == []


def test_each_made_page_is_in_the_menu(site):
    menu = (ROOT / "mkdocs.yml").read_text()
    made = [page for page in site if page.endswith(".md")]
    assert len(made) > 25
    assert [page for page in made if page not in menu] == []


def test_a_known_answer_that_a_test_names_is_on_the_page_of_known_answers():
    page = (ROOT / "docs" / "conformance.md").read_text()
    on_page = re.findall(r"^\*\*K(\d+)\.\*\*", page, re.M)
    assert on_page == [str(k) for k in range(1, 20)]
    named = {
        number
        for path in (ROOT / "tests").rglob("*.py")
        if path != Path(__file__)
        for number in re.findall(r"\bK(\d+)\b|\btest_k(\d+)_", path.read_text())
    }
    numbers = {a or b for a, b in named}
    assert len(numbers) > 15
    assert numbers <= set(on_page)


def test_ci_builds_the_site_and_takes_a_broken_reference_for_an_error():
    assert '"$venv/bin/mkdocs" build --strict' in (ROOT / ".ci" / "run").read_text()
