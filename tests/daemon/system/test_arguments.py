"""Passwords on the command line move into the environment."""

import os
import sys
from typing import Any

import pytest

from opstore_daemon.system.arguments import hide_passwords
from tests.support.for_each import for_each


@for_each(
    "url",
    [
        *(f"postgresql://me:{password}@db/ops" for password in ("hunter2", "a/b", "a?b", "a:b", "a#b", "a%40b", "a@b")),
        "postgresql+psycopg://:hunter2@db/ops",
        "postgresql://db/ops?user=me&password=hunter2",
        "postgresql://db/ops?sslpassword=hunter2",
    ],
)
def test_a_password_of_any_characters_leaves_the_command_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[tuple[Any, ...]] = []
    monkeypatch.setattr(os, "execve", lambda *arguments: executed.append(arguments))
    for words in (["--db", url], [f"--db={url}"]):
        monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "opstore_daemon", "serve", *words, "--port", "1"])
        hide_passwords({"--db": "OPSTORE_DB"})
        program, arguments, environ = executed.pop()
        assert (program, arguments[1:]) == (sys.executable, ["-m", "opstore_daemon", "serve", "--port", "1"])
        assert environ["OPSTORE_DB"] == url


@for_each("url", ["postgresql://me@db/ops", "postgresql://db:5432/ops", "sqlite:////srv/a:b/opstore.db"])
def test_a_url_without_a_password_stays(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *_arguments: pytest.fail("it was executed again"))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "opstore_daemon", "serve", "--db", url])
    hide_passwords({"--db": "OPSTORE_DB"})
