"""Records as the HTML tables that a notebook shows. Everything that somebody wrote is escaped."""

from collections.abc import Iterable
from html import escape
from typing import Any

from opstore_daemon.protocol.records.short_text import identity, is_default, short_text
from opstore_daemon.protocol.sizes import format_size

MAX_ROWS = 100  # of a table
MAX_TEXT = 300  # characters in a cell
_HIDDEN = frozenset({"subversions", "next_cursor", "picked_yanked"})  # in tables, not in `to_dict`
_SIZES = frozenset({"size", "offset", "database_size", "blobs_size"})  # bytes
_LEFT = ' style="text-align: left"'  # notebooks align cells to the right


def pairs_table(record: Any) -> str:
    """Return a table with a row for each field of the record that says something."""
    rows = "".join(
        f"<tr><th{_LEFT}>{escape(name)}</th>{_cell(record, name)}</tr>"
        for name in _fields(record)
        if not is_default(record, name, getattr(record, name))
    )
    return f"<table><caption{_LEFT}>{escape(identity(record))}</caption><tbody>{rows}</tbody></table>"


def table(records: Iterable[Any]) -> str:
    """Return a table with a row for each record, and a column for each field that says something in any of them."""
    every = list(records)
    if not every:
        return "<p>none</p>"
    columns = [
        name
        for name in _fields(every[0])
        if not all(is_default(each, name, getattr(each, name, None)) for each in every)
    ]
    head = "".join(f"<th{_LEFT}>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(_cell(each, name) for name in columns)}</tr>" for each in every[:MAX_ROWS])
    more = f"<p>and {len(every) - MAX_ROWS} more</p>" if len(every) > MAX_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def heading(text: str) -> str:
    """Return the line above a table."""
    return f"<p>{escape(text)}</p>"


def _fields(record: Any) -> list[str]:
    hidden = _HIDDEN | record.NOT_IN_TABLES
    return [name for name in record.__struct_fields__ if name not in hidden]


def _cell(record: Any, name: str) -> str:
    value = getattr(record, name, None)
    if value is None:
        return "<td></td>"
    shown, whole = short_text(value, MAX_TEXT), ""
    if isinstance(value, int) and name in _SIZES | record.SIZES:
        shown, whole = format_size(value), f"{value} bytes"
    elif isinstance(value, str) and value.startswith(shown) and value != shown:
        whole = value  # of a hash
    title = f' title="{escape(whole)}"' if whole else ""
    return f"<td{_LEFT}{title}>{escape(shown)}</td>"
