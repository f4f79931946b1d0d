"""The daemon's settings: from options, else from the environment, else defaults (docs/settings.md)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from platformdirs import user_data_path

from opstore_daemon.protocol import durations, errors, runtime_file
from opstore_daemon.protocol.home_trust import check_home
from opstore_daemon.savers import BaseSaver, FileSaver, MemorySaver
from opstore_daemon.savers.direct import DIRECT_ON

IDLE_TIMEOUT = 30 * 60.0  # seconds
MAX_DRAIN = 3600.0  # seconds
_ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]{1,254}|\[[0-9a-fA-F:.]{2,45}\])(:[0-9]{1,5})?/?")


@dataclass(frozen=True, slots=True)
class Config:
    """The daemon's settings. `home` is the folder for its own files; `idle_timeout` is in seconds (0: no timeout).

    `collects`: whether it collects garbage by itself. `given_token`: the file with the token of `serve`, which all
    daemons of a store share; None: the home has a token. `drain`: seconds for which a daemon that is to stop goes on
    serving, so that a load balancer finds that it is not ready. `direct`: where clients reach the object store: `on`,
    as the daemon does, or its URL for them; None: they don't.
    """

    home: Path
    db_url: str
    saver_url: str
    idle_timeout: float
    collects: bool = True
    given_token: Path | None = None
    drain: float = 0.0
    direct: str | None = None

    @property
    def runtime_file(self) -> Path:
        """The file with the URL and pid of the running daemon."""
        return self.home / runtime_file.RUNTIME_FILE

    @property
    def port_file(self) -> Path:
        """The file with the port that the background daemon used last."""
        return self.home / "port"

    @property
    def database_file(self) -> Path:
        """The file of the database, unless another one is set."""
        return self.home / "opstore.db"

    @property
    def lock_file(self) -> Path:
        """The file that the running daemon holds a lock on."""
        return self.home / runtime_file.LOCK_FILE

    @property
    def token_file(self) -> Path:
        """The file with the token of this home."""
        return self.home / "token"

    @property
    def log_file(self) -> Path:
        """The log file."""
        return self.home / "daemon.log"

    @property
    def saver_folder(self) -> Path | None:
        """The folder of the blobs; None if they are elsewhere."""
        parts = urlsplit(self.saver_url)
        is_folder = parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path
        return Path(unquote(parts.path)) if is_folder else None

    @property
    def is_in_object_store(self) -> bool:
        """Whether the blobs are in an object store."""
        return urlsplit(self.saver_url).scheme == "s3"

    def check_direct(self) -> None:
        """Raise InvalidSetting if clients are to read past the daemon what is not in an object store."""
        if self.direct is not None and not self.is_in_object_store:
            reason = "clients read only objects past the daemon: it needs --saver s3://BUCKET/PREFIX"
            raise errors.InvalidSetting(setting="--direct or OPSTORE_DIRECT", reason=reason)

    def saver(self) -> BaseSaver:
        """Return the saver at `saver_url`; raises InvalidSetting and LibraryMissing."""
        if urlsplit(self.saver_url).scheme == "memory":
            return MemorySaver()
        if self.saver_folder is not None:
            return FileSaver(self.saver_folder)
        if self.is_in_object_store:
            from opstore_daemon.savers import S3Saver  # only now: boto3 takes a quarter of a second to import

            return S3Saver(self.saver_url, direct=self.direct)
        reason = f"{self.saver_url!r} is not file:///PATH, s3://BUCKET/PREFIX or memory:"
        raise errors.InvalidSetting(setting="--saver", reason=reason)


def load(
    environ: Mapping[str, str], db: str | None = None, saver: str | None = None, direct: str | None = None
) -> Config:
    """Return the settings; the others are values of options. Raises InvalidSetting and UntrustedHome."""
    db = db or environ.get("OPSTORE_DB") or None
    home = Path(environ.get("OPSTORE_HOME") or user_data_path("opstore", appauthor=False)).expanduser().absolute()
    check_home(home, environ)
    if db is None and "?" in str(home):
        reason = f"{home} contains a '?', which can't be part of the path in a database URL"
        raise errors.InvalidSetting(setting="OPSTORE_HOME", reason=reason)
    own = home / "opstore.db"
    if db is None and own.is_symlink():
        # As for the other files of a home: somebody else may have put it there.
        reason = "it is a symbolic link, which is not followed in OPSTORE_HOME; serve --db takes a path elsewhere"
        raise errors.InvalidSetting(setting=str(own), reason=reason)
    return Config(
        home=home,
        db_url=db or f"sqlite:///{own}",
        saver_url=saver or (home / "blobs").as_uri(),
        idle_timeout=_parse_idle_timeout(environ.get("OPSTORE_IDLE_TIMEOUT")),
        collects=_parse_switch("OPSTORE_GC", environ.get("OPSTORE_GC")),
        given_token=Path(environ["OPSTORE_TOKEN_FILE"]).expanduser() if environ.get("OPSTORE_TOKEN_FILE") else None,
        drain=_parse_drain(environ.get("OPSTORE_DRAIN")),
        direct=(
            _parse_direct("OPSTORE_DIRECT", environ.get("OPSTORE_DIRECT", ""))
            if direct is None
            else _parse_direct("--direct", direct)
        ),
    )


def _parse_switch(name: str, text: str | None) -> bool:
    words = {"": True, "on": True, "1": True, "off": False, "0": False}
    found = words.get((text or "").strip().lower())
    if found is None:
        raise errors.InvalidSetting(setting=name, reason=f"{text!r} is neither on nor off")
    return found


def _parse_direct(setting: str, text: str) -> str | None:
    text = text.strip()
    if "://" not in text:
        words = {"": None, "off": None, "0": None, "on": DIRECT_ON, "1": DIRECT_ON}
        if text.lower() in words:
            return words[text.lower()]
        raise errors.InvalidSetting(setting=setting, reason=f"{text!r} is neither on, nor off, nor a URL")
    if not _ENDPOINT.fullmatch(text):
        # Not the text: it may have a password.
        reason = "a URL is http:// or https://, a host and perhaps a port: the object store's, as clients reach it"
        raise errors.InvalidSetting(setting=setting, reason=reason)
    return text.rstrip("/")


def _parse_drain(text: str | None) -> float:
    try:
        seconds = durations.parse_duration(text) if text else 0.0
    except ValueError as error:
        raise errors.InvalidSetting(setting="OPSTORE_DRAIN", reason=str(error)) from None
    if seconds > MAX_DRAIN:
        raise errors.InvalidSetting(setting="OPSTORE_DRAIN", reason=f"{text} is longer than {MAX_DRAIN:g} s")
    return seconds


def _parse_idle_timeout(text: str | None) -> float:
    if not text:
        return IDLE_TIMEOUT
    try:
        return durations.parse_duration(text)
    except ValueError as error:
        raise errors.InvalidSetting(setting="OPSTORE_IDLE_TIMEOUT", reason=f"{error} (0: never)") from None
