"""`opstore config`: show the settings and where they come from, and change the user's own."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from opstore_cli.config.working_tree import SWITCHES, USER_KEYS
from opstore_cli.console.command import HELP, Group, command
from opstore_cli.console.daemon_status import daemon_of, reason_of
from opstore_cli.console.options import refuse_url
from opstore_cli.console.parameters import Text
from opstore_cli.console.session import Session
from opstore_cli.output.cells import EMPTY, Cell, size_cell, text_cell
from opstore_cli.output.tables import Table

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from opstore_cli.config.settings import Settings

# What to use for settings that the user's own file does not have.
ELSEWHERE = {
    "pipeline": 'it is a setting of the working tree: write pipeline = "NAME" in its opstore.toml',
    "token": "a token is stored by opstore login URL",
    "home": "it is set by the variable OPSTORE_HOME",
    "autostart": "it is set by the variable OPSTORE_NO_AUTOSTART",
}


class KeyType(Text):
    """The name of a setting in the user's own file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        key = super().convert(value, param, ctx)
        if key not in USER_KEYS:
            reason = ELSEWHERE.get(key.lower(), f"the settings are {', '.join(USER_KEYS)}")
            self.fail(f"{key!r} can't be set here: {reason}", param, ctx)
        return key

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(key) for key in USER_KEYS if key.startswith(incomplete)]


class ValueType(Text):
    """The value of the setting that precedes it, which the command parses."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        from opstore_cli.console import completion

        if ctx.params.get("key") in SWITCHES:
            return [CompletionItem(word) for word in ("true", "false") if word.startswith(incomplete)]
        is_url = ctx.params.get("key") == "url"
        return completion.complete(completion.login_urls, ctx, incomplete) if is_url else []


@click.group("config", cls=Group, context_settings=HELP)
def config() -> None:
    """Show the settings and where they come from, or change your own.

    \b
    Examples:
      opstore config show
      opstore config set url https://models.example.com
      opstore config unset url
    """


@command("show", group=config)
def show(session: Session) -> None:
    """Show the settings and where they come from. The last line is the daemon that commands use.

    \b
    Examples:
      opstore config show
      opstore config show --json

    The columns are the setting, its value, and its source: an option, a variable, a file or the default. A token is
    never shown, only its source. -q prints the path of your own settings file.
    """
    from opstore_cli.config.user_file import user_file

    settings = session.settings()
    rows = [*_settings(settings), ("daemon", daemon_of(settings), reason_of(settings))]
    document = {
        "settings": [{"setting": name, "value": value, "source": source} for name, value, source in rows[:-1]],
        "daemon": {"url": settings.url, "home": str(settings.home), "because": reason_of(settings)},
        "user_file": str(user_file()),
    }
    session.out.write_result(
        document,
        quiet=[str(user_file())],
        full=Table(("SETTING", "VALUE", "FROM"), [(name, _cell(value), source) for name, value, source in rows]),
    )
    session.out.tip(f"your own settings file is {user_file()}")


@command("set", group=config)
@click.argument("key", type=KeyType())
@click.argument("value", type=ValueType())
def set_(session: Session, key: str, value: str) -> None:
    """Change a setting in your own settings file.

    \b
    Examples:
      opstore config set url https://models.example.com
      opstore config set author ana@example.org
      opstore config set cache_size 50GB
      opstore config set allow_pickle true

    \b
    Settings:
      url           the daemon that commands use
      author        who you are, for the journal
      cache_size    the size limit of the Python client's cache
      allow_pickle  whether the Python client may load pickles, which can run code
    """
    from opstore_cli.config.user_file import parse_value

    refuse_url(session)
    _change(session, key, parse_value(key, value))


@command("unset", group=config)
@click.argument("key", type=KeyType())
def unset(session: Session, key: str) -> None:
    """Remove a setting from your own settings file. If it is not there, the exit code is 0 too.

    \b
    Examples:
      opstore config unset url
    """
    refuse_url(session)
    _change(session, key, None)


def _change(session: Session, key: str, value: str | bool | None) -> None:
    from opstore_cli.config.user_file import change, user_file

    changed, path = change(key, value), user_file()
    document = {"setting": key, "value": value, "changed": changed, "user_file": str(path)}
    session.out.write_result(document, quiet=[], full=[])
    if value is None:
        session.out.note(f"removed {key} from {path}" if changed else f"{path} does not set {key}")
    else:
        session.out.note(f"set {key} in {path}" if changed else f"{path} has that already")
    if key == "url":
        settings = session.settings()
        session.out.note(f"commands use {daemon_of(settings)}, because {reason_of(settings)}")


def _settings(settings: "Settings") -> Iterator[tuple[str, str | bool | int | None, str]]:
    """Yield each setting with its value and its source."""
    from opstore_cli.config.author import default_author
    from opstore_cli.config.settings import source_of

    default = "default"
    origins = {"option": "--url", "environment": "OPSTORE_URL", "local": default}
    yield "url", settings.url, origins.get(settings.origin) or str(settings.named_by)
    yield "token", *_token(settings)
    yield "home", str(settings.home), "OPSTORE_HOME" if os.environ.get("OPSTORE_HOME") else default
    tree = default if settings.pipeline_file is None else str(settings.pipeline_file)
    yield "author", settings.author or default_author(), source_of("author", os.environ)
    yield "pipeline", settings.pipeline, tree
    yield "autostart", settings.autostart, default if settings.autostart else "OPSTORE_NO_AUTOSTART"
    yield "allow_pickle", settings.allow_pickle, source_of("allow_pickle", os.environ)
    cache = None if settings.cache is None else str(settings.cache)
    yield "cache", cache, "OPSTORE_CACHE" if os.environ.get("OPSTORE_CACHE") else default
    yield "cache_size", settings.cache_size, source_of("cache_size", os.environ)


def _token(settings: "Settings") -> tuple[str | None, str]:
    """Return a word in place of the token for the daemon, and where it comes from."""
    from opstore_cli.transport.target import credential
    from opstore_daemon.protocol import errors

    try:
        found = credential(settings)
    except errors.UntrustedUrl:
        return None, f"not logged in: the URL is not used until opstore login {settings.url}"
    except errors.OpStoreError as error:
        return None, error.text
    return (None, "none") if found is None else ("(not shown)", found.source)


def _cell(value: str | bool | int | None) -> Cell:
    if isinstance(value, bool):
        return Cell(str(value).lower())
    if value is None:
        return Cell(EMPTY, "(not set)", "dim")
    return size_cell(value) if isinstance(value, int) else text_cell(value)
