"""Records as people see them: one line in a shell, a small table in a notebook, columns in a data frame.

Other people wrote the texts in a record (messages, labels, reasons). They are shown without control characters, and
escaped in HTML.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, ClassVar, Self, SupportsIndex, TypeVar, overload

import msgspec

from opstore_daemon.protocol.reference_text import format_reference

R = TypeVar("R")

MAX_TEXT = 80  # characters of a text in one line or in a cell
MAX_ROWS = 100  # of a table
_DIGITS = 8  # of a digest; a reference takes as few
_HIDDEN = frozenset({"subversions", "next_cursor", "picked_yanked"})  # in tables, not in `to_dict`


class Presentation:
    """The short `repr` of every record, its HTML table for notebooks, and its JSON as a dict."""

    __slots__ = ()

    ROWS: ClassVar[str | None] = None  # the field whose records are the rows of a table

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON has it: the keys of docs/json.md, with times as text.

        Returns:
            dict: strings, numbers, booleans, None, and lists and dicts of them.
        """
        from opstore_daemon.protocol.records import wire

        found: dict[str, Any] = msgspec.json.decode(wire.encode(self))
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {_line(', '.join(_facts(self)), 2 * MAX_TEXT)}>"

    def _repr_html_(self) -> str:
        """Return the record as an HTML table, which Jupyter shows."""
        if self.ROWS is None:
            return _pairs_table(self)
        return f"<p>{escape(_line(', '.join(_facts(self)), 2 * MAX_TEXT))}</p>{_table(getattr(self, self.ROWS))}"


class Columns:
    """A record that is a row of a table: `pandas.DataFrame` and `dataclasses.asdict` take it as a dataclass."""

    __slots__ = ()

    IS_CELL: ClassVar[bool] = False  # it is shown as one value, which is its text

    @classmethod
    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Not assigned in this class: it is no dataclass, and type checkers shall not take a record for one.
        setattr(cls, "__dataclass_fields__", _Fields())  # noqa: B010
        setattr(cls, "__dataclass_params__", _PARAMETERS)  # noqa: B010


class _Fields:
    """The fields of a record as those of a dataclass. Made on first access: they are not known before."""

    def __get__(self, _record: object, kind: type[msgspec.Struct]) -> dict[str, Any]:
        if getattr(kind, "IS_CELL", False):
            raise AttributeError("__dataclass_fields__")
        return {
            field.name: field for field in dataclasses.fields(dataclasses.make_dataclass("Row", kind.__struct_fields__))
        }


_PARAMETERS: Any = vars(dataclasses.make_dataclass("Row", [], repr=False, frozen=True))["__dataclass_params__"]


class Rows(Presentation):
    """A record that is a sequence of the records in its field ROWS."""

    __slots__ = ()

    @property
    def _rows(self) -> Sequence[Any]:
        assert self.ROWS is not None, "a subclass sets it"  # noqa: S101
        rows: Sequence[Any] = getattr(self, self.ROWS)
        return rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def index(self, record: Any, *bounds: int) -> int:
        """Return the place of the record. Raises ValueError."""
        return self._rows.index(record, *bounds)

    def count(self, record: Any) -> int:
        """Return how often the record is in it."""
        return self._rows.count(record)


Sequence.register(Rows)  # for libraries that look for one, such as polars


class RecordList(list[R]):
    """A list of records. Notebooks show it as a table; `pandas.DataFrame(records)` has a column for each field."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> R: ...
    @overload
    def __getitem__(self, index: slice, /) -> Self: ...
    def __getitem__(self, index: Any, /) -> Any:
        found = super().__getitem__(index)
        return type(self)(found) if isinstance(index, slice) else found

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the records as JSON has them, one dict each.

        Returns:
            list of dict: see `to_dict` of a record.
        """
        return [record.to_dict() for record in self]  # type: ignore[attr-defined]

    def _repr_html_(self) -> str:
        """Return the records as an HTML table, which Jupyter shows."""
        return _table(self)


