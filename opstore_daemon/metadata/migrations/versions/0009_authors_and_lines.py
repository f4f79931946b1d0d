"""The author and the op of each entry of the journal, and indexes that find a line of versions and an op's entries.

Nobody knows the authors of older entries. Their ops are in the rows that the entries made or ended; an entry about
links or tags may be about several ops, and has none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OF_VERSIONS = (
    "SELECT version.op_id FROM {0} JOIN version ON version.id = {0}.version_id WHERE {0}.{1} = journal.position"
)
SOURCES = (
    "SELECT op_id FROM version WHERE position = journal.position",
    "SELECT op_id FROM version WHERE stored_position = journal.position",
    OF_VERSIONS.format("label", "position"),
    OF_VERSIONS.format("label", "until"),
    OF_VERSIONS.format("message", "position"),
    OF_VERSIONS.format("yank", "position"),
    "SELECT op_id FROM description WHERE position = journal.position",
    "SELECT op_id FROM level WHERE position = journal.position",
)


def upgrade() -> None:
    op.add_column("journal", sa.Column("author", sa.String(200), nullable=True))
    op.execute("ALTER TABLE journal ADD COLUMN op_id INTEGER CONSTRAINT fk_journal_op_id REFERENCES op (id)")
    found = ", ".join(f"({source} LIMIT 1)" for source in SOURCES)
    op.execute(f"UPDATE journal SET op_id = coalesce({found}) WHERE kind IN ('version', 'level', 'yank')")  # noqa: S608
    known = sa.text("op_id IS NOT NULL")
    op.create_index("ix_journal_op", "journal", ["op_id", "position"], sqlite_where=known, postgresql_where=known)
    op.create_index("ix_tag_op_id_position", "tag", ["op_id", "position"])
    for name, columns in (
        ("major", ["op_id", "major_number", "sequence"]),
        ("minor", ["op_id", "major_number", "minor_number", "sequence"]),
    ):
        for kind, condition in (("stored", "digest IS NOT NULL"), ("registered", "digest IS NULL")):
            where = sa.text(condition)
            op.create_index(f"ix_version_{kind}_{name}", "version", columns, sqlite_where=where, postgresql_where=where)
