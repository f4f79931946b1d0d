"""Queries are parsed strictly into their records."""

import pytest
from werkzeug.datastructures import MultiDict

from opstore_daemon.protocol import errors
from opstore_daemon.web.framework.query_parameters import CountedPage, Page, Query, fields, read


class Several(Query, frozen=True, kw_only=True):
    names: tuple[str, ...] = ()
    needed: str


class Flag(Query, frozen=True, kw_only=True):
    flag: bool = False


def test_a_query_is_parsed_into_its_record() -> None:
    given = MultiDict([("needed", ""), ("names", "b"), ("names", "a")])
    assert read(Several, given) == Several(needed="", names=("b", "a"))
    assert read(CountedPage, MultiDict([("cursor", "7")])) == CountedPage(limit=100, cursor=7)
    assert read(Page, MultiDict()) == Page()
    assert read(Query, MultiDict()) == Query()


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        (Query, [("a", "1")], "unknown query parameter 'a'"),
        (Several, [("needed", "a\0")], "the query parameter 'needed' contains a null character"),
        (Several, [("needed", "a"), ("names", "\0")], "the query parameter 'names' contains a null character"),
        (Several, [("names", "a")], "the query parameter 'needed' is missing"),
        (Several, [("needed", "a"), ("needed", "a")], "the query parameter 'needed' may not be repeated"),
        (Page, [("limit", "0")], "limit has to be an integer from 1 to 1000, not '0'"),
        (CountedPage, [("cursor", "x")], "cursor has to be an integer from 0 to 999999999999999999, not 'x'"),
    ],
)
def test_an_invalid_query_is_refused_with_the_reason(
    kind: type[Query], given: list[tuple[str, str]], reason: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        read(kind, MultiDict(given))
    assert caught.value.details == {"reason": reason}


def test_a_query_with_an_unsupported_type_is_refused_when_it_is_declared() -> None:
    with pytest.raises(TypeError, match="Flag: the type of the parameter 'flag' is not supported"):
        fields(Flag)
