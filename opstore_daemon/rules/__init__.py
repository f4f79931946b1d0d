"""Numbering, derivation, verdict and resolution: pure functions over records, with no I/O, clock or database."""
