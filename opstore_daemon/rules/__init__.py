"""The rules of versions as pure functions over records: no I/O, no clock, no database."""
