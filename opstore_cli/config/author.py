"""The author of changes: a setting of the user's own, or the user's name and the host's."""

import os
from collections.abc import Mapping

from opstore_daemon.protocol import authors, errors


def check_author(text: str, setting: str) -> str:
    """Return the text if it can name an author (protocol.authors). Raises InvalidSetting."""
    if not authors.is_author(text):
        raise errors.InvalidSetting(setting=setting, reason=authors.RULE)
    return text


def author_setting(environ: Mapping[str, str], user: Mapping[str, str]) -> str | None:
    """Return OPSTORE_AUTHOR, or `author` of the user's own file; None if neither is set. Raises InvalidSetting."""
    for setting, text in (("OPSTORE_AUTHOR", environ.get("OPSTORE_AUTHOR")), ("author", user.get("author"))):
        if text:
            return check_author(text, setting)
    return None


def default_author() -> str | None:
    """Return the names of the user and the host, `ana@laptop`; None if they can't name an author."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # no variable and no account, as for the user of some containers
        user = str(os.getuid()) if hasattr(os, "getuid") else ""
    author = "@".join(each for each in (user, socket.gethostname()) if each)
    return author if authors.is_author(author) else None
