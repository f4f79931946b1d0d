"""Describe wrong usage in plain words, in place of click's, and suggest what was meant."""

import re
from difflib import SequenceMatcher

import click
from click.core import Argument

from opstore_cli.console.suggestions import CUTOFF

_EXTRA = re.compile(r"^Got unexpected extra arguments? \((.*)\)$", re.DOTALL)


def describe(error: click.ClickException) -> str:
    """Return what is wrong, in a sentence without a capital and a period."""
    match error:
        case click.MissingParameter():
            return f"give {_name(error)}" if error.param is not None else error.format_message()
        case click.BadParameter() if error.param is not None:
            return f"{_name(error)}: {_plain(error.message)}"
        case click.NoSuchOption():
            return f"there is no option {error.option_name}"
        case click.BadOptionUsage() if "requires an argument" in error.message:
            return f"{error.option_name} needs a value"
    message = " ".join(error.format_message().split())
    extra = _EXTRA.match(message)
    return f"unexpected argument: {extra[1]}" if extra else message


def suggest(error: click.ClickException) -> str:
    """Return the advice: that of the error, the options that may be meant, or the command's help."""
    from opstore_daemon.protocol.errors import did_you_mean

    advice = getattr(error, "advice", "")
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        similar = [each for each in error.possibilities if _is_similar(error.option_name, each)]
        advice = did_you_mean(sorted(similar)) if similar else ""
    ctx = getattr(error, "ctx", None)
    return advice or f"{ctx.command_path if ctx is not None else 'opstore'} --help"


def _is_similar(option: str, other: str) -> bool:
    """Return whether the options are similar without dashes, which make `--as-of` similar to `--json` for click."""
    return SequenceMatcher(None, option.lstrip("-"), other.lstrip("-")).ratio() >= CUTOFF


def _name(error: click.BadParameter) -> str:
    """Return the parameter as the help writes it; an option that is missing, with its value."""
    param = error.param
    assert param is not None  # noqa: S101 - the callers check it
    if isinstance(param, Argument):
        name = param.human_readable_name.removesuffix("...")
        return name[1:-1] if re.fullmatch(r"\[[^][]*\]", name) else name
    name = max(param.opts, key=len)
    if not isinstance(error, click.MissingParameter):
        return name
    return f"{name} {param.make_metavar(error.ctx or click.Context(click.Command('opstore')))}"


def _plain(message: str) -> str:
    """Return click's sentence without its capital and period; a message of ours has neither."""
    text = " ".join(message.split()).removesuffix(".")
    return text[:1].lower() + text[1:] if re.match(r"[A-Z][a-z]* '", text) else text
