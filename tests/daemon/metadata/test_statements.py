"""Statements that are compiled once: what SQLAlchemy would answer, without asking it."""

from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Executable, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database
from opstore_daemon.metadata.statements import Statement, _compile, prepared
from opstore_daemon.metadata.tables import Journal, Op, Version, Yank
from opstore_daemon.protocol import errors
from opstore_daemon.savers import MemorySaver
from tests.support.random_bytes import random_bytes
from tests.support.statements import executed_by_sqlalchemy

OPS: list[dict[str, Any]] = [{"id": 1, "name": "pca"}, {"id": 2, "name": "lda"}, {"id": 3, "name": "svm"}]


@pytest.fixture
def filled(database: Database) -> Database:
    with database.write() as connection:
        connection.execute(insert(Op), OPS)
    return database


def test_rows_are_those_of_sqlalchemy(filled: Database) -> None:
    executable = select(Op.id, Op.name, Op.compat).where(Op.id >= bindparam("least")).order_by(Op.id).limit(2)
    with filled.read() as connection:
        told: Any = connection.execute(executable, {"least": 2}).all()
        found = Statement(executable).run(connection, {"least": 2}).all()
    assert found == told
    assert [(row.id, row.name, row.compat) for row in found] == [(2, "lda", "major"), (3, "svm", "major")]


def test_a_statement_runs_with_other_values_each_time(filled: Database) -> None:
    @prepared
    def named(*, name: str) -> Executable:
        return select(Op.id).where(Op.name == name)

    with filled.read() as connection:
        assert [named(name=each["name"]).run(connection).scalar_one() for each in OPS] == [1, 2, 3]
        assert named(name="none").run(connection).scalar_one_or_none() is None


def test_a_statement_can_change_rows(filled: Database) -> None:
    change = Statement(update(Op).where(Op.id == bindparam("which")).values(compat=bindparam("what")))
    with filled.write() as connection:
        assert change.run(connection, {"which": 1, "what": "exact"}).all() == []
    with filled.read() as connection:
        assert connection.execute(select(Op.compat).order_by(Op.id)).scalars().all() == ["exact", "major", "major"]


@pytest.mark.parametrize("what", ["a truth value", "a list"])
def test_values_that_need_a_conversion_are_converted(filled: Database, what: str) -> None:
    with filled.write() as connection:
        connection.execute(insert(Journal), [{"position": n, "at": n, "kind": "version"} for n in (1, 2)])
        numbers = {"major_number": 1, "minor_number": 0, "patch_number": 0}
        version = {"op_id": 1, "sequence": 1, "major": "a", "minor": "a", "patch": "a", "position": 1, **numbers}
        connection.execute(insert(Version), {"id": 1, "registered_at": 1, **version})
        connection.execute(insert(Yank), {"position": 2, "version_id": 1, "yanked": True, "reason": "bad"})
    asked: dict[str, tuple[Executable, dict[str, Any], list[Any]]] = {
        "a truth value": (select(Yank.yanked), {}, [True]),
        "a list": (select(Op.id).where(Op.name.in_(bindparam("names", expanding=True))), {"names": ["pca"]}, [1]),
    }
    executable, values, expected = asked[what]
    with filled.read() as connection:
        found = Statement(executable).run(connection, values).scalars().all()
    assert [(type(each), each) for each in found] == [(type(each), each) for each in expected]


def test_a_parameter_without_a_value_is_not_null(filled: Database) -> None:
    with filled.read() as connection, pytest.raises(KeyError, match="least"):
        Statement(select(Op.id).where(Op.id >= bindparam("least"))).run(connection)


def test_errors_are_those_of_sqlalchemy(filled: Database) -> None:
    again = Statement(insert(Op))
    with pytest.raises(errors.DatabaseFailed, match="a constraint was violated"), filled.write() as connection:
        again.run(connection, {"name": "pca"})
    with pytest.raises(IntegrityError) as refused, filled.engine.begin() as connection:
        again.run(connection, {"name": "pca"})
    assert "INSERT INTO op" in str(refused.value)
    assert "pca" not in str(refused.value)


def test_a_small_push_and_a_pull_execute_only_driver_statements() -> None:
    with closing(OpStoreServer(MemorySaver())) as server:
        with executed_by_sqlalchemy(server) as statements:
            for number in range(2):
                server.store.push("pca", random_bytes(8, seed=number), valid_for=[])
                server.store.pull("pca")
        assert statements == []


def test_sqlalchemy_executes_the_statements_of_other_databases() -> None:
    statement = select(Op.name).where(Op.id == bindparam("id"))
    assert _compile(statement, sqlite.dialect(), ["id"]) is not None
    assert _compile(statement, postgresql.dialect(), ["id"]) is None  # type: ignore[no-untyped-call]
