"""Graphs as Markdown and Mermaid show user text literally."""

import html
import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from opstore_cli.output import graph
from opstore_cli.output.escaping import escape_controls
from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, Validation

READER = MarkdownIt("commonmark").enable("table")


def validation(reason: str = "", op: str = "pca") -> Validation:
    ends = OpVersion(op=op, version="1.0.0"), OpVersion(op="forest", version="2.0.0")
    edge = EdgeVerdict(upstream=ends[0], downstream=ends[1], verdict="invalid", basis="not-validated", reason=reason)
    return Validation(verdict="invalid", edges=(edge,), versions=ends)


def cells(markdown: str) -> list[list[Token]]:
    """Return the tokens of each cell of the table, without its header."""
    tokens = READER.parse(markdown)
    found = [token.children or [] for before, token in itertools.pairwise(tokens) if before.type == "td_open"]
    assert len(found) == 5
    return found


def markdown(found: Validation, title: str = "churn") -> str:
    return "".join(f"{escape_controls(line)}\n" for line in graph.draw_markdown(found, title))


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("`|\\&;<>@. \n"), max_size=30))
@example("see www.example.com, https://example.com or a.b@example.com")
@example("@somebody, #12, :smile: and *that* <b>of</b> [all](x) &amp; $1$")
@example("C:\\|`` ` ``|")
@example("||")
@example(" ")
@example("` `")
def test_markdown_renders_any_text_literally(text: str) -> None:
    reason = cells(markdown(validation(reason=text)))[4]
    assert "".join(token.content for token in reason).strip() == escape_controls(text).strip()
    for token in reason:
        # Outside of code GitHub interprets more than standard Markdown.
        assert token.type == "code_inline" or not token.content.strip("| "), token


@pytest.mark.parametrize("op", ["www.example.com", "a.b", "snake_case__name", "a-b"])
def test_markdown_renders_a_name_as_code(op: str) -> None:
    text = markdown(validation(op=op), op)
    assert text.startswith(f"**`{op}`: ❌ invalid**\n")
    assert [(token.type, token.content) for token in cells(text)[0]] == [("code_inline", f"{op}@1.0.0")]


@pytest.mark.parametrize("op", ["www.example.com", "a.b", "snake_case__name", "end", "1.-a"])
def test_mermaid_labels_contain_no_markup(op: str) -> None:
    _, node, *_ = graph.draw_mermaid(validation(op=op))
    label = node.removeprefix('    op0["').removesuffix('"]')
    assert re.fullmatch(r"(?:[0-9A-Za-z-]|#[0-9]+;)+", label)
    assert html.unescape(label.replace("#", "&#")) == f"{op}@1.0.0"
