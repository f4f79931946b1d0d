"""The lines of `python -m opstore_daemon probe`: what a check of an object store found."""

import msgspec


class Probed(msgspec.Struct, frozen=True):
    """What was tried, and what was found; `advice` says what to do, None if nothing needs to be done."""

    check: str
    found: str
    advice: str | None = None
