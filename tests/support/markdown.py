"""What the tests of the documents read in them: headings, links, code blocks."""

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
    """The document as it is called from the top of the repository."""
    return path.relative_to(ROOT).as_posix()


def blocks(text: str, *languages: str) -> list[Block]:
    """The fenced blocks in these languages, in order."""
    return [
        Block(
            found[1], found[2], text.count("\n", 0, found.start()) + 1, _NOT_RUN.search(text[: found.start()]) is None
        )
        for found in _FENCE.finditer(text)
        if found[1] in languages
    ]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Where the links lead."""
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """The anchors that a forge makes of the headings."""
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
    """What stands between single backticks."""
    yield from re.findall(r"`([^`\n]+)`", prose(text))
