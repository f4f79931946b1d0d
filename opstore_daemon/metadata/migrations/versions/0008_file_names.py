"""The name of the file that was pushed, and whether its owner may execute it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("version", sa.Column("filename", sa.Text(), nullable=True))
    op.add_column("version", sa.Column("executable", sa.Integer(), nullable=True))
