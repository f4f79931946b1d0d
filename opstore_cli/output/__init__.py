"""What people and programs read: documents, tables, cells, escaping, progress and streams."""
