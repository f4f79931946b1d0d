"""Runs of commands on sets of versions, bisections, and the run that is the evidence of a link."""

import sqlalchemy as sa
from alembic import op

from opstore_daemon.metadata.migrations import journal_kinds

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    journal_kinds.allow_more(("version", "link", "level", "tag", "yank", "pipeline"), ("run", "bisection"))
    _create_run()
    _create_run_version()
    _create_bisection()
    op.execute(
        "ALTER TABLE link ADD COLUMN run_position INTEGER CONSTRAINT fk_link_run_position REFERENCES run (position)"
    )


def _create_run() -> None:
    op.create_table(
        "run",
        sa.Column("position", POSITION, nullable=False),
        sa.Column("pipeline", sa.String(128), nullable=False),
        sa.Column("set_digest", sa.String(71), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("command_digest", sa.String(71), nullable=False),
        sa.Column("script", sa.String(71), nullable=True),
        sa.Column("script_path", sa.Text(), nullable=True),
        sa.Column("result", sa.String(8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("exit_code", sa.BigInteger(), nullable=True),
        sa.Column("duration", sa.BigInteger(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("output_digest", sa.String(71), nullable=False),
        sa.Column("output_size", sa.BigInteger(), nullable=False),
        sa.Column("git_commit", sa.String(80), nullable=True),
        sa.Column("ci_url", sa.Text(), nullable=True),
        sa.Column("output", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("result IN ('passed', 'failed', 'unknown')", name=op.f("ck_run_result")),
        sa.ForeignKeyConstraint(["position"], ["journal.position"], name=op.f("fk_run_position")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_run")),
    )
    for column in ("pipeline", "set_digest", "command_digest"):
        op.create_index(f"ix_run_{column}_position", "run", [column, "position"])


def _create_run_version() -> None:
    op.create_table(
        "run_version",
        sa.Column("run_position", POSITION, nullable=False),
        sa.Column("op_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_position"], ["run.position"], name=op.f("fk_run_version_run_position")),
        sa.ForeignKeyConstraint(["op_id"], ["op.id"], name=op.f("fk_run_version_op_id")),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_run_version_version_id")),
        sa.PrimaryKeyConstraint("run_position", "op_id", name=op.f("pk_run_version")),
        sa.UniqueConstraint("run_position", "place", name=op.f("uq_run_version_run_position_place")),
    )
    for column in ("op_id", "version_id"):
        op.create_index(f"ix_run_version_{column}_run_position", "run_version", [column, "run_position"])


def _create_bisection() -> None:
    positions = ("good", "bad", "last_good", "first_bad")
    op.create_table(
        "bisection",
        sa.Column("position", POSITION, nullable=False),
        sa.Column("pipeline", sa.String(128), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("script", sa.String(71), nullable=True),
        *(sa.Column(name, POSITION, nullable=False) for name in positions),
        sa.Column("op_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("skipped", "runs", "last_good_versions")),
        sa.CheckConstraint(
            "good <= last_good AND last_good < first_bad AND first_bad <= bad", name=op.f("ck_bisection_in_order")
        ),
        *(
            sa.ForeignKeyConstraint([name], ["journal.position"], name=op.f(f"fk_bisection_{name}"))
            for name in ("position", *positions)
        ),
        sa.ForeignKeyConstraint(["op_id"], ["op.id"], name=op.f("fk_bisection_op_id")),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_bisection_version_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_bisection")),
    )
    op.create_index("ix_bisection_pipeline_position", "bisection", ["pipeline", "position"])
