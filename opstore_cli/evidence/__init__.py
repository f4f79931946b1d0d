"""Evidence about a set of versions: run a command or a function on it, and note what ran and what it showed."""

from opstore_cli.evidence.outcome import CantTell

__all__ = ["CantTell"]
