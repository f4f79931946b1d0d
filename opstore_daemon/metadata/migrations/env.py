"""Alembic's environment: run the migrations on the connection in its attributes.

From 0013 on they run on PostgreSQL too. There a text that they add has the type `as_bytes(…)`, and a partial index has
`postgresql_where` besides `sqlite_where` (metadata.postgres.schema).
"""

from alembic import context

from opstore_daemon.metadata.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
