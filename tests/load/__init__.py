"""Many clients at once, daemons that are killed, a collector and backups beside pushes: what survives, and what grows.

Each test takes its size from `sizes.at_sizes`: `make test` runs a small part of it, `make test-all` all of it too. The
tests print what they measured (`figures.report`); docs/durability.md has the figures.
"""
