"""The tables as PostgreSQL gets them: the same, apart from what SQLAlchemy can't express for both databases.

- Texts are compared byte by byte, as SQLite does (COLLATE "C"): no order depends on the server's locale.
- An index of some rows has the condition that it has on SQLite. SQLAlchemy would import its dialect of PostgreSQL for a
  `postgresql_where` in the tables, which takes a tenth of a second.
- `yanked` is a boolean, which needs no CHECK.
"""

from functools import cache
from typing import Any

from sqlalchemy import MetaData, String, Text

from opstore_daemon.metadata.tables import Base, Counter

_NOT_NEEDED = {"ck_yank_yanked"}


@cache
def tables() -> MetaData:
    """Return the tables for PostgreSQL."""
    found = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in Base.metadata.sorted_tables:
        copy = table.to_metadata(found)
        for column in copy.columns:
            if isinstance(column.type, String):
                column.type = as_bytes(column.type)
        if table.name == Counter.__tablename__:
            copy.columns["id"].autoincrement = False  # its one row has a number that is given
        for constraint in [each for each in copy.constraints if each.name in _NOT_NEEDED]:
            copy.constraints.discard(constraint)
        for index in copy.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
    return found


def as_bytes(type_: Any) -> Any:
    """Return the type of a text that is compared byte by byte, on either database.

    A migration uses it for each text that it adds.
    """
    is_text = isinstance(type_, Text)
    return type_.with_variant(Text(collation="C") if is_text else String(type_.length, collation="C"), "postgresql")
