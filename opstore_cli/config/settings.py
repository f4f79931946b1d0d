"""What the settings say: where the daemon is, who says so, and which token was given (CONTRACT section 7)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import platformdirs

from opstore_cli.files import private
from opstore_daemon.protocol import errors

Origin = Literal["option", "environment", "working tree", "user file", "local"]

TREE_KEYS = ("url", "pipeline")
USER_KEYS = ("url", "allow_pickle")
SWITCHES = ("allow_pickle",)  # keys that are true or false; the others are texts
PORTS = {"http": 80, "https": 443}
MAX_FILE = 1024 * 1024  # bytes of a settings or token file


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one run.

    `url` is None where nothing names one: then the local daemon of `home` is meant, and `origin` is "local".
    `named_by` is the file that names the URL, where one does. `pipeline` is the working tree's default pipeline.
    `allow_pickle` says whether `OpStoreClient.load` may run the code in what it loads; the working tree has no say.
    """

    home: Path
    url: str | None = None
    origin: Origin = "local"
    named_by: Path | None = None
    pipeline: str | None = None
    autostart: bool = True
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    allow_pickle: bool = False

    def with_url(self, url: str) -> "Settings":
        """The same with a URL that was given outright, as an option is; raises InvalidSetting."""
        return replace(self, url=check_url(url, "the URL"), origin="option", named_by=None)

    def given_token(self) -> str | None:
        """The token of OPSTORE_TOKEN or OPSTORE_TOKEN_FILE; raises InvalidSetting."""
        if self.token is not None or self.token_file is None:
            return self.token
        return read_token(self.token_file, "OPSTORE_TOKEN_FILE")

    def warning(self) -> str | None:
        """What should be said about the file of OPSTORE_TOKEN_FILE, in one line, or None."""
        if self.token is None and self.token_file is not None and private.loose(self.token_file):
            return f"others can read the token in {self.token_file}: chmod 600 {self.token_file}"
        return None

    def without_token(self) -> "Settings":
        """The same without the token of OPSTORE_TOKEN."""
        return replace(self, token=None)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.token is not None:  # which is not to get into a pickle
            raise TypeError("these settings hold a token: pickle the client, or settings.without_token()")
        return type(self), tuple(getattr(self, each.name) for each in fields(self))


def load(option_url: str | None, environ: Mapping[str, str], cwd: Path) -> Settings:
    """Reads all settings: option, environment, working tree, the user's own file, default.

    Raises InvalidSetting, naming the setting or the file. An empty variable counts as unset.
    """
    tree, tree_file = working_tree(cwd)
    user_file = user_folder() / "config.toml"
    user = _read_table(user_file, USER_KEYS) if os.path.isfile(user_file) else {}
    token_file = environ.get("OPSTORE_TOKEN_FILE")
    given = environ.get("OPSTORE_TOKEN")
    settings = Settings(
        home=home_folder(environ, cwd),
        pipeline=tree.get("pipeline"),
        autostart=not environ.get("OPSTORE_NO_AUTOSTART"),
        token=check_token(given, "OPSTORE_TOKEN") if given else None,
        token_file=cwd / token_file if token_file else None,
        allow_pickle=_switch(environ, "OPSTORE_ALLOW_PICKLE", user.get("allow_pickle", False)),
    )
    if option_url is not None:
        return replace(settings, url=check_url(option_url, "--url"), origin="option")
    if environ.get("OPSTORE_URL"):
        return replace(settings, url=check_url(environ["OPSTORE_URL"], "OPSTORE_URL"), origin="environment")
    # A URL that both files name is the user's own word.
    if "url" in tree and tree["url"] != user.get("url"):
        return replace(settings, url=tree["url"], origin="working tree", named_by=tree_file)
    if "url" in user:
        return replace(settings, url=user["url"], origin="user file", named_by=user_file)
    return settings


def _switch(environ: Mapping[str, str], name: str, otherwise: bool) -> bool:
    """What a variable says that is 1 or 0; anything else is refused, where a guess could open a door."""
    text = environ.get(name)
    if text and text not in ("0", "1"):
        raise errors.InvalidSetting(setting=name, reason="it is 1 or 0")
    return text == "1" if text else otherwise


