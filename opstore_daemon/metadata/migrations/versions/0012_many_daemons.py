"""What several daemons share: the time of the last entry, the objects of an object store, the sessions of the page."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("counter", sa.Column("at", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("counter", sa.Column("oldest_schema", sa.String(32), nullable=False, server_default="0012"))
    op.execute("UPDATE counter SET at = coalesce((SELECT j.at FROM journal j ORDER BY j.position DESC LIMIT 1), 0)")
    op.add_column("store", sa.Column("collected_at", sa.BigInteger(), nullable=True))
    _create_objects()
    _create_drafts()
    _create_sessions()


def _create_objects() -> None:
    known = "state = 'draft' OR state = 'deleting' OR (digest IS NOT NULL AND size IS NOT NULL)"
    op.create_table(
        "object",
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("digest", sa.String(71), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('draft', 'blob', 'trash', 'quarantine', 'deleting')", name=op.f("ck_object_state")
        ),
        sa.CheckConstraint(known, name=op.f("ck_object_known")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_object")),
    )
    op.execute("CREATE UNIQUE INDEX uq_object_blob ON object (digest) WHERE state = 'blob'")
    op.create_index("ix_object_state", "object", ["state", "key"])
    op.create_index("ix_object_digest", "object", ["digest", "state"])


def _create_drafts() -> None:
    op.create_table(
        "object_draft",
        sa.Column("upload", sa.String(32), nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("multipart", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("tail_key", sa.String(32), nullable=True),
        sa.Column("tail_size", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("fence", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("sealed", sa.Integer(), nullable=False, server_default="0"),
        sa.CheckConstraint("(tail_key IS NULL) = (tail_size = 0)", name=op.f("ck_object_draft_tail")),
        sa.CheckConstraint("size >= tail_size AND tail_size >= 0", name=op.f("ck_object_draft_size")),
        sa.ForeignKeyConstraint(["key"], ["object.key"], name=op.f("fk_object_draft_key")),
        sa.ForeignKeyConstraint(["tail_key"], ["object.key"], name=op.f("fk_object_draft_tail_key")),
        sa.PrimaryKeyConstraint("upload", name=op.f("pk_object_draft")),
        sa.UniqueConstraint("key", name=op.f("uq_object_draft_key")),
    )
    op.create_table(
        "object_part",
        sa.Column("upload", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.CheckConstraint("number BETWEEN 1 AND 10000", name=op.f("ck_object_part_number")),
        sa.CheckConstraint("size >= 1", name=op.f("ck_object_part_size")),
        sa.ForeignKeyConstraint(["upload"], ["object_draft.upload"], name=op.f("fk_object_part_upload")),
        sa.PrimaryKeyConstraint("upload", "number", name=op.f("pk_object_part")),
    )


def _create_sessions() -> None:
    op.create_table(
        "page_code",
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_page_code")),
    )
    op.create_index("ix_page_code_expires_at", "page_code", ["expires_at"])
    op.create_table(
        "page_session",
        sa.Column("session", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_page_session")),
    )
    op.create_index("ix_page_session_expires_at", "page_session", ["expires_at"])
