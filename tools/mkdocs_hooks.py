"""Hooks of mkdocs: what stands beside docs/ in the repository is shown on the site too."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_OUTSIDE = re.compile(r"\]\(\.\./([^)#]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to what is not on the site become its path in the repository, as code."""

    def named(found: re.Match[str]) -> str:
        if not (ROOT / found[1]).exists():
            raise FileNotFoundError(found[1])
        return f"](index.md) (`{found[1]}` in the repository)"

    return _OUTSIDE.sub(named, markdown)
