"""A pipeline and its verdicts as text, as a Mermaid flowchart and as a Markdown table.

Text of users is escaped, so that it is shown literally: neither Mermaid (which reads Markdown in its labels) nor a
Markdown renderer finds markup, a link, a mention or the end of a cell in it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from opstore_cli.output.cells import STYLES, Cell, marked_verdict
from opstore_daemon.protocol.records import EdgeVerdict, Validation
from opstore_daemon.protocol.records.runs import command_text
from opstore_daemon.protocol.records.short_text import one_line
from opstore_daemon.protocol.reference_text import format_reference

_ARROWS = {"valid": "-->", "invalid": "--x", "unknown": "-.->", "not-validated": "-.-x"}
_SPECIAL = re.compile(r"[^0-9A-Za-z-]")
_WORDS = {"valid": "✅ valid", "invalid": "❌ invalid", "unknown": "❔ unknown", "not-validated": "🚧 invalid"}


def draw_text(validation: Validation) -> Iterator[tuple[Cell, str]]:
    """Yield each op, and below it its outgoing edges: the line and, for an edge, the reason of its verdict."""
    for version in validation.versions:
        yield Cell(format_reference(version.op, version.version)), ""
        edges = [edge for edge in validation.edges if edge.upstream.op == version.op]
        for edge in edges:
            last = edge is edges[-1]
            target = format_reference(edge.downstream.op, edge.downstream.version)
            mark = marked_verdict(edge.verdict, edge.basis)
            yield (
                Cell(
                    f"  {edge.verdict} ({edge.basis}) -> {target}",
                    f"{'└' if last else '├'}─ {mark} ({edge.basis}) → {target}",
                    STYLES[edge.verdict],
                ),
                edge.reason,
            )


def draw_mermaid(validation: Validation) -> Iterator[str]:
    """Yield the lines of a Mermaid flowchart (mermaid.js.org/syntax/flowchart.html)."""
    nodes = {version.op: f"op{place}" for place, version in enumerate(validation.versions)}
    yield "flowchart LR"
    for version in validation.versions:
        yield f'    {nodes[version.op]}["{_label(format_reference(version.op, version.version))}"]'
    for edge in validation.edges:
        arrow = f"{_of(_ARROWS, edge)}|{edge.verdict}, {edge.basis}|"
        yield f"    {nodes[edge.upstream.op]} {arrow} {nodes[edge.downstream.op]}"


def draw_markdown(validation: Validation, title: str) -> Iterator[str]:
    """Yield the lines of a Markdown document for a comment on a pull request: the verdict and a table of the edges."""
    yield f"**{_code(title)}: {_WORDS[validation.verdict]}**"
    yield ""
    if validation.pipeline is not None:
        yield _set_line(validation)
        yield ""
    yield from _rows([("upstream", "downstream", "verdict", "basis", "reason"), ("---",) * 5])
    for edge in validation.edges:
        ends = [_code(format_reference(end.op, end.version)) for end in (edge.upstream, edge.downstream)]
        word = "⚠️ valid" if edge.verdict == "valid" and edge.basis == "environment" else _of(_WORDS, edge)
        yield from _rows([(*ends, word, edge.basis, _code(edge.reason))])
    if validation.uncompared:
        yield ""
        names = ", ".join(_code(str(version)) for version in validation.uncompared)
        yield f"Not compared, as they record no libraries: {names}"


def _set_line(validation: Validation) -> str:
    """Return the line that says whether exactly these versions were run together."""
    whole, run = validation.exact_set, validation.run
    if whole is not None:
        return f"**Exactly these versions: {_WORDS[whole.verdict]}** ({whole.basis}): {_code(whole.reason)}"
    if run is None:
        return "No run says whether exactly these versions work together."
    why = "" if run.result == "passed" else f" ({_code(one_line(run.reason))})"
    return f"Run {run.position} {run.result} with exactly these versions: {_code(command_text(run.command))}{why}"


def _of(signs: Mapping[str, str], edge: EdgeVerdict) -> str:
    """Return the sign of the edge's basis if it has one of its own, else of its verdict."""
    return signs.get(edge.basis, signs[edge.verdict])


def _rows(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _label(text: str) -> str:
    """Return the text with special characters as entity codes, which Mermaid decodes after parsing."""
    return _SPECIAL.sub(lambda match: f"#{ord(match[0])};", text)


def _code(text: str) -> str:
    """Return the text as inline code: GitHub finds mail addresses and mentions in entities too.

    A bar stays outside of the code, where it would end the cell.
    """
    return "&#124;".join(_span(piece) for piece in text.split("|"))


def _span(text: str) -> str:
    """Return the text between more backticks than it has in a row.

    Markdown strips one blank at both ends, hence the padding.
    """
    if not text.strip(" "):
        return text
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if {text[0], text[-1]} & {"`", " "} else ""
    return f"{fence}{pad}{text}{pad}{fence}"
