"""Records as people see them: one line in a shell, a small table in a notebook, columns in a data frame.

Other people wrote the texts in a record (messages, labels, reasons). They are shown without control characters, and
escaped in HTML.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self, SupportsIndex, TypeVar, overload

import msgspec

from opstore_daemon.protocol.records.html_tables import heading, pairs_table, table
from opstore_daemon.protocol.records.short_text import MAX_TEXT, counted, identity, is_default, one_line, short_text
from opstore_daemon.protocol.sizes import format_size

R = TypeVar("R")


class Presentation:
    """The short `repr` of every record, its HTML table for notebooks, and its JSON as a dict."""

    __slots__ = ()

    ROWS: ClassVar[str | None] = None  # the field whose records are the rows of a table
    NOT_IN_TABLES: ClassVar[frozenset[str]] = frozenset()  # fields that a table of such records leaves out
    SIZES: ClassVar[frozenset[str]] = frozenset()  # fields with bytes, besides `size`

    def __dir__(self) -> list[str]:
        """Return the names that completion offers: what somebody may need of a record."""
        return [name for name in super().__dir__() if not name.isupper()]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON has it: the keys of docs/json.md, with times as text.

        Returns:
            dict: strings, numbers, booleans, None, and lists and dicts of them.
        """
        from opstore_daemon.protocol.records import wire

        found: dict[str, Any] = msgspec.json.decode(wire.encode(self))
        return found

    def _summary(self) -> str:
        """Return what matters of the record, the most important first."""
        return ", ".join(_facts(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {one_line(self._summary(), 2 * MAX_TEXT)}>"

    def _repr_html_(self) -> str:
        """Return the record as an HTML table, which Jupyter shows."""
        if self.ROWS is None:
            return pairs_table(self)
        return heading(one_line(self._summary(), 2 * MAX_TEXT)) + table(getattr(self, self.ROWS))


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
        # A key that is absent in nearly every record is no column.
        optional = {each.name for each in msgspec.structs.fields(kind) if each.default is msgspec.UNSET}
        names = [name for name in kind.__struct_fields__ if name not in optional]
        return {field.name: field for field in dataclasses.fields(dataclasses.make_dataclass("Row", names))}


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
        return table(self)


def _facts(record: Any) -> Iterator[str]:
    """Yield what matters of a record, the most important first."""
    rows = getattr(record, "ROWS", None)
    first = identity(record)
    if first:
        yield first
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name in _IDENTITY or name == rows or is_default(record, name, value):
            continue
        if name in _OWN_WORDS:
            yield short_text(value)
        elif name in _COUNTS and isinstance(value, int):
            yield counted(value, name)
        elif name in _IN_SHORT:
            yield format_size(value) if name == "size" else f"{name} {short_text(value)}"
    if rows is not None:
        yield counted(len(getattr(record, rows)), rows)


_IDENTITY = frozenset({"op", "version", "upstream", "upstream_version", "downstream", "downstream_version"})
_OWN_WORDS = frozenset({"name", "pipeline", "verdict", "basis", "digest", "path", "url", "reason", "compat", "state"})
_COUNTS = frozenset({"ops", "versions", "seconds"})
_IN_SHORT = frozenset(
    {
        "size", "damaged", "tags", "tag", "labels", "yanked", "created", "format", "versions", "latest", "ops", "holds",
        "findings", "offset", "upload", "home", "pid", "edges", "seconds", "upgrade", "expires_at",
    }
)  # fmt: skip
