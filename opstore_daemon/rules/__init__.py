"""Numbering, derivation and verdict: pure functions over records, with no I/O, no clock and no database."""
