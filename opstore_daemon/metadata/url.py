"""The URL of a database, parsed once: no message has its password."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from opstore_daemon.protocol import errors


def parse(url: str) -> URL:
    """Return the URL; raise InvalidSetting if it is none."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # a port that is not a number
        shown = repr(url) if "@" not in url else "the text"  # it may have a password
        raise invalid(f"{shown} is not a database URL") from None


def invalid(reason: str) -> errors.InvalidSetting:
    """Return the error for a URL that can't be used."""
    return errors.InvalidSetting(setting="--db", reason=reason)
