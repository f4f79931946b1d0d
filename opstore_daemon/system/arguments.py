"""Passwords on the command line, which every user of the machine can read while the program runs."""

import os
import re
import sys
from collections.abc import Mapping

# The user's part of a URL, whose password may have any character, or an option in it.
_HAS_PASSWORD = re.compile(r"[a-z][a-z0-9+]*://(?:[^/@]*:.*@|.*[?&](?:ssl)?password=)", re.ASCII | re.IGNORECASE)


def hide_passwords(variables: Mapping[str, str]) -> None:
    """Execute this program again with each URL that has a password in a variable, not on the command line.

    `variables` has the name of the variable for each option that takes a URL. The environment of a process is readable
    for its own user only. Does nothing if there is no such URL.
    """
    words, hidden = [], {}
    arguments = iter(sys.orig_argv[1:])
    for word in arguments:
        option, has_value, value = word.partition("=")
        if option in variables and not has_value:
            value = next(arguments, "")
        if option in variables and _HAS_PASSWORD.match(value):
            hidden[variables[option]] = value
        else:
            words += [word, value] if option in variables and not has_value else [word]
    if hidden:
        os.execve(sys.executable, [sys.executable, *words], {**os.environ, **hidden})  # noqa: S606
