"""A pipeline with its verdicts as text, as Mermaid and as a Markdown table: each edge marked by its verdict in form.

What users wrote is shown as it is: neither Mermaid, which reads Markdown in its labels, nor whatever shows the Markdown
finds markup, a link, a mention or the end of a cell in it.
"""

import re
from collections.abc import Iterator, Sequence

from opstore_cli.output.cells import MARKS, STYLES, Cell, format_reference
from opstore_daemon.protocol.records import Validation

_ARROWS = {"valid": "-->|valid|", "invalid": "--x|invalid|", "unknown": "-.->|unknown|"}
_READ_BY_MERMAID = re.compile(r"[^0-9A-Za-z-]")
_WORDS = {"valid": "✅ valid", "invalid": "❌ invalid", "unknown": "❔ unknown"}


def as_text(found: Validation) -> Iterator[tuple[Cell, str]]:
    """Each op and below it the edges that lead on from it: the line, and the reason of an edge."""
    for version in found.versions:
        yield Cell(format_reference(version.op, version.version)), ""
        edges = [edge for edge in found.edges if edge.upstream.op == version.op]
        for edge in edges:
            last = edge is edges[-1]
            target = format_reference(edge.downstream.op, edge.downstream.version)
            plain = f"  {edge.verdict} -> {target}"
            yield (
                Cell(plain, f"{'└' if last else '├'}─ {MARKS[edge.verdict]} → {target}", STYLES[edge.verdict]),
                edge.reason,
            )


def as_mermaid(found: Validation) -> Iterator[str]:
    """A Mermaid flowchart (mermaid.js.org/syntax/flowchart.html)."""
    nodes = {version.op: f"op{place}" for place, version in enumerate(found.versions)}
    yield "flowchart LR"
    for version in found.versions:
        yield f'    {nodes[version.op]}["{_label(format_reference(version.op, version.version))}"]'
    for edge in found.edges:
        yield f"    {nodes[edge.upstream.op]} {_ARROWS[edge.verdict]} {nodes[edge.downstream.op]}"


def as_markdown(found: Validation, title: str) -> Iterator[str]:
    """What a comment on a pull request says."""
    yield f"**{_code(title)}: {_WORDS[found.verdict]}**"
    yield ""
    yield from _rows([("upstream", "downstream", "verdict", "reason"), ("---", "---", "---", "---")])
    for edge in found.edges:
        ends = [_code(format_reference(end.op, end.version)) for end in (edge.upstream, edge.downstream)]
        yield from _rows([(*ends, _WORDS[edge.verdict], _code(edge.reason))])


def _rows(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _label(text: str) -> str:
    """The text in a label: as entity codes, which Mermaid decodes once it has read the rest."""
    return _READ_BY_MERMAID.sub(lambda found: f"#{ord(found[0])};", text)


def _code(text: str) -> str:
    """The text in a cell: as code, since GitHub finds mail addresses and mentions also in what is written as entities.

    Only a bar can't be in the code: it would end the cell.
    """
    return "&#124;".join(_span(piece) for piece in text.split("|"))


def _span(text: str) -> str:
    """The text between more backticks than come in a row in it; of a blank at both ends one is not shown."""
    if not text.strip(" "):
        return text
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if {text[0], text[-1]} & {"`", " "} else ""
    return f"{fence}{pad}{text}{pad}{fence}"
