"""The first schema: versions, links, levels, labels, tags, yanks, pipelines, uploads and answers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "answer",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_answer")),
    )
    op.create_index(op.f("ix_answer_at"), "answer", ["at"], unique=False)
    op.create_table(
        "counter",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("position", POSITION, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_counter_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counter")),
    )
    op.create_table(
        "journal",
        sa.Column("position", POSITION, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.CheckConstraint(
            "kind IN ('version', 'link', 'level', 'tag', 'yank', 'pipeline')", name=op.f("ck_journal_kind")
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_journal")),
    )
    op.create_index(op.f("ix_journal_at"), "journal", ["at"], unique=False)
    op.create_table(
        "op",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("compat", sa.String(length=8), server_default="major", nullable=False),
        sa.Column("last_sequence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("position", POSITION, server_default="0", nullable=False),
        sa.Column("changed", POSITION, server_default="0", nullable=False),
        sa.CheckConstraint("compat IN ('major', 'minor', 'exact')", name=op.f("ck_op_compat")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 128", name=op.f("ck_op_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_op")),
        sa.UniqueConstraint("name", name=op.f("uq_op_name")),
    )
    op.create_table(
        "upload",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
    )
    op.create_index(op.f("ix_upload_touched_at"), "upload", ["touched_at"], unique=False)
    op.create_table(
        "level",
        sa.Column("position", POSITION, nullable=False),
        sa.Column("op_id", sa.Integer(), nullable=False),
        sa.Column("compat", sa.String(length=8), nullable=False),
        sa.CheckConstraint("compat IN ('major', 'minor', 'exact')", name=op.f("ck_level_compat")),
        sa.ForeignKeyConstraint(["op_id"], ["op.id"], name=op.f("fk_level_op_id")),
        sa.ForeignKeyConstraint(["position"], ["journal.position"], name=op.f("fk_level_position")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_level")),
    )
    op.create_index(op.f("ix_level_op_id_position"), "level", ["op_id", "position"], unique=False)
    op.create_table(
        "pipeline",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("position", POSITION, nullable=False),
        sa.Column("until", POSITION, nullable=True),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 128", name=op.f("ck_pipeline_name")),
        sa.CheckConstraint("until > position", name=op.f("ck_pipeline_until")),
        sa.ForeignKeyConstraint(["position"], ["journal.position"], name=op.f("fk_pipeline_position")),
        sa.ForeignKeyConstraint(["until"], ["journal.position"], name=op.f("fk_pipeline_until")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pipeline")),
    )
    op.create_index(op.f("ix_pipeline_name"), "pipeline", ["name"], unique=False)
    op.create_index(
        "uq_pipeline_in_force",
        "pipeline",
        ["name"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("op_id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("major", sa.String(length=64), nullable=False),
        sa.Column("minor", sa.String(length=64), nullable=False),
        sa.Column("patch", sa.String(length=64), nullable=False),
        sa.Column("major_number", sa.Integer(), nullable=False),
        sa.Column("minor_number", sa.Integer(), nullable=False),
        sa.Column("patch_number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("position", POSITION, nullable=False),
        sa.Column("stored_position", POSITION, nullable=True),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("stored_message", sa.Text(), nullable=True),
        sa.Column("format", sa.String(length=64), nullable=True),
        sa.Column("libraries", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(digest IS NULL) = (size IS NULL) AND (digest IS NULL) = (stored_position IS NULL)",
            name=op.f("ck_version_stored_whole"),
        ),
        sa.CheckConstraint(
            "major_number BETWEEN 1 AND 2147483647 AND minor_number BETWEEN 0 AND 2147483647 "
            "AND patch_number BETWEEN 0 AND 2147483647",
            name=op.f("ck_version_number"),
        ),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_version_sequence")),
        sa.ForeignKeyConstraint(["op_id"], ["op.id"], name=op.f("fk_version_op_id")),
        sa.ForeignKeyConstraint(["position"], ["journal.position"], name=op.f("fk_version_position")),
        sa.ForeignKeyConstraint(["stored_position"], ["journal.position"], name=op.f("fk_version_stored_position")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version")),
        sa.UniqueConstraint("op_id", "major", "minor", "patch", name=op.f("uq_version_op_id_major_minor_patch")),
        sa.UniqueConstraint(
            "op_id",
            "major_number",
            "minor_number",
            "patch_number",
            name=op.f("uq_version_op_id_major_number_minor_number_patch_number"),
        ),
        sa.UniqueConstraint("op_id", "sequence", name=op.f("uq_version_op_id_sequence")),
        sa.UniqueConstraint("position", name=op.f("uq_version_position")),
        sa.UniqueConstraint("stored_position", name=op.f("uq_version_stored_position")),
    )
    op.create_index(op.f("ix_version_digest"), "version", ["digest"], unique=False)
    op.create_index(
        "ix_version_stored",
        "version",
        ["op_id", "sequence"],
        unique=False,
        sqlite_where=sa.text("digest IS NOT NULL"),
        postgresql_where=sa.text("digest IS NOT NULL"),
    )
    op.create_table(
        "label",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("position", POSITION, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("until", POSITION, nullable=True),
        sa.CheckConstraint("until > position", name=op.f("ck_label_until")),
        sa.ForeignKeyConstraint(["position"], ["journal.position"], name=op.f("fk_label_position")),
        sa.ForeignKeyConstraint(["until"], ["journal.position"], name=op.f("fk_label_until")),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_label_version_id")),
        sa.PrimaryKeyConstraint("version_id", "key", "position", name=op.f("pk_label")),
    )
    op.create_index(
        "uq_label_in_force",
        "label",
        ["version_id", "key"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "link",
        sa.Column("position", POSITION, nullable=False),
        sa.Column("upstream_id", sa.Integer(), nullable=False),
        sa.Column("upstream_version_id", sa.Integer(), nullable=False),
        sa.Column("upstream_major", sa.Integer(), nullable=False),
        sa.Column("upstream_minor", sa.Integer(), nullable=False),
        sa.Column("downstream_id", sa.Integer(), nullable=False),
        sa.Column("downstream_version_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("until", POSITION, nullable=True),
        sa.CheckConstraint("state IN ('valid', 'invalid', 'revoked')", name=op.f("ck_link_state")),
        sa.CheckConstraint("until > position", name=op.f("ck_link_until")),
        sa.CheckConstraint("upstream_id <> downstream_id", name=op.f("ck_link_two_ops")),
        sa.ForeignKeyConstraint(["downstream_id"], ["op.id"], name=op.f("fk_link_downstream_id")),
        sa.ForeignKeyConstraint(["downstream_version_id"], ["version.id"], name=op.f("fk_link_downstream_version_id")),
        sa.ForeignKeyConstraint(["position"], ["journal.position"], name=op.f("fk_link_position")),
        sa.ForeignKeyConstraint(["until"], ["journal.position"], name=op.f("fk_link_until")),
        sa.ForeignKeyConstraint(["upstream_id"], ["op.id"], name=op.f("fk_link_upstream_id")),
        sa.ForeignKeyConstraint(["upstream_version_id"], ["version.id"], name=op.f("fk_link_upstream_version_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_link")),
    )
    op.create_index(
        "ix_link_between",
        "link",
        ["downstream_id", "upstream_id", "state", "position"],
        unique=False,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_index(
        "ix_link_downstream",
        "link",
        ["downstream_id", "position"],
        unique=False,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_index("ix_link_history", "link", ["downstream_id", "upstream_id", "position"], unique=False)
    op.create_index(
        "ix_link_upstream",
        "link",
        ["upstream_id", "position"],
        unique=False,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "pipeline_edge",
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("upstream_id", sa.Integer(), nullable=False),
        sa.Column("downstream_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("upstream_id <> downstream_id", name=op.f("ck_pipeline_edge_two_ops")),
        sa.ForeignKeyConstraint(["downstream_id"], ["op.id"], name=op.f("fk_pipeline_edge_downstream_id")),
        sa.ForeignKeyConstraint(["pipeline_id"], ["pipeline.id"], name=op.f("fk_pipeline_edge_pipeline_id")),
        sa.ForeignKeyConstraint(["upstream_id"], ["op.id"], name=op.f("fk_pipeline_edge_upstream_id")),
        sa.PrimaryKeyConstraint("pipeline_id", "upstream_id", "downstream_id", name=op.f("pk_pipeline_edge")),
    )
    op.create_index(op.f("ix_pipeline_edge_upstream_id"), "pipeline_edge", ["upstream_id"], unique=False)
    op.create_table(
        "pipeline_op",
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("op_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["op_id"], ["op.id"], name=op.f("fk_pipeline_op_op_id")),
        sa.ForeignKeyConstraint(["pipeline_id"], ["pipeline.id"], name=op.f("fk_pipeline_op_pipeline_id")),
        sa.PrimaryKeyConstraint("pipeline_id", "op_id", name=op.f("pk_pipeline_op")),
        sa.UniqueConstraint("pipeline_id", "place", name=op.f("uq_pipeline_op_pipeline_id_place")),
    )
    op.create_index(op.f("ix_pipeline_op_op_id"), "pipeline_op", ["op_id"], unique=False)
    op.create_table(
        "tag",
        sa.Column("position", POSITION, nullable=False),
        sa.Column("op_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=True),
        sa.Column("until", POSITION, nullable=True),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 128", name=op.f("ck_tag_name")),
        sa.CheckConstraint("until > position", name=op.f("ck_tag_until")),
        sa.ForeignKeyConstraint(["op_id"], ["op.id"], name=op.f("fk_tag_op_id")),
        sa.ForeignKeyConstraint(["position"], ["journal.position"], name=op.f("fk_tag_position")),
        sa.ForeignKeyConstraint(["until"], ["journal.position"], name=op.f("fk_tag_until")),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_tag_version_id")),
        sa.PrimaryKeyConstraint("position", "op_id", "name", name=op.f("pk_tag")),
    )
    op.create_index(
        "ix_tag_version",
        "tag",
        ["version_id"],
        unique=False,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_index(
        "uq_tag_in_force",
        "tag",
        ["op_id", "name"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_table(
        "yank",
        sa.Column("position", POSITION, nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("yanked", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("until", POSITION, nullable=True),
        sa.CheckConstraint("NOT yanked OR reason IS NOT NULL", name=op.f("ck_yank_reason")),
        sa.CheckConstraint("until > position", name=op.f("ck_yank_until")),
        sa.CheckConstraint("yanked IN (0, 1)", name=op.f("ck_yank_yanked")),
        sa.ForeignKeyConstraint(["position"], ["journal.position"], name=op.f("fk_yank_position")),
        sa.ForeignKeyConstraint(["until"], ["journal.position"], name=op.f("fk_yank_until")),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_yank_version_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_yank")),
    )
    op.create_index(
        "uq_yank_in_force",
        "yank",
        ["version_id"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    op.create_index("ix_link_history_upstream", "link", ["upstream_id", "position"])
    op.create_index(
        "uq_link_in_force",
        "link",
        ["upstream_version_id", "downstream_id", sa.text("coalesce(downstream_version_id, 0)")],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )
    for name, shared in (
        ("ix_link_major", ["upstream_major"]),
        ("ix_link_minor", ["upstream_major", "upstream_minor"]),
    ):
        op.create_index(
            name,
            "link",
            ["downstream_id", "upstream_id", sa.text("coalesce(downstream_version_id, 0)"), *shared, "position"],
            sqlite_where=sa.text("until IS NULL"),
            postgresql_where=sa.text("until IS NULL"),
        )
    op.execute("INSERT INTO counter (id, position) VALUES (1, 0)")
