"""Whom the client names as the author of its changes."""

import getpass
import pickle
import socket
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.author import default_author
from opstore_cli.config.settings import Settings, load_settings
from opstore_daemon.protocol import errors, routes
from tests.support.fake_daemon import FakeDaemon
from tests.support.user import User


def test_the_environment_precedes_the_users_own_file_and_the_working_tree_has_no_say(user: User) -> None:
    own = user.folder / "config" / "opstore" / "config.toml"
    own.parent.mkdir(parents=True)
    assert load_settings(None, {}, user.cwd).author is None
    own.write_text('author = "Ana <ana@example.org>"')
    assert load_settings(None, {"OPSTORE_AUTHOR": ""}, user.cwd).author == "Ana <ana@example.org>"
    assert load_settings(None, {"OPSTORE_AUTHOR": "ci"}, user.cwd).author == "ci"
    (user.cwd / "opstore.toml").write_text('author = "Eve"')
    with pytest.raises(errors.InvalidSetting, match=r"opstore\.toml: unknown key 'author'"):
        load_settings(None, {}, user.cwd)


@pytest.mark.parametrize("text", ["a\nb", " a", "a\x1b[2J", "x" * 201])
def test_text_that_can_not_name_an_author_is_refused_with_its_source(user: User, text: str) -> None:
    with pytest.raises(errors.InvalidSetting, match="OPSTORE_AUTHOR: it must be 1 to 200 printable characters"):
        load_settings(None, {"OPSTORE_AUTHOR": text}, user.cwd)
    with pytest.raises(errors.InvalidSetting, match="author: it must be 1 to 200 printable characters"):
        OpStoreClient("http://127.0.0.1:1", author=text)


def test_the_default_is_the_user_and_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")
    monkeypatch.setattr(getpass, "getuser", lambda: "ana")
    assert default_author() == "ana@laptop"
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert (default_author() or "").endswith("laptop"), "an account without a name has a number"
    monkeypatch.setattr(socket, "gethostname", lambda: "\x1b[2J")
    assert default_author() is None


def test_each_writing_request_names_the_author_and_no_other_one_does(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opstore_cli.client.base.default_author", lambda: None)
    settings = Settings(home=tmp_path, author="Zoë").with_url(daemon.url)
    for client in (
        OpStoreClient(settings=settings),
        OpStoreClient(settings=settings, author="ana"),
        pickle.loads(pickle.dumps(OpStoreClient(settings=settings, author="ana"))),  # noqa: S301 - ours
        OpStoreClient(daemon.url, settings=Settings(home=tmp_path)),
    ):
        with client:
            client.push("pca", b"one")
            client.show("pca")
    methods = [line.split()[0] for line in daemon.log]
    named = [
        headers.get(routes.AUTHOR) for method, headers in zip(methods, daemon.headers, strict=True) if method != "GET"
    ]
    assert named == ['%"Zo%c3%ab"', "ana", "ana", None]
    assert not any(routes.AUTHOR in h for m, h in zip(methods, daemon.headers, strict=True) if m == "GET")
