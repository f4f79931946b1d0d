"""The sample of uploaded bytes: a client computes it quickly, and asks with it whether the store has the bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("version", sa.Column("sample", sa.String(39)))
    known = sa.text("sample IS NOT NULL")
    op.create_index("ix_version_sample", "version", ["sample"], sqlite_where=known, postgresql_where=known)
