"""What a command or a function shows about a set of versions, and what it was that showed it."""

from opstore_cli.evidence.outcome import CantTell

__all__ = ["CantTell"]
