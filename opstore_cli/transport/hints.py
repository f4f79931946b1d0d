"""Advice for errors that depends on the settings: it names only what is set, and what was typed."""

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.config.settings import Settings


def advice_for(error: errors.OpStoreError, settings: "Settings") -> str:
    """Return the advice for an error of a command that has these settings."""
    match error:
        case errors.DaemonUnreachable():
            return "; ".join(filter(None, (_about_server(error, settings), _about_url(settings))))
        case errors.TokenRequired():
            return _about_token(error, settings)
        case errors.ProofFailed():
            return _about_proof(settings)
    return error.advice


def advice_for_login(error: errors.OpStoreError, settings: "Settings") -> str:
    """Return the advice for an error of `opstore login`, whose URL the settings have."""
    match error:
        case errors.DaemonUnreachable():
            return _about_server(error, settings)
        case errors.TokenRequired() | errors.ProofFailed():
            return "enter the token that opstore token prints there"
    return error.advice


def _about_server(error: errors.OpStoreError, settings: "Settings") -> str:
    from urllib.parse import urlsplit

    from opstore_cli.config.urls import is_loopback
    from opstore_cli.transport.interface import DAEMON_LOST

    if settings.url is None:
        return error.advice
    if "not an opstore daemon" in error.text:
        return "check the URL"
    if DAEMON_LOST in error.text:
        return "look at the daemons behind it: the log of each says why it is not ready"
    parts = urlsplit(settings.url)
    if is_loopback(settings.url) and parts.scheme == "http":
        port = "" if parts.port is None else f" --port {parts.port}"
        return f"start a daemon there: opstore serve{port}, or check the tunnel or load balancer at that port"
    # A daemon has no TLS of its own.
    return "check the URL, and that the daemon and the proxy in front of it run; opstore serve starts a daemon there"


def _about_url(settings: "Settings") -> str:
    """Return where the URL comes from, and which daemon is used without it."""
    match settings.origin:
        case "option":
            return f"without --url, this command uses {_fallback(settings)}"
        case "environment":
            return f"without OPSTORE_URL, commands use {_fallback(settings)}"
        case "working tree":
            return f"{settings.named_by} names this URL"
        case "user file":
            return "to use the local daemon again: opstore config unset url"
    return ""


def _fallback(settings: "Settings") -> str:
    """Return the daemon that is used without the URL of the option, or of the environment."""
    from opstore_cli.config.settings import load_settings, working_folder

    environ = dict(os.environ)
    if settings.origin == "environment":
        del environ["OPSTORE_URL"]
    with suppress(errors.OpStoreError, KeyError):
        return load_settings(None, environ, working_folder()).url or "the local daemon"
    return "the local daemon"


def _source(settings: "Settings") -> str | None:
    """Return where the token comes from; None without one."""
    from opstore_cli.transport.target import credential

    with suppress(errors.OpStoreError):
        found = credential(settings)
        return None if found is None else found.source
    return None


def _about_token(error: errors.OpStoreError, settings: "Settings") -> str:
    source = _source(settings)
    if source in ("OPSTORE_TOKEN", "OPSTORE_TOKEN_FILE"):
        if settings.url is None:
            return f"unset {source}: the local daemon's own token is found without it"
        rest = replace(settings, token=None, token_file=None)
        stored = f", or unset {source} to use the one that you logged in with" if _source(rest) == "login" else ""
        return f"set {source} to a token of that daemon (run opstore token there){stored}"
    if settings.url is None:
        return "to have the daemon read its token file again: opstore restart"
    if source == "token file":
        return error.advice
    return f"opstore login {settings.url}, with a token of that daemon (run opstore token there)"


def _about_proof(settings: "Settings") -> str:
    source = _source(settings)
    if settings.url is None:
        return "opstore restart"
    if source in ("OPSTORE_TOKEN", "OPSTORE_TOKEN_FILE"):
        fix = f"set {source} to the token of the daemon there (run opstore token there)"
    else:
        fix = f"opstore login {settings.url}, with the token of the daemon there (run opstore token there)"
    return f"{fix}; behind a tunnel from another port it needs --allow-host"
