"""Advice that depends on the settings: it names only what is set."""

from pathlib import Path

import pytest

from opstore_cli.config.credentials import Credentials
from opstore_cli.config.settings import Settings, load_settings
from opstore_cli.transport.hints import advice_for
from opstore_cli.transport.interface import DAEMON_LOST
from opstore_daemon.protocol import errors
from tests.support.user import User

URL = "http://127.0.0.1:8080"
REMOTE = "https://models.example.com"
UNREACHABLE = errors.DaemonUnreachable(url=URL, reason="connection refused")
NO_DAEMON = errors.DaemonUnreachable(url=URL, reason="the server is not an opstore daemon (HTTP 200)")
NO_DAEMON_BEHIND = errors.DaemonUnreachable(url=URL, reason=f"{DAEMON_LOST} (HTTP 503)")
TOKEN = errors.TokenRequired(reason="the token of the request is not valid")
PROOF = errors.ProofFailed(url=URL)
START = "start a daemon there: opstore serve --port 8080, or check the tunnel or load balancer at that port"


@pytest.fixture
def home(user: User) -> Path:
    user.make_home()
    return user.home


def settings(user: User, url: str | None = None, **environ: str) -> Settings:
    return load_settings(url, {"OPSTORE_HOME": str(user.home), **environ}, user.cwd)


def test_a_url_of_the_option_is_named_as_that(user: User, home: Path) -> None:
    advice = advice_for(UNREACHABLE, settings(user, URL))
    assert advice == f"{START}; without --url, this command uses the local daemon"
    assert "OPSTORE_URL" not in advice


def test_what_is_used_without_the_option_is_named(user: User, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSTORE_URL", REMOTE)
    monkeypatch.chdir(user.cwd)
    assert advice_for(UNREACHABLE, settings(user, URL)).endswith(f"without --url, this command uses {REMOTE}")


def test_a_url_of_the_environment_is_named_as_that(user: User, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSTORE_URL", URL)
    monkeypatch.chdir(user.cwd)
    advice = advice_for(UNREACHABLE, settings(user, OPSTORE_URL=URL))
    assert advice == f"{START}; without OPSTORE_URL, commands use the local daemon"


def test_a_url_of_a_file_names_the_file_or_how_to_remove_it(user: User, home: Path) -> None:
    (user.cwd / "opstore.toml").write_text(f'url = "{URL}"\n')
    advice = advice_for(UNREACHABLE, settings(user))
    assert advice == f"{START}; {user.cwd / 'opstore.toml'} names this URL"
    (user.cwd / "opstore.toml").unlink()
    (user.folder / "config" / "opstore").mkdir(parents=True)
    (user.folder / "config" / "opstore" / "config.toml").write_text(f'url = "{URL}"\n')
    assert (
        advice_for(UNREACHABLE, settings(user)) == f"{START}; to use the local daemon again: opstore config unset url"
    )


def test_another_server_or_a_remote_machine_gets_other_advice(user: User, home: Path) -> None:
    assert advice_for(NO_DAEMON, settings(user, URL)).startswith("check the URL; without --url")
    assert advice_for(NO_DAEMON_BEHIND, settings(user, URL)).startswith("look at the daemons behind it: ")
    for remote in (REMOTE, "https://127.0.0.1:8443"):  # a daemon has no TLS: a proxy listens there
        assert advice_for(UNREACHABLE, settings(user, remote)).startswith(
            "check the URL, and that the daemon and the proxy in front of it run; opstore serve starts a daemon there; "
        )


@pytest.mark.parametrize(
    ("url", "environ", "advice"),
    [
        (REMOTE, {}, f"opstore login {REMOTE}, with a token of that daemon (run opstore token there)"),
        (REMOTE, {"OPSTORE_TOKEN": "other"}, "set OPSTORE_TOKEN to a token of that daemon (run opstore token there)"),
        (None, {"OPSTORE_TOKEN": "other"}, "unset OPSTORE_TOKEN: the local daemon's own token is found without it"),
        (None, {}, "to have the daemon read its token file again: opstore restart"),
    ],
)
def test_a_refused_token_is_named_by_its_source(
    user: User, home: Path, url: str | None, environ: dict[str, str], advice: str
) -> None:
    assert advice_for(TOKEN, settings(user, url, **environ)) == advice


def test_a_stored_token_is_named_if_a_variable_outranks_it(user: User, home: Path) -> None:
    Credentials().store(REMOTE, "stored")
    advice = advice_for(TOKEN, settings(user, REMOTE, OPSTORE_TOKEN="other"))
    assert advice.endswith(", or unset OPSTORE_TOKEN to use the one that you logged in with")


def test_a_failed_proof_is_answered_by_the_source_of_the_token(user: User, home: Path) -> None:
    assert advice_for(PROOF, settings(user)) == "opstore restart"
    assert advice_for(PROOF, settings(user, URL)).startswith(f"opstore login {URL}, with the token of the daemon there")
    named = advice_for(PROOF, settings(user, URL, OPSTORE_TOKEN="other"))
    assert named.startswith("set OPSTORE_TOKEN to the token of the daemon there")


def test_other_errors_keep_their_advice(user: User, home: Path) -> None:
    assert advice_for(errors.OpNotFound(op="pca"), settings(user)) == "opstore ops"
