"""What the settings say: where the daemon is, who says so, and which token was given (CONTRACT section 7)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import platformdirs

from opstore_cli.config.tokens import check_token, read_token
from opstore_cli.config.urls import check_url
from opstore_cli.config.working_tree import USER_KEYS, read_table, read_working_tree
from opstore_cli.files import private
from opstore_daemon.protocol import errors

Origin = Literal["option", "environment", "working tree", "user file", "local"]


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
        if self.token is None and self.token_file is not None and private.readable_by_others(self.token_file):
            return f"others can read the token in {self.token_file}: chmod 600 {self.token_file}"
        return None

    def without_token(self) -> "Settings":
        """The same without the token of OPSTORE_TOKEN."""
        return replace(self, token=None)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.token is not None:  # which is not to get into a pickle
            raise TypeError("these settings hold a token: pickle the client, or settings.without_token()")
        return type(self), tuple(getattr(self, each.name) for each in fields(self))


def load_settings(option_url: str | None, environ: Mapping[str, str], cwd: Path) -> Settings:
    """Reads all settings: option, environment, working tree, the user's own file, default.

    Raises InvalidSetting, naming the setting or the file. An empty variable counts as unset.
    """
    tree, tree_file = read_working_tree(cwd)
    user_file = user_folder() / "config.toml"
    user = read_table(user_file, USER_KEYS) if os.path.isfile(user_file) else {}
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
        raise errors.InvalidSetting(setting="the working folder", reason=errors.reason(error)) from None


def user_folder() -> Path:
    """The folder of the user's own settings, where `login` keeps tokens too."""
    return platformdirs.user_config_path("opstore", appauthor=False)


def home_folder(environ: Mapping[str, str], cwd: Path) -> Path:
    """The data folder, absolute: OPSTORE_HOME, or platformdirs' user data folder."""
    named = environ.get("OPSTORE_HOME")
    return cwd / Path(named).expanduser() if named else platformdirs.user_data_path("opstore", appauthor=False)
