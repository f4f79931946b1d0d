"""A pipeline with its verdicts as text, as Mermaid and as a Markdown table: each edge marked by its verdict in form."""

from collections.abc import Iterator, Sequence

from opstore_cli.output import MARKS, STYLES, Cell, named
from opstore_daemon.protocol.records import Validation

_ARROWS = {"valid": "-->|valid|", "invalid": "--x|invalid|", "unknown": "-.->|unknown|"}
_WORDS = {"valid": "✅ valid", "invalid": "❌ invalid", "unknown": "❔ unknown"}


def as_text(found: Validation) -> Iterator[tuple[Cell, str]]:
    """Each op and below it the edges that lead on from it: the line, and the reason of an edge."""
    for version in found.versions:
        yield Cell(named(version.op, version.number)), ""
        edges = [edge for edge in found.edges if edge.upstream.op == version.op]
        for edge in edges:
            last = edge is edges[-1]
            target = named(edge.downstream.op, edge.downstream.number)
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
        yield f'    {nodes[version.op]}["{named(version.op, version.number)}"]'
    for edge in found.edges:
        yield f"    {nodes[edge.upstream.op]} {_ARROWS[edge.verdict]} {nodes[edge.downstream.op]}"


def as_markdown(found: Validation, title: str) -> Iterator[str]:
    """What a comment on a pull request says."""
    yield f"**{_escaped(title)}: {_WORDS[found.verdict]}**"
    yield ""
    yield from _rows([("upstream", "downstream", "verdict", "reason"), ("---", "---", "---", "---")])
    for edge in found.edges:
        ends = [f"`{named(end.op, end.number)}`" for end in (edge.upstream, edge.downstream)]
        yield from _rows([(*ends, _WORDS[edge.verdict], _escaped(edge.reason))])


def _rows(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _escaped(text: str) -> str:
    """Nothing in it is markup, a mention or the end of a cell."""
    return "".join(f"&#{ord(char)};" if char in "|<>&@*_`[]\\" else char for char in text)
