"""The settings: the URL of the daemon and its source, and the token of the environment (docs/settings.md)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import platformdirs

from opstore_cli.config.author import author_setting
from opstore_cli.config.cache import SIZE, cache_folder, cache_size
from opstore_cli.config.tokens import check_token, read_token
from opstore_cli.config.urls import check_url
from opstore_cli.config.working_tree import USER_KEYS, read_table, read_working_tree
from opstore_cli.files import private
from opstore_daemon.protocol import errors

Origin = Literal["option", "environment", "working tree", "user file", "local"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one run.

    `url` is None for the local daemon of `home`; `origin` is "local" then. `named_by` is the file that names the URL,
    if a file does. `pipeline` is the default pipeline of the working tree, and `pipeline_file` the file that names it.
    `allow_pickle`: `OpStoreClient.load` may run code in the files that it loads; the working tree can't set it.
    `author`: whom the journal names for changes (None: the user's name and the host's, config.author).
    `cache`: the folder of the copies that `OpStoreClient.path` returns (None: in the home), and `cache_size`: its bound
    in bytes. `warnings`: lines about files that could not be read and don't matter otherwise.
    """

    home: Path
    url: str | None = None
    origin: Origin = "local"
    named_by: Path | None = None
    pipeline: str | None = None
    pipeline_file: Path | None = None
    autostart: bool = True
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    allow_pickle: bool = False
    author: str | None = None
    cache: Path | None = None
    cache_size: int = SIZE
    warnings: tuple[str, ...] = ()

    def with_url(self, url: str) -> "Settings":
        """Return these settings with another URL, as if it were an option. Raises InvalidSetting."""
        return replace(self, url=check_url(url, "the URL"), origin="option", named_by=None)

    def environment_token(self) -> str | None:
        """Return the token of OPSTORE_TOKEN or OPSTORE_TOKEN_FILE, or None. Raises InvalidSetting."""
        if self.token is not None or self.token_file is None:
            return self.token
        return read_token(self.token_file, "OPSTORE_TOKEN_FILE")

    def warning(self) -> str | None:
        """Return a warning, in one line, if others can read the file of OPSTORE_TOKEN_FILE."""
        if self.token is None and self.token_file is not None and private.readable_by_others(self.token_file):
            return f"others can read the token in {self.token_file}: chmod 600 {self.token_file}"
        return None

    def without_token(self) -> "Settings":
        """Return these settings without the token of OPSTORE_TOKEN."""
        return replace(self, token=None)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.token is not None:
            raise TypeError("can't pickle settings with a token: pickle the client, or settings.without_token()")
        return type(self), tuple(getattr(self, each.name) for each in fields(self))


def load_settings(option_url: str | None, environ: Mapping[str, str], cwd: Path) -> Settings:
    """Return the settings. Precedence: option, environment, working tree, the user's own file, defaults.

    An empty variable counts as unset. Raises InvalidSetting, which names the setting or the file.
    """
    warnings: list[str] = []
    tree, tree_file = read_working_tree(cwd, warnings.append)
    user_file = user_folder() / "config.toml"
    user = read_table(user_file, USER_KEYS) if os.path.isfile(user_file) else {}
    token_file = environ.get("OPSTORE_TOKEN_FILE")
    given = environ.get("OPSTORE_TOKEN")
    settings = Settings(
        home=home_folder(environ, cwd),
        pipeline=tree.get("pipeline"),
        pipeline_file=tree_file if "pipeline" in tree else None,
        autostart=not environ.get("OPSTORE_NO_AUTOSTART"),
        token=check_token(given, "OPSTORE_TOKEN") if given else None,
        token_file=cwd / token_file if token_file else None,
        allow_pickle=_switch(environ, "OPSTORE_ALLOW_PICKLE", user.get("allow_pickle", False)),
        author=author_setting(environ, user),
        cache=cache_folder(environ, cwd),
        cache_size=cache_size(environ, user),
        warnings=tuple(warnings),
    )
    if option_url is not None:
        return replace(settings, url=check_url(option_url, "--url"), origin="option")
    if environ.get("OPSTORE_URL"):
        return replace(settings, url=check_url(environ["OPSTORE_URL"], "OPSTORE_URL"), origin="environment")
    # A URL that both files name counts as the user's own.
    if "url" in tree and tree["url"] != user.get("url"):
        return replace(settings, url=tree["url"], origin="working tree", named_by=tree_file)
    if "url" in user:
        return replace(settings, url=user["url"], origin="user file", named_by=user_file)
    return settings


def _switch(environ: Mapping[str, str], name: str, default: bool) -> bool:
    """Return whether the variable is 1; `default` if it is unset. Raises InvalidSetting for any value but 1 and 0."""
    text = environ.get(name)
    if text and text not in ("0", "1"):
        raise errors.InvalidSetting(setting=name, reason="it must be 1 or 0")
    return text == "1" if text else default


def source_of(key: str, environ: Mapping[str, str]) -> str:
    """Return the source of a setting of the user's own file: a variable, the file, or the default.

    Raises InvalidSetting.
    """
    variable, user_file = f"OPSTORE_{key.upper()}", user_folder() / "config.toml"
    if environ.get(variable):
        return variable
    is_set = os.path.isfile(user_file) and key in read_table(user_file, USER_KEYS)
    return str(user_file) if is_set else "default"


def working_folder() -> Path:
    """Return the working directory of this process. Raises InvalidSetting if it was deleted."""
    with errors.translated(OSError, to=errors.InvalidSetting, setting="the working directory"):
        return Path.cwd()


def user_folder() -> Path:
    """Return the folder of the user's own settings and of the tokens that `login` stores."""
    return platformdirs.user_config_path("opstore", appauthor=False)


def home_folder(environ: Mapping[str, str], cwd: Path) -> Path:
    """Return the absolute path of the data folder: OPSTORE_HOME, or platformdirs' user data folder.

    Raises InvalidSetting for the folder of a user that does not exist.
    """
    home = environ.get("OPSTORE_HOME")
    if not home:
        return platformdirs.user_data_path("opstore", appauthor=False)
    with errors.translated(RuntimeError, to=errors.InvalidSetting, setting="OPSTORE_HOME"):  # ~ of an unknown user
        return cwd / Path(home).expanduser()
