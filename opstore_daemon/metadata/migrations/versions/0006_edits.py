"""Edited messages of versions, descriptions of ops, and an index that finds the labels that an edit removed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    in_force = sa.text("until IS NULL")
    for name, subject in (("message", "version"), ("description", "op")):
        op.create_table(
            name,
            sa.Column("position", POSITION, nullable=False),
            sa.Column(f"{subject}_id", sa.Integer(), nullable=False),
            sa.Column("text", sa.Text(), nullable=False),
            sa.Column("until", POSITION, nullable=True),
            sa.CheckConstraint("until > position", name=op.f(f"ck_{name}_until")),
            sa.ForeignKeyConstraint(["position"], ["journal.position"], name=op.f(f"fk_{name}_position")),
            sa.ForeignKeyConstraint([f"{subject}_id"], [f"{subject}.id"], name=op.f(f"fk_{name}_{subject}_id")),
            sa.ForeignKeyConstraint(["until"], ["journal.position"], name=op.f(f"fk_{name}_until")),
            sa.PrimaryKeyConstraint("position", name=op.f(f"pk_{name}")),
        )
        op.create_index(
            f"uq_{name}_in_force",
            name,
            [f"{subject}_id"],
            unique=True,
            sqlite_where=in_force,
            postgresql_where=in_force,
        )
        op.create_index(f"ix_{name}_{subject}_id_position", name, [f"{subject}_id", "position"])
    replaced = sa.text("until IS NOT NULL")
    op.create_index("ix_label_until", "label", ["until"], sqlite_where=replaced, postgresql_where=replaced)
