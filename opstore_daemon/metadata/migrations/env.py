"""Alembic's environment: run the migrations on the connection in its attributes."""

from alembic import context

from opstore_daemon.metadata.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
