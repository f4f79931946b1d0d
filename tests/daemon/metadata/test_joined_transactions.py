"""A transaction inside of a transaction of the same thread: all of both happens, or nothing."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.tables import Op
from tests.support.figures import few


@pytest.fixture(params=["file", "memory", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    urls = {"file": f"sqlite:///{tmp_path / 'opstore.db'}", "memory": "sqlite:///:memory:"}
    database = Database(urls.get(request.param) or request.getfixturevalue("store_url"))
    database.create_all()
    yield database
    database.close()


def add(database: Database, name: str, *, ordered: bool = True) -> None:
    """Add an op in a transaction of its own, or in that of the caller."""
    with database.write(ordered=ordered) as connection:
        connection.execute(insert(Op).values(name=name, compat="exact", created_compat="exact"))


def names(database: Database) -> list[str]:
    """Return the names of all ops."""
    with database.read() as connection:
        return list(connection.execute(select(Op.name).order_by(Op.name)).scalars())


@pytest.mark.parametrize("ordered", few(2, [True, False]))
def test_a_write_inside_of_a_write_commits_with_it(database: Database, ordered: bool) -> None:
    with database.write():
        add(database, "inner", ordered=ordered)
        add(database, "second", ordered=ordered)
        assert names(database) == ["inner", "second"], "a read joins it, too"
        with database.read_between_writes() as connection:
            assert connection.execute(select(Op.name)).all()
    assert names(database) == ["inner", "second"]
    add(database, "after")
    assert names(database) == ["after", "inner", "second"]


def add_and_fail(database: Database, name: str) -> None:
    """Add an op in a transaction that fails then."""
    with database.write():
        add(database, name)
        raise ValueError(name)


def test_a_write_inside_of_a_write_is_rolled_back_with_it(database: Database) -> None:
    with pytest.raises(ValueError, match="outer"):
        add_and_fail(database, "outer")
    assert names(database) == []


def test_an_inner_write_that_failed_fails_the_outer_one_even_if_its_error_was_ignored(database: Database) -> None:
    def ignore_failure() -> None:
        with database.write():
            add(database, "outer")
            with suppress(ValueError):
                add_and_fail(database, "inner")

    with pytest.raises(ValueError, match="inner"):
        ignore_failure()
    assert names(database) == []
    add(database, "after")
    assert names(database) == ["after"]


def test_writes_without_order_nest(database: Database) -> None:
    with database.write(ordered=False):
        add(database, "inner", ordered=False)
    assert names(database) == ["inner"]


def test_an_ordered_write_can_not_begin_inside_of_one_without_order(database: Database) -> None:
    refused = pytest.raises(RuntimeError, match="inside of one without order")
    with refused, database.write(ordered=False):
        add(database, "inner")
    assert names(database) == []


def test_work_that_frees_space_joins_the_transaction_around_it(database: Database) -> None:
    with database.write():
        database.write_freeing(lambda connection: connection.execute(insert(Op).values(name="inner")).close())
        assert names(database) == ["inner"]
    assert names(database) == ["inner"]