def working_folder() -> Path:
    """The folder that this process stands in; raises InvalidSetting where it is gone."""
    try:
        return Path.cwd()
    except OSError as error:
        raise errors.InvalidSetting(setting="the working folder", reason=error.strerror or str(error)) from None


def user_folder() -> Path:
    """The folder of the user's own settings, where `login` keeps tokens too."""
    return platformdirs.user_config_path("opstore", appauthor=False)


def home_folder(environ: Mapping[str, str], cwd: Path) -> Path:
    """The data folder, absolute: OPSTORE_HOME, or platformdirs' user data folder."""
    named = environ.get("OPSTORE_HOME")
    return cwd / Path(named).expanduser() if named else platformdirs.user_data_path("opstore", appauthor=False)


def check_url(text: str, setting: str) -> str:
    """The URL of a daemon in the form in which URLs are compared, if it is one; raises InvalidSetting.

    Scheme and host are in lower case, and neither the scheme's own port nor a slash at the end is there.
    """
    try:
        parts = urlsplit(text)
        reason = _url_fault(text, parts)
    except ValueError as error:
        reason = str(error)
    if reason is not None:
        # A password that stands in it is shown by nobody.
        raise errors.InvalidSetting(setting=setting, reason=reason)
    host = parts.hostname or ""
    port = "" if parts.port in (None, PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path.rstrip('/')}"


def _url_fault(text: str, parts: SplitResult) -> str | None:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "a URL begins with http:// or https:// and names a host"
    if not text.isprintable() or not text.isascii() or " " in text or "\\" in text or parts.port == 0:
        return "it is no URL"
    if "@" in parts.netloc:
        return "it holds a user or a password: give a token in OPSTORE_TOKEN or OPSTORE_TOKEN_FILE"
    if "?" in text or "#" in text:
        return "it has a query or a fragment"
    return None


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine for certain: 127.0.0.0/8, ::1 or localhost."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(path: Path, setting: str) -> str:
    """The token in the file, without blanks around it; raises InvalidSetting."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE).decode("ascii").strip()
    except OSError as error:
        raise errors.InvalidSetting(setting=f"{setting} ({path})", reason=error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise errors.InvalidSetting(setting=f"{setting} ({path})", reason="a token is ASCII text") from None
    return check_token(text, f"{setting} ({path})")


def check_token(text: str, setting: str) -> str:
    """The text, if it can be a token; raises InvalidSetting, which does not show it."""
    # It becomes a header: a line break in it would become a second one.
    if not text or len(text) > 4096 or not text.isascii() or not text.isprintable() or " " in text:
        raise errors.InvalidSetting(setting=setting, reason="a token is one word of printable ASCII characters")
    return text


def working_tree(cwd: Path) -> tuple[dict[str, Any], Path | None]:
    """The nearest settings from `cwd` upwards, not beyond the repository that it is in, and their file."""
    for folder in (cwd, *cwd.parents):
        own, project = folder / "opstore.toml", folder / "pyproject.toml"
        if os.path.isfile(own):
            return _read_table(own, TREE_KEYS), own
        if os.path.isfile(project):
            tool = read_toml(project).get("tool", {})
            if isinstance(tool, dict) and "opstore" in tool:
                return _check_table(project, tool["opstore"], TREE_KEYS), project
        if os.path.lexists(folder / ".git"):
            break
    return {}, None


def _read_table(path: Path, allowed: tuple[str, ...]) -> dict[str, Any]:
    return _check_table(path, read_toml(path), allowed)


def read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as file:
            return tomllib.loads(file.read(MAX_FILE).decode())
    except OSError as error:
        raise errors.InvalidSetting(setting=str(path), reason=error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise errors.InvalidSetting(setting=str(path), reason=str(error)[:300]) from None


def _check_table(path: Path, table: Any, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise errors.InvalidSetting(setting=str(path), reason="tool.opstore is a table")
    for key, value in table.items():
        if key not in allowed:
            raise errors.InvalidSetting(setting=str(path), reason=f"{key!r} is no key here: {' and '.join(allowed)}")
        kind, word = (bool, "true or false") if key in SWITCHES else (str, "a text")
        if not isinstance(value, kind):
            raise errors.InvalidSetting(setting=str(path), reason=f"{key!r} is {word}")
    if "url" in table:
        return {**table, "url": check_url(table["url"], str(path))}
    return dict(table)
