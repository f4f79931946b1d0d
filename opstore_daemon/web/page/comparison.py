"""The comparison of two versions: their fields, and the files of two folders."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol.comparison import ComparedField, compare_fields
from opstore_daemon.protocol.references import Reference
from opstore_daemon.store.reports.folder_comparison import MAX_BYTES
from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page.rendering import AsOf, page
from opstore_daemon.web.page.words import readable

MAX_FILES = 200  # that are listed

_HASHES = {level: f"{level.capitalize()} subversion" for level in ("major", "minor", "patch")} | {"digest": "Digest"}
_NAMES = {"registered_at": "Registered", "filename": "File"}
_TEXTS: dict[str, Callable[[str], str]] = {
    "registered_at": lambda text: readable(datetime.fromisoformat(text)),
    "size": lambda text: f"{int(text):,} bytes",
}


class ComparisonQuery(AsOf, frozen=True, kw_only=True):
    """The two versions."""

    one: Annotated[Reference, Meta(description="The reference of a version.")]
    other: Annotated[Reference, Meta(description="The reference of another version.")]


@dataclass(frozen=True, slots=True)
class Row:
    """A field of two versions for people; None if a version does not have it. `is_hash`: it is a hash."""

    name: str
    one: str | None
    other: str | None
    is_hash: bool


def comparison(_api: Api, query: ComparisonQuery) -> Response:
    """Show what differs between two versions."""
    one, other = (store().show(reference, as_of=query.value) for reference in (query.one, query.other))
    fields = list(compare_fields(one, other))
    return page(
        "comparison.html",
        query,
        "Overview",
        one=one,
        other=other,
        differences=[_row(each) for each in fields if each.differs],
        same=[_row(each).name for each in fields if not each.differs and each.one is not None],
        files=store().compare_folders(one, other),
        most=MAX_FILES,
        most_bytes=MAX_BYTES,
    )


def _row(compared: ComparedField) -> Row:
    name = compared.field
    heading = _HASHES.get(name, _NAMES.get(name, name.capitalize()) if " " not in name else _with_key(name))
    one, other = (None if text is None else _TEXTS.get(name, str)(text) for text in (compared.one, compared.other))
    return Row(heading, one, other, name in _HASHES)


def _with_key(name: str) -> str:
    """Return the heading of a label or a library: the key stays as it is."""
    kind, _, key = name.partition(" ")
    return f"{kind.capitalize()} {key}"
