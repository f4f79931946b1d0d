"""Removed versions and ops, damaged blobs, and the release that made the schema.

A removed version stays as a row, so that its number and its sequence never come back.
"""

import sqlalchemy as sa
from alembic import op

from opstore_daemon.metadata.migrations import journal_kinds

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KINDS = ("version", "link", "level", "tag", "yank", "pipeline", "run", "bisection")


def upgrade() -> None:
    journal_kinds.allow_more(KINDS, ("removal",))
    op.execute(
        "ALTER TABLE version ADD COLUMN removed_position INTEGER"
        " CONSTRAINT fk_version_removed_position REFERENCES journal (position)"
    )
    op.execute(
        "CREATE INDEX ix_version_removed ON version (op_id, removed_position) WHERE removed_position IS NOT NULL"
    )
    _create_removal()
    op.create_table(
        "damaged_blob",
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_damaged_blob")),
    )
    op.add_column("store", sa.Column("release", sa.String(32), nullable=True))


def _create_removal() -> None:
    op.create_table(
        "removal",
        sa.Column("position", POSITION, nullable=False),
        sa.Column("op_id", sa.Integer(), nullable=False),
        sa.Column("until", POSITION, nullable=True),
        sa.Column("version_id", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("until > position", name=op.f("ck_removal_until")),
        sa.CheckConstraint("version_id IS NULL OR until IS NULL", name=op.f("ck_removal_for_good")),
        sa.ForeignKeyConstraint(["position"], ["journal.position"], name=op.f("fk_removal_position")),
        sa.ForeignKeyConstraint(["op_id"], ["op.id"], name=op.f("fk_removal_op_id")),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_removal_version_id")),
        sa.ForeignKeyConstraint(["until"], ["journal.position"], name=op.f("fk_removal_until")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_removal")),
    )
    op.execute(
        "CREATE UNIQUE INDEX uq_removal_in_force ON removal (op_id, coalesce(version_id, 0)) WHERE until IS NULL"
    )
    op.create_index("ix_removal_op_id_position", "removal", ["op_id", "position"])
