"""The URL of a database, parsed once: no message has its password."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from opstore_daemon.protocol import errors

SERVERS = ("postgresql", "postgres")  # libpq takes both


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


def name_of(url: URL) -> str:
    """Return in words where a server has the database: without user, password and options."""
    host = url.host or ""
    if ":" in host:
        host = f"[{host}]"
    port = f":{url.port}" if url.port else ""
    shown = f"postgresql://{host}{port}/{url.database or ''}"
    service = url.query.get("service")
    return f"{shown}?service={service}" if isinstance(service, str) else shown


def server_of(text: str) -> str | None:
    """Return in words where a server has the database at this URL; None if none has. Raises InvalidSetting."""
    url = parse(text)
    return name_of(url) if url.get_backend_name() in SERVERS else None
