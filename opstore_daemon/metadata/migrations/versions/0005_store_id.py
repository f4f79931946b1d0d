"""The id of the store, by which a database and its blobs are known to belong together."""

import time
import uuid

import sqlalchemy as sa
from alembic import context, op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    store = op.create_table(
        "store",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("one = 1", name=op.f("ck_store_one")),
        sa.CheckConstraint("length(id) = 32", name=op.f("ck_store_id")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_store")),
    )
    store_id = context.config.attributes.get("store_id") or uuid.uuid4().hex
    op.bulk_insert(store, [{"one": 1, "id": store_id, "created_at": time.time_ns() // 1000}])
