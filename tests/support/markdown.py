"""Parse the Markdown documents for their tests: headings, links, code blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", *DOCS]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NOT_RUN = re.compile(r"<!-- not run: .+ -->\n+\Z")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, its line in the document; `runs` unless a comment above says why not."""

    language: str
    text: str
    line: int
    runs: bool


def read(path: Path) -> str:
    return path.read_text("utf-8")


def name_of(path: Path) -> str:
    """Return the path of the document from the top of the repository."""
    return path.relative_to(ROOT).as_posix()


def blocks(text: str, *languages: str) -> list[Block]:
    """Return the fenced blocks in these languages, in order."""
    return [
        Block(
            found[1], found[2], text.count("\n", 0, found.start()) + 1, _NOT_RUN.search(text[: found.start()]) is None
        )
        for found in _FENCE.finditer(text)
        if found[1] in languages
    ]


def prose(text: str) -> str:
    """Return the text without its fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Return the targets of the links."""
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub creates for the headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        anchor, again = words, 0
        while anchor in found:
            again += 1
            anchor = f"{words}-{again}"
        found.add(anchor)
    return found


def code_spans(text: str) -> Iterator[str]:
    """Return the contents of the inline code spans."""
    yield from re.findall(r"`([^`\n]+)`", prose(text))
