"""The schema of this release: its newest migration."""

HEAD = "0006"

# What undoes the migrations after 0005, newest first, for tests of the stores of older releases.
UNDO = ("DROP INDEX ix_label_until", "DROP TABLE description", "DROP TABLE message")
