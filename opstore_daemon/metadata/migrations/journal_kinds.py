"""Admit more kinds of entries in the journal."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from opstore_daemon.protocol import errors


def allow_more(before: Sequence[str], more: Sequence[str]) -> None:
    """Have the CHECK constraint of `journal.kind`, which admits the kinds `before`, admit those in `more` too.

    SQLite can't change a CHECK constraint, and a new table of the journal would take a look at every row that refers to
    each of its entries. So the text of the constraint is replaced in the schema (sqlite.org/lang_altertable.html,
    "Making Other Kinds Of Table Schema Changes"): the new one admits whatever the old one did. Raises DatabaseFailed
    for a journal with another constraint.
    """
    old, new = _values(before), _values([*before, *more])
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        op.drop_constraint("ck_journal_kind", "journal", type_="check")
        op.create_check_constraint("ck_journal_kind", "journal", f"kind IN {new}")
        return
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    try:
        _replace_text(connection, old, new)
    finally:
        connection.exec_driver_sql("PRAGMA writable_schema = OFF")


def _values(kinds: Sequence[str]) -> str:
    return f"({', '.join(repr(kind) for kind in kinds)})"


def _replace_text(connection: sa.Connection, old: str, new: str) -> None:
    replaced = connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, ?1, ?2)"
        " WHERE type = 'table' AND name = 'journal' AND instr(sql, ?1) > 0",
        (old, new),
    )
    if replaced.rowcount != 1:
        raise errors.DatabaseFailed(reason="its journal has another constraint than the migrations gave it")
    # Each connection reads the schema again if its version has changed.
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
