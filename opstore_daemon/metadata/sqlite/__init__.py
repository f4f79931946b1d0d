"""SQLite: one file or memory, and one daemon at a time."""
