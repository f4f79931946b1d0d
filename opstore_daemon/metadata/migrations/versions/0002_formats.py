"""What the bytes of a version are (their format, the libraries that made them), and all links that ever were."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("version", sa.Column("format", sa.String(length=64), nullable=True))
    op.add_column("version", sa.Column("libraries", sa.Text(), nullable=True))
    op.create_index("ix_link_history", "link", ["downstream_id", "upstream_id", "position"])
    op.create_index("ix_link_history_upstream", "link", ["upstream_id", "position"])
