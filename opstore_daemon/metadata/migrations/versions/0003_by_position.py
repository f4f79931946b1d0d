"""Indexes by position: without them, the history read all labels, and a past state read all later versions of an op."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_label_position", "label", ["position"])
    op.create_index("ix_version_op_id_position", "version", ["op_id", "position"])
