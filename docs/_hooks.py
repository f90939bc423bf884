"""What MkDocs does on the way: pages that are made, formulae as MathML, and a check that no name is missing."""

import html
import re
import sys
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import _pages

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


@event_priority(100)  # before the plugins, which look at what pages there are
def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """The made pages join those of the folder."""
    for path, content in _pages.pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_content(content: str, **_: object) -> str:
    """LaTeX becomes MathML, which browsers draw by themselves: no script, nothing to download."""

    def formula(match: re.Match) -> str:
        latex = html.unescape(match[2])
        display = "block" if match[1] == "div" else "inline"
        drawn = convert(re.sub(r"\\arg\b", r"\\operatorname{arg}", latex), display=display)
        unknown = re.search(r"\\[A-Za-z]+", html.unescape(drawn))
        if unknown:
            raise PluginError(f"The formula ${latex}$ has {unknown[0]}, which cannot be drawn.")
        return drawn

    return _FORMULA.sub(formula, content)


def on_post_build(*, config: MkDocsConfig) -> None:
    """Every public name has a place in the site, or the build fails."""
    built = {
        space: (Path(config.site_dir) / "reference" / space / "index.html").read_text()
        for space in _pages.namespaces()
    }
    missing = [
        f"attnflow.{space}.{name}"
        for space, page in built.items()
        for name in _pages.names_of(space)
        if f'id="attnflow.{space}.{name}"' not in page
    ]
    if missing:
        raise PluginError(f"Public names without a place in the reference: {', '.join(missing)}.")
