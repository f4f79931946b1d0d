"""Conditions of lookups: SQLAlchemy adds nothing that would hide a condition from the indexes of SQLite."""

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import dialect

from opstore_daemon.metadata.lookups import is_among, is_selected
from opstore_daemon.metadata.tables import Link


def test_the_conditions_are_those_that_an_index_serves() -> None:
    own = select(Link.position).where(is_among(Link.upstream_version_id, bindparam("ids")))
    chosen = select(Link.position).where(is_selected(Link.position, own.scalar_subquery()))
    text = " ".join(str(chosen.compile(dialect=dialect())).split())
    assert text.endswith(
        "WHERE link.position IN (SELECT link.position FROM link "
        "WHERE link.upstream_version_id IN (__[POSTCOMPILE_ids]))"
    )
