"""Checks of a PostgreSQL database: its rules as queries, since a superuser can go around them, and all of its rows.

PostgreSQL has no check of a whole database. Reading every row finds pages that can't be read (with data checksums, also
those that changed on the disk), and the extension amcheck, if the database has it, compares indexes with their tables.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, ForeignKeyConstraint, Table
from sqlalchemy.exc import DBAPIError

from opstore_daemon.metadata.checks import MOST, Check, Damage
from opstore_daemon.metadata.postgres.failures import is_damage
from opstore_daemon.metadata.postgres.schema import tables

_INDEXES = """
SELECT c.relname, t.relname, i.indisvalid AND i.indisready FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
WHERE t.relnamespace = current_schema()::regnamespace
"""
_CONSTRAINTS = """
SELECT k.conname, t.relname, k.convalidated, pg_get_expr(k.conbin, k.conrelid) FROM pg_constraint k
JOIN pg_class t ON t.oid = k.conrelid
WHERE t.relnamespace = current_schema()::regnamespace AND k.contype IN ('c', 'f', 'u', 'p')
"""
_SEQUENCES = """
SELECT t.relname, a.attname, pg_get_serial_sequence(t.oid::regclass::text, a.attname) FROM pg_class t
JOIN pg_attribute a ON a.attrelid = t.oid WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind = 'r'
AND a.attnum > 0 AND pg_get_serial_sequence(t.oid::regclass::text, a.attname) IS NOT NULL
"""
_HAS_AMCHECK = (
    "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'amcheck'"
)
_BTREES = """
SELECT c.oid::regclass::text, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid JOIN pg_am a ON a.oid = c.relam
WHERE t.relnamespace = current_schema()::regnamespace AND a.amname = 'btree' AND i.indisvalid
"""


def checks(name: str) -> Sequence[Check]:
    """Return the checks of the database of this name."""

    def rows(connection: Connection) -> Sequence[Damage]:
        return _unreadable(connection)

    def rules(connection: Connection) -> Sequence[Damage]:
        return [*_missing(connection, name), *_violations(connection), *_sequences(connection)]

    return [
        Check("its rows", rows),
        Check("its rules", rules),
        Check("its references", _references),
        Check("its indexes", _indexes),
    ]


def _unreadable(connection: Connection) -> list[Damage]:
    """Read every row of every table, with what it has outside of its page."""
    found = []
    for table in tables().sorted_tables:
        damage = _failure(connection, f"SELECT sum(length(row::text)) FROM {table.name} AS row")  # noqa: S608 - ours
        if damage is not None:
            found.append(Damage("database", f"the table {table.name}", damage))
    return found


def _failure(connection: Connection, query: str) -> str | None:
    """Run a query; return in words that what it reads is damaged, None if it is not. The transaction stays usable."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(query).close()
    except DBAPIError as error:
        if not is_damage(error.orig):
            raise
        return " ".join(str(error.orig).split())
    return None


def _missing(connection: Connection, name: str) -> list[Damage]:
    """Compare the names of constraints and indexes with those of the schema, and look at their state."""
    indexes = {row[0]: row[2] for row in connection.exec_driver_sql(_INDEXES)}
    constraints = {(row[1], row[0]): row[2] for row in connection.exec_driver_sql(_CONSTRAINTS)}
    found = [Damage("database", f"the index {each}", "it is not valid") for each, valid in indexes.items() if not valid]
    found += [
        Damage("database", f"the constraint {rule} of {table}", "it was never validated")
        for (table, rule), valid in constraints.items()
        if not valid
    ]
    for table in tables().sorted_tables:
        for index in table.indexes:
            if index.name not in indexes:
                found.append(Damage("database", name, f"the index {index.name} of {table.name} is missing"))
        for constraint in table.constraints:
            rule = str(constraint.name)
            if constraint.name is not None and (table.name, rule) not in constraints:
                found.append(Damage("database", name, f"the constraint {rule} of {table.name} is missing"))
    return found[:MOST]


def _violations(connection: Connection) -> list[Damage]:
    """Count the rows that contradict a CHECK."""
    found = []
    for rule, table, _, condition in connection.exec_driver_sql(_CONSTRAINTS).all():
        if condition is None:
            continue
        query = f"SELECT count(*) FROM {table} WHERE NOT ({condition})"  # noqa: S608 - as PostgreSQL shows them
        count = connection.exec_driver_sql(query).scalar_one()
        if count:
            found.append(Damage("database", f"the table {table}", f"{count} of its rows violate {rule}"))
    return found


def _sequences(connection: Connection) -> list[Damage]:
    """Compare the sequences with the ids that the tables have: the next id must be a new one."""
    found = []
    for table, column, sequence in connection.exec_driver_sql(_SEQUENCES).all():
        last, is_called = connection.exec_driver_sql(f"SELECT last_value, is_called FROM {sequence}").one()  # noqa: S608
        highest = connection.exec_driver_sql(f"SELECT max({column}) FROM {table}").scalar()  # noqa: S608
        if highest is not None and highest >= last + is_called:
            observed = f"its sequence continues with {last + is_called}, and {column} {highest} exists"
            found.append(Damage("database", f"the table {table}", observed))
    return found


def _references(connection: Connection) -> Sequence[Damage]:
    """Look for rows that refer to a row that does not exist, as after a restore without triggers."""
    found: list[Damage] = []
    for table in tables().sorted_tables:
        for key in table.foreign_key_constraints:
            left = MOST - len(found)
            for row in connection.exec_driver_sql(_dangling(table, key, left)) if left else ():
                referred = key.referred_table.name
                what = f"{table.name} {' '.join(map(str, row))}"
                found.append(Damage("reference", what, f"it refers to a row of {referred} that does not exist"))
    return found


def _dangling(table: Table, key: ForeignKeyConstraint, most: int) -> str:
    own = [column.name for column in key.columns]
    there = [element.column.name for element in key.elements]
    primary = ", ".join(f"own.{column.name}" for column in table.primary_key.columns)
    same = " AND ".join(f"other.{b} = own.{a}" for a, b in zip(own, there, strict=True))
    is_set = " AND ".join(f"own.{name} IS NOT NULL" for name in own)
    return (
        f"SELECT {primary} FROM {table.name} own WHERE {is_set} AND NOT EXISTS "  # noqa: S608 - ours
        f"(SELECT 1 FROM {key.referred_table.name} other WHERE {same}) LIMIT {most}"
    )


def _indexes(connection: Connection) -> Sequence[Damage]:
    """Compare each index with its table, if the database has the extension amcheck and its user may run it."""
    schema = connection.exec_driver_sql(_HAS_AMCHECK).scalar()
    if schema is None:
        return []
    function = f'"{schema}".bt_index_check'
    may = f"SELECT has_function_privilege('{function}(regclass, boolean)', 'EXECUTE')"
    if not connection.exec_driver_sql(may).scalar_one():
        return []
    found = []
    for index, shown in connection.exec_driver_sql(_BTREES).all():
        damage = _failure(connection, f"SELECT {function}('{index}'::regclass, true)")
        if damage is not None:
            found.append(Damage("database", f"the index {shown}", damage))
    return found
