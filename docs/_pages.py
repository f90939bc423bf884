"""The pages of the site that nobody writes twice: made from README, notebooks and the names of the library.

Nothing of attnflow is imported: names are read from its source, so that the site needs neither JAX
nor a device.
"""

import ast
import base64
import json
import re
from pathlib import Path, PurePosixPath
from posixpath import relpath

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "attnflow"

# Files of the repository that are pages of the site.
TEXTS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks/index.md",
}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"^( *)(```+)[^`].*?^\1\2 *$|(?<!`)(`+)(?!`).+?(?<!`)\3(?!`)", re.M | re.S)


def namespaces() -> list[str]:
    """The public sub-namespaces, from `attnflow/__init__.pyi`."""
    return [alias.name for node in _imports(PACKAGE) if not node.module for alias in node.names]


def flat_names() -> dict[str, str]:
    """The names in `attnflow` itself, each with the namespace it lives in."""
    flat = [node for node in _imports(PACKAGE) if node.module]
    return {alias.name: str(node.module) for node in flat for alias in node.names}


def names_of(namespace: str) -> list[str]:
    """What a namespace offers: the names it imports as themselves, in that order."""
    return [
        alias.name
        for node in _imports(PACKAGE / namespace)
        for alias in node.names
        if alias.name == alias.asname and not alias.name.startswith("_")
    ]


def _imports(package: Path) -> list[ast.ImportFrom]:
    """The imports of a package's `__init__.py`, or of the stub beside one that imports when it is asked."""
    stub = package / "__init__.pyi"
    text = (stub if stub.exists() else package / "__init__.py").read_text()
    return [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]


def reference(namespace: str) -> str:
    """The page of one namespace: its first docstring, then every name with its docstring."""
    about = ast.get_docstring(ast.parse((PACKAGE / namespace / "__init__.py").read_text()))
    names = names_of(namespace)
    everyday = sorted(name for name, space in flat_names().items() if space == namespace)
    lines = [f"# attnflow.{namespace}", "", about or "", ""]
    if everyday:
        lines += [
            "In `attnflow` itself too: " + ", ".join(f"`{name}`" for name in everyday) + ".",
            "",
        ]
    lines += [line for name in names for line in (f"::: attnflow.{namespace}.{name}", "")]
    return "\n".join(lines)


def overview() -> str:
    """The first page of the reference: what is where, and the names that `attnflow` has flat."""
    lines = ["# Reference", "", "| namespace | what is there |", "|---|---|"]
    for space in namespaces():
        about = ast.get_docstring(ast.parse((PACKAGE / space / "__init__.py").read_text())) or ""
        lines.append(f"| [`attnflow.{space}`]({space}.md) | {about.splitlines()[0]} |")
    lines += [
        "",
        "## Everyday names",
        "",
        "These are in `attnflow` itself, so that `import attnflow as af` is enough.",
    ]
    by_space: dict[str, list[str]] = {}
    for name, space in flat_names().items():
        by_space.setdefault(space, []).append(name)
    for space, names in by_space.items():
        shown = ", ".join(f"[`{name}`][attnflow.{space}.{name}]" for name in names)
        lines += ["", f"From `attnflow.{space}`: {shown}."]
    return "\n".join(lines) + "\n"


def notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, with the outputs it was saved with, and its pictures by name."""
    text, pictures = [], {}
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        source = "".join(cell["source"]).rstrip()
        if cell["cell_type"] == "markdown":
            text.append(source)
            continue
        text.append(f"```python\n{source}\n```")
        for place, output in enumerate(cell.get("outputs", [])):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}-{number}-{place}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                text.append(f"![What the cell above draws]({name})")
            else:
                said = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
                if output.get("name") != "stderr" and said:
                    text.append(f"````text\n{said}\n````")
    return "\n\n".join(text) + "\n", pictures


def pages() -> dict[str, str | bytes]:
    """Every made page and file of the site, by its path in it."""
    made: dict[str, str | bytes] = {"reference/index.md": overview()}
    for space in namespaces():
        made[f"reference/{space}.md"] = reference(space)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, pictures = notebook(path)
        made |= {f"notebooks/{name}": data for name, data in pictures.items()}
        made[f"notebooks/{path.stem}.md"] = _linked(text, f"notebooks/{path.name}", made)
    for source, page in TEXTS.items():
        made[page] = _linked((ROOT / source).read_text(), source, made)
    return made


def _linked(text: str, source: str, made: dict[str, str | bytes]) -> str:
    """Links to files of the repository become links to pages, or to copies of the files beside them.

    A folder has no page: its name is left, as text. Code is left as it is.
    """
    page = _page_of(source)

    def link(match: re.Match) -> str:
        mark, words, target = match.groups()
        path, anchor = re.match(r"([^#]*)(#.*)?$", target).groups()
        if "://" in target or not path:
            return match[0]
        file = PurePosixPath(relpath(str(PurePosixPath(source).parent / path), "."))
        if (ROOT / file).is_dir():
            return f"`{file}`"
        goal = _page_of(str(file))
        if not goal.endswith(".md") and goal not in made:
            made[goal] = (ROOT / file).read_bytes()
        return f"{mark}[{words}]({relpath(goal, str(PurePosixPath(page).parent))}{anchor or ''})"

    parts, end = [], 0
    for code in _CODE.finditer(text):
        parts += [_LINK.sub(link, text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, _LINK.sub(link, text[end:])])


def _page_of(file: str) -> str:
    if file in TEXTS:
        return TEXTS[file]
    if file.startswith("docs/"):
        return file.removeprefix("docs/")
    if file.endswith(".ipynb"):
        return str(PurePosixPath(file).with_suffix(".md"))
    return file if file.endswith((".png", ".svg")) else f"files/{file}.txt"
