"""Indexes for past states too: with indexes of the links in force only, `--as-of` read all links."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("ix_link_history_upstream", "ix_link_upstream", "ix_link_downstream", "ix_link_major"):
        op.drop_index(name, "link")
    target = sa.text("coalesce(downstream_version_id, 0)")
    op.create_index("ix_link_upstream", "link", ["upstream_id", "position"])
    op.create_index("ix_link_downstream", "link", ["downstream_id", "position"])
    op.create_index("ix_link_major", "link", ["downstream_id", "upstream_id", target, "upstream_major", "position"])
    op.create_index("ix_link_target", "link", ["downstream_id", "upstream_id", target, "position"])
    op.create_index("ix_link_of_version", "link", ["upstream_version_id", "downstream_id", "position"])
    op.create_index("ix_version_op_id_digest_sequence", "version", ["op_id", "digest", "sequence"])