def _facts(record: Any) -> Iterator[str]:
    """Yield what matters of a record, the most important first."""
    fields: tuple[str, ...] = record.__struct_fields__
    rows = getattr(record, "ROWS", None)
    first = _identity(record)
    if first:
        yield first
    for name in fields:
        value = getattr(record, name)
        if name in _IDENTITY or name in _HIDDEN or name == rows or _is_default(record, name, value):
            continue
        if name in _OWN_WORDS:
            yield _text(value)
        elif name in _IN_SHORT:
            yield f"{value} bytes" if name == "size" else f"{name} {_text(value)}"
    if rows is not None:
        count = len(getattr(record, rows))
        yield f"{count} {rows if count != 1 else rows.removesuffix('s')}"


_IDENTITY = frozenset({"op", "version", "upstream", "upstream_version", "downstream", "downstream_version"})
_OWN_WORDS = frozenset({"name", "pipeline", "verdict", "basis", "digest", "path", "url", "reason", "compat", "state"})
_IN_SHORT = frozenset(
    {
        "size", "tags", "tag", "labels", "yanked", "created", "format", "versions", "latest", "ops", "holds",
        "findings", "offset", "upload", "home", "pid", "edges", "seconds", "upgrade", "expires_at",
    }
)  # fmt: skip


def _identity(record: Any) -> str:
    """Return `pca@1.0.0`, `pca@1.0.0 -> forest@2.0.0`, or an empty text."""
    if hasattr(record, "downstream"):
        ends = (
            (record.upstream, getattr(record, "upstream_version", None)),
            (
                record.downstream,
                getattr(record, "downstream_version", None),
            ),
        )
        return " -> ".join(format_reference(str(op), number) for op, number in ends)
    if hasattr(record, "op"):
        return format_reference(record.op, getattr(record, "version", None))
    return _text(record.version) if hasattr(record, "version") else ""


def _is_default(record: Any, name: str, value: object) -> bool:
    if value is None or value == () or value == {}:
        return True
    defaults = dict(zip(reversed(record.__struct_fields__), reversed(record.__struct_defaults__), strict=False))
    return name in defaults and value is defaults[name]


def _text(value: object) -> str:
    """Return a value as a short text on one line."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if isinstance(value, str) and value.startswith("sha256:"):
        return value[: len("sha256:") + _DIGITS]
    if isinstance(value, Mapping):
        return _line(", ".join(f"{key}={each}" for key, each in value.items()))
    if isinstance(value, tuple | list):
        return _line(" ".join(_within(each) for each in value))
    return _line(str(value))


def _within(value: object) -> str:
    """Return an item of a sequence: an edge is a pair of names."""
    return "->".join(map(str, value)) if isinstance(value, tuple) else _text(value)


def _line(text: str, limit: int = MAX_TEXT) -> str:
    printable = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[: limit + 1])
    return printable if len(printable) <= limit else printable[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _pairs_table(record: Any) -> str:
    fields = [(name, getattr(record, name)) for name in record.__struct_fields__]
    shown = [(name, value) for name, value in fields if name not in _HIDDEN and value not in (None, (), {})]
    rows = "".join(f"<tr><th>{escape(name)}</th>{_cell(value)}</tr>" for name, value in shown)
    return f"<table><caption>{escape(_identity(record))}</caption><tbody>{rows}</tbody></table>"


def _table(records: Iterable[Any]) -> str:
    """Return a table with a row for each record, and a column for each field that any of them has."""
    every = list(records)
    if not every:
        return "<p>none</p>"
    names = [name for name in every[0].__struct_fields__ if name not in _HIDDEN]
    columns = [name for name in names if any(getattr(each, name, None) not in (None, (), {}) for each in every)]
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(_cell(getattr(each, name, None)) for name in columns)}</tr>" for each in every[:MAX_ROWS]
    )
    more = f"<p>and {len(every) - MAX_ROWS} more</p>" if len(every) > MAX_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: object) -> str:
    if value is None:
        return "<td></td>"
    shown = _text(value)
    whole = f' title="{escape(value)}"' if isinstance(value, str) and value.startswith("sha256:") else ""
    return f"<td{whole}>{escape(shown)}</td>"
