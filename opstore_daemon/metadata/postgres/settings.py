"""The URL of a PostgreSQL database: what goes to libpq, what is ours, and what messages may show of it.

Options are those of libpq (`sslmode`, `service`, `target_session_attrs` …), whose variables and files (PGPASSWORD,
~/.pgpass, pg_service.conf) work as in psql. Ours are `pool_size` and `prepare_threshold`.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import URL

from opstore_daemon.metadata.url import SERVERS, invalid, name_of, parse
from opstore_daemon.protocol._version import __version__

DRIVER = "postgresql+psycopg"
POOL_SIZE = 20  # connections of one daemon; PostgreSQL's own limit for all clients is 100
PREPARE_THRESHOLD = 5  # psycopg's own: executions of a statement before it is prepared

# A server that vanished without a word must not keep a transaction waiting for hours, as TCP would.
_NETWORK = {
    "connect_timeout": "10",  # seconds
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",  # milliseconds
}
_SECRETS = ("password", "sslpassword")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to connect. `url` has no password as text, `name` says in messages where the database is."""

    url: URL
    name: str
    connect: dict[str, Any]
    pool_size: int

    @classmethod
    def parse(cls, text: str) -> "Settings":
        """Return the settings of a URL; raise InvalidSetting."""
        url = parse(text)
        if url.drivername not in (*SERVERS, DRIVER):
            raise invalid(f"{url.drivername} is not supported: use {DRIVER}://USER@HOST/DATABASE")
        query = dict(url.query)
        # As text, the URL shows its options, but neither its password nor what goes to the driver apart from it.
        secrets = {name: _one(name, query.pop(name)) for name in _SECRETS if name in query}
        pool_size = _number("pool_size", query.pop("pool_size", str(POOL_SIZE)), least=2)
        prepare = query.pop("prepare_threshold", str(PREPARE_THRESHOLD))
        threshold = None if prepare == "none" else _number("prepare_threshold", prepare, least=0)
        ours = {"fallback_application_name": f"opstore {__version__}", **_NETWORK}
        connect = {
            **{name: value for name, value in ours.items() if name not in query},
            **secrets,
            "autocommit": True,  # we send BEGIN ourselves, together with what belongs to it
            "client_encoding": "utf8",
            "prepare_threshold": threshold,
        }
        return cls(url.set(drivername=DRIVER, query=query), name_of(url), connect, pool_size)


def _one(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise invalid(f"the option {name} is given more than once")
    return value


def _number(name: str, value: object, *, least: int) -> int:
    text = _one(name, value)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) >= least):
        more = " or none" if name == "prepare_threshold" else ""
        raise invalid(f"the option {name} is a whole number from {least} on{more}")
    return int(text)
