"""Query parameters: each query is a record that is read strictly, since a typo must not widen a result."""

import functools
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from msgspec import inspect as types
from werkzeug.datastructures import MultiDict

from opstore_daemon.protocol import errors, limits, records
from opstore_daemon.protocol.references import Reference
from opstore_daemon.web.request_values import MAX_INTEGER, parse_count

Q = TypeVar("Q", bound="Query")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """No parameters. In a subclass, a tuple may be given several times; a field without a default is required."""


Limit = Annotated[int, Meta(ge=1, le=limits.MAX_LIMIT, description="The maximum number of rows of the page.")]
CURSOR = "Where the page begins: the `next_cursor` of the page before."

AsOf = Annotated[
    str, Meta(description="A position of the journal or a time (RFC 3339): the result as of then, instead of now.")
]

Use = Annotated[
    tuple[Reference, ...], Meta(description="References of versions to take in place of the latest ones of their ops.")
]


class Page(Query, frozen=True, kw_only=True):
    """A page of a list in the order of names."""

    limit: Limit = 100
    cursor: Annotated[str, Meta(description=CURSOR)] = ""


class CountedPage(Query, frozen=True, kw_only=True):
    """A page of a list by sequence or position, newest first."""

    limit: Limit = 100
    cursor: Annotated[int, Meta(ge=0, le=MAX_INTEGER, description=CURSOR)] | None = None


_SUPPORTED = types.StrType | types.LiteralType | types.IntType | types.VarTupleType | types.CustomType


@functools.cache
def fields(query: type[Query]) -> dict[str, types.Field]:
    """Return the parameters by name.

    Raises TypeError for one that is not a text, a word of several, an integer or a list of texts.
    """
    info = types.type_info(query)
    assert isinstance(info, types.StructType)  # noqa: S101 - every query is one
    for field in info.fields:
        if not isinstance(_type(field), _SUPPORTED):
            raise TypeError(f"{query.__name__}: the type of the parameter {field.encode_name!r} is not supported")
    return {field.encode_name: field for field in info.fields}


def read(query: type[Q], arguments: MultiDict[str, str]) -> Q:
    """Return the query's record; raises InvalidRequest for an unknown, missing, repeated or malformed parameter."""
    known = fields(query)
    for name in arguments:
        if name not in known:
            raise errors.InvalidRequest(reason=f"unknown query parameter {name[:50]!r}")
    for name, field in known.items():
        if field.required and name not in arguments:
            raise errors.InvalidRequest(reason=f"the query parameter {name!r} is missing")
    return query(**{name: _value(field, arguments.getlist(name)) for name, field in known.items() if name in arguments})


def _value(field: types.Field, values: list[str]) -> object:
    type_ = _type(field)
    if isinstance(type_, types.VarTupleType):
        return tuple(_parse_typed(_plain(type_.item_type), value, field.encode_name) for value in values)
    if len(values) > 1:
        raise errors.InvalidRequest(reason=f"the query parameter {field.encode_name!r} may not be repeated")
    if isinstance(type_, types.IntType):
        return parse_count(values[0], field.encode_name, type_.ge or 0, type_.le or MAX_INTEGER)
    if isinstance(type_, types.LiteralType) and values[0] not in type_.values:
        words = ", ".join(map(str, type_.values))
        reason = f"the query parameter {field.encode_name!r} has to be one of {words}, not {values[0][:50]!r}"
        raise errors.InvalidRequest(reason=reason)
    return _parse_typed(type_, values[0], field.encode_name)


def _parse_typed(type_: types.Type, value: str, name: str) -> object:
    """Return the value of a typed parameter (`OpName`, ...), or the text, in which no database looks for a NUL."""
    if isinstance(type_, types.CustomType):
        return records.parse(type_.cls, value)
    if "\0" in value:
        raise errors.InvalidRequest(reason=f"the query parameter {name!r} contains a null character")
    return value


def _type(field: types.Field) -> types.Type:
    """Return the type of the parameter when it is given: without None and metadata."""
    union = field.type.types if isinstance(field.type, types.UnionType) else (field.type,)
    (type_,) = (one for one in union if not isinstance(one, types.NoneType))
    return _plain(type_)


def _plain(type_: types.Type) -> types.Type:
    return type_.type if isinstance(type_, types.Metadata) else type_
