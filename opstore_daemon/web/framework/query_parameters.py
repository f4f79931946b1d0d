"""The parameters of queries: each query is a record, read strictly, since a typo must not widen an answer."""

import functools
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from msgspec import inspect as types
from werkzeug.datastructures import MultiDict

from opstore_daemon.protocol import errors, limits
from opstore_daemon.web.guards import HIGHEST_COUNT, parse_count

Q = TypeVar("Q", bound="Query")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """No parameter. One that is a tuple may come several times, one without a default has to come."""


Limit = Annotated[int, Meta(ge=1, le=limits.MAX_LIMIT, description="How many rows the page has at most.")]
_BEGINS = "Where the page begins, as the `next_cursor` before it said."


AsOf = Annotated[str, Meta(description="The answer as it was: a position of the journal, or a time (RFC 3339).")]


class Page(Query, frozen=True, kw_only=True):
    """A page of things by name."""

    limit: Limit = 100
    cursor: Annotated[str, Meta(description=_BEGINS)] = ""


class CountedPage(Query, frozen=True, kw_only=True):
    """A page of things by sequence or position, the newest first."""

    limit: Limit = 100
    cursor: Annotated[int, Meta(ge=0, le=HIGHEST_COUNT, description=_BEGINS)] | None = None


@functools.cache
def fields(kind: type[Query]) -> dict[str, types.Field]:
    """The parameters by their names; raises TypeError for one that is no text, count or list of texts."""
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)  # noqa: S101 - every query is one
    for field in info.fields:
        if not isinstance(_kind(field), types.StrType | types.IntType | types.VarTupleType):
            raise TypeError(f"no parameter can be read as {field.encode_name!r} of {kind.__name__}")
    return {field.encode_name: field for field in info.fields}


def read(kind: type[Q], given: MultiDict[str, str]) -> Q:
    """The query's parameters; raises InvalidRequest for an unknown, missing, repeated or malformed one."""
    known = fields(kind)
    for name in given:
        if name not in known:
            raise errors.InvalidRequest(reason=f"there is no parameter {name[:50]!r} here")
    for name, field in known.items():
        if field.required and name not in given:
            raise errors.InvalidRequest(reason=f"the parameter {name!r} is missing")
    return kind(**{name: _value(field, given.getlist(name)) for name, field in known.items() if name in given})


def _value(field: types.Field, values: list[str]) -> object:
    kind = _kind(field)
    if isinstance(kind, types.VarTupleType):
        return tuple(values)
    if len(values) > 1:
        raise errors.InvalidRequest(reason=f"the parameter {field.encode_name!r} comes twice")
    if isinstance(kind, types.IntType):
        return parse_count(values[0], field.encode_name, kind.ge or 0, kind.le or HIGHEST_COUNT)
    return values[0]


def _kind(field: types.Field) -> types.Type:
    """What a parameter is that comes."""
    several = field.type.types if isinstance(field.type, types.UnionType) else (field.type,)
    (kind,) = (one for one in several if not isinstance(one, types.NoneType))
    return kind.type if isinstance(kind, types.Metadata) else kind
