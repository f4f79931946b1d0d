"""The URL of a database, parsed once: no message has its password."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from opstore_daemon.protocol import errors

_ESCAPED = ": in a user or password, escape special characters (@ is %40), or leave the password to PGPASSWORD"

SERVERS = ("postgresql", "postgres")  # libpq takes both


def parse(url: str) -> URL:
    """Return the URL; raise InvalidSetting if it is none."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is not a number
        parsed = None
    # Behind a password with an @, the host and all that follows may be a part of it.
    if parsed is not None and (parsed.password is None or url.count("@") == 1):
        return parsed
    if "@" in url:
        raise invalid(f"the text is not a database URL{_ESCAPED}")
    shown = "the text" if "=" in url else repr(url)  # which may have a password, too
    raise invalid(f"{shown} is not a database URL: use sqlite:///PATH or postgresql://USER@HOST/DATABASE")


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
