"""README, changelog and contribution guide as pages: written once, in the root."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""By the name in the root, the name in the site."""
LINK = re.compile(r"\]\((?P<target>[\w./-]+)(?P<anchor>#[\w-]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each of `PAGES`."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=LINK.sub(_moved, text)))
    return files


def _moved(link: re.Match[str]) -> str:
    """A link of a file in the root, as it reads from the site's first page."""
    target = link["target"]
    return f"]({PAGES.get(target, target.removeprefix('docs/'))}{link['anchor'] or ''})"
