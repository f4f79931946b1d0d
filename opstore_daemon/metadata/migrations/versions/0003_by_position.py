"""Labels and versions by position: the journal was told by reading all labels, and what was there at a position by
going back through all versions of an op that came later.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_label_position", "label", ["position"])
    op.create_index("ix_version_op_id_position", "version", ["op_id", "position"])
