"""The level that each op was created with, which is `exact` from now on; and no tag `any`, which is a selector now.

Older ops were created with `major`, and links that name no downstream version are for any version of it, as they were.
"""

import logging

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

log = logging.getLogger("opstore.migration")


def upgrade() -> None:
    op.execute(
        "ALTER TABLE op ADD COLUMN created_compat VARCHAR(8) DEFAULT 'major' NOT NULL"
        " CONSTRAINT ck_op_created_compat CHECK (created_compat IN ('major', 'minor', 'exact'))"
    )
    in_force = sa.text("until IS NULL")
    columns = ["upstream_id", "state", "upstream_major", "upstream_minor", "position"]
    op.create_index("ix_link_line", "link", columns, sqlite_where=in_force, postgresql_where=in_force)
    _rename_tags()


def _rename_tags() -> None:
    """Rename the tags `any`, all moves of them, so that a past state has them too."""
    connection = op.get_bind()
    tag = sa.table("tag", sa.column("op_id"), sa.column("name"))
    ops = sa.table("op", sa.column("id"), sa.column("name"))
    tagged = sa.select(ops.c.id, ops.c.name).where(ops.c.id.in_(sa.select(tag.c.op_id).where(tag.c.name == "any")))
    for op_id, op_name in connection.execute(tagged.order_by(ops.c.name)).all():
        taken = set(connection.execute(sa.select(tag.c.name).where(tag.c.op_id == op_id)).scalars())
        name, count = "any-tag", 1
        while name in taken:
            count += 1
            name = f"any-tag-{count}"
        connection.execute(sa.update(tag).where(tag.c.op_id == op_id, tag.c.name == "any").values(name=name))
        log.warning("the tag any of %s is now %s: %s@any means any version", op_name, name, op_name)
