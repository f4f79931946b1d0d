"""Hooks of mkdocs: how the site shows files of the repository outside docs/."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_OUTSIDE = re.compile(r"\]\(\.\./([^)#]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace links to files that are not on the site by their path in the repository, as code."""

    def named(found: re.Match[str]) -> str:
        if not (ROOT / found[1]).exists():
            raise FileNotFoundError(found[1])
        return f"](index.md) (`{found[1]}` in the repository)"

    return _OUTSIDE.sub(named, markdown)
