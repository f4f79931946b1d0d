"""`login`, `logout` and `token`: where a token is stored, where it is sent, and that no output shows it."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors
from tests.e2e.console.test_settings import authorizations, user_file
from tests.support.file_modes import mode
from tests.support.machines import Machine
from tests.support.wire import Stranger, refusing_port

KEPT = "stored the token in /machine/user/.config/opstore/credentials.json\n"
if sys.platform == "darwin":
    KEPT = KEPT.replace(".config", "Library/Application Support")
OTHER = "to use URL: opstore --url URL COMMAND, or opstore config set url URL\n"
KEPT += "commands still use the local daemon of /machine/data, because no URL is set\n" + OTHER
NOTHING = "there was no token to delete\n"


def credentials_file(machine: Machine) -> Path:
    return user_file(machine).with_name("credentials.json")


def store_token(machine: Machine, url: str, token: str) -> None:
    """Store a token as `login` does, without checking it with a daemon."""
    path = credentials_file(machine)
    path.write_text(json.dumps({"tokens": {url: token}}))
    path.chmod(0o600)


def login(machine: Machine, daemon: Machine, *words: str) -> tuple[int, str, str]:
    return machine.run("login", daemon.url, *words, stdin=f"{daemon.token}\n".encode())


def test_after_login_the_token_is_sent_to_that_url(machine: Machine, other: Machine) -> None:
    other.do("start")
    ops = ("ops", "-q", "--url", other.url)
    assert machine.run(*ops)[0] == 8
    assert login(machine, other) == (0, "URL\n", KEPT)
    path = credentials_file(machine)
    assert mode(path) == 0o600
    assert machine.run(*ops) == (0, "", "")
    assert machine.run(*ops[:-1], other.url.replace("http", "HTTP") + "/") == (0, "", "")
    assert machine.ask("status", "--url", other.url)[1]["credential"] == "login"
    assert not machine.home.exists(), "no local daemon was needed"
    # Login can be repeated, in every output format.
    assert login(machine, other, "-q") == (0, "URL\n", "")
    code, out, err = login(machine, other, "--json")
    document = json.loads(out)
    assert (code, document["url"], document["version"]) == (0, "URL", "0.1.0")
    assert document["path"].endswith("/opstore/credentials.json")
    assert [list(json.loads(line)) for line in err.splitlines()] == [["note"]] * 3
    assert (document["default"], document["daemon"]["because"]) == (False, "no URL is set")
    assert machine.run("logout", other.url) == (0, "URL\n", "")
    assert machine.run("logout", other.url) == (0, "", NOTHING)
    assert machine.run(*ops)[0] == 8


def test_login_default_has_commands_use_that_daemon(machine: Machine, other: Machine) -> None:
    other.do("start")
    file = user_file(machine)
    file.write_text("# mine\n")
    code, out, err = login(machine, other, "--default")
    assert (code, out) == (0, "URL\n")
    shown = machine.tidy(str(file))
    assert err.splitlines()[1:] == [f"commands use URL, because {shown} names it"]
    assert file.read_text() == f'# mine\nurl = "{other.url}"\n'
    assert machine.run("ops") == (0, "", "")
    assert machine.ask("status")[1]["because"] == f"{shown} names it"
    # OPSTORE_URL takes precedence, and the command says so.
    elsewhere = {"OPSTORE_URL": "https://models.example.com"}
    err = machine.run("login", other.url, "--default", stdin=other.token.encode(), env=elsewhere)[2]
    still = "warning: commands still use https://models.example.com, because OPSTORE_URL names it"
    assert err.splitlines()[1:] == [still]
    assert machine.run("logout", other.url) == (
        0,
        "URL\n",
        f"commands still use URL, because {shown} names it; to use the local daemon: opstore config unset url\n",
    )


def test_a_token_that_the_daemon_refuses_is_not_stored(machine: Machine, other: Machine) -> None:
    other.do("start")
    said = (
        "error: URL did not prove that it knows the token, which was not sent: a wrong token, or another program\n"
        "hint: enter the token that opstore token prints there\n"
    )
    assert machine.run("login", other.url, stdin=b"a-wrong-one-of-some-length") == (8, "", said)
    assert not credentials_file(machine).exists()
    # Nor does it replace a valid one.
    login(machine, other)
    machine.run("login", other.url, stdin=b"a-wrong-one-of-some-length")
    assert machine.run("ops", "--url", other.url) == (0, "", "")


def test_nothing_is_stored_if_the_daemon_cannot_be_reached(
    machine: Machine, strangers: Callable[..., Stranger]
) -> None:
    stranger = strangers("200 OK", body=b"welcome", tokens=["token"])
    for url in (f"http://127.0.0.1:{refusing_port()}", stranger.url):
        code, out, err = machine.run("login", url, stdin=b"token")
        assert (code, out, err.startswith("error: no daemon answers at URL: ")) == (7, "", True)
    assert not credentials_file(machine).exists()


def test_a_token_with_a_byte_order_mark_is_stored_without(machine: Machine) -> None:
    machine.do("start")
    machine.do("login", machine.url, stdin=b"\xef\xbb\xbf" + machine.token.encode() + b"\r\n")
    assert json.loads(credentials_file(machine).read_bytes())["tokens"] == {machine.url: machine.token}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (b"", "none was given"),
        (b" \n\n", "none was given"),
        ("schlüssel".encode(), "a token is ASCII text"),
        (b"two words", "a token is one word of printable ASCII characters"),
        (b"two\nlines", "a token is one word of printable ASCII characters"),
        (b"x" * 5000, "a token is one word of printable ASCII characters"),
    ],
)
def test_an_invalid_token_is_refused_before_anything_is_sent(
    machine: Machine, strangers: Callable[..., Stranger], given: bytes, reason: str
) -> None:
    stranger = strangers()
    said = f"error: the token: {reason}\n"
    assert machine.run("login", stranger.url, stdin=given) == (2, "", said)
    assert (stranger.connections, credentials_file(machine).exists()) == (0, False)


def test_a_closed_standard_input_gives_no_token(machine: Machine) -> None:
    said = "error: the token: standard input is closed\n"
    assert machine.run("login", "http://127.0.0.1:1", preexec_fn=lambda: os.close(0)) == (2, "", said)


def test_an_unusable_url_is_refused_before_the_token_is_read(machine: Machine) -> None:
    for url, code in (("http://192.0.2.1", 8), ("ftp://host", 2), ("https://user:secret@host", 2), ("", 2)):
        got, out, err = machine.run("login", url)
        assert (got, out, "secret" in err, "none was given" in err) == (code, "", False, False)


def test_login_has_no_options_for_token_and_url(machine: Machine) -> None:
    assert machine.run("login", "https://host", "--token", "x")[0] == 2
    for words in (
        ("login", "https://host", "--url", "https://host"),
        ("logout", "https://host", "--url", "https://host"),
        ("logout", "--all", "--url", "https://host"),
        ("logout", "--all", "https://host"),
        ("token", "--url", "https://host"),
    ):
        code, out, err = machine.run(*words)
        assert (code, out, err.endswith(f"hint: opstore {words[0]} --help\n")) == (2, "", True)


# --- on a terminal ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_terminal_prompts_for_the_token_and_hides_it(machine: Machine, other: Machine) -> None:
    other.do("start")
    code, shown = machine.on_a_terminal("login", other.url, keys=f"{other.token}\n".encode())
    # Notes are wrapped at the width of the terminal.
    assert (code, shown.split()) == (0, f"Token for URL: \nURL\n{KEPT}".split())
    assert machine.run("ops", "--url", other.url) == (0, "", "")


@pytest.mark.slow
def test_an_aborted_prompt_stores_nothing(machine: Machine) -> None:
    url = f"http://127.0.0.1:{refusing_port()}"
    assert machine.on_a_terminal("login", url, keys=b"\x03")[0] == 130
    code, shown = machine.on_a_terminal("login", url, keys=b"\x04")
    assert (code, "none was given" in shown) == (2, True)
    code, shown = machine.on_a_terminal("login", url, keys=b"\n")
    assert (code, "none was given" in shown) == (2, True)
    assert not credentials_file(machine).exists()


# --- where the token is sent ------------------------------------------------------------------------------------------


def test_a_url_of_the_working_tree_is_used_after_login_with_its_token_only(
    machine: Machine, strangers: Callable[..., Stranger]
) -> None:
    stranger = strangers(tokens=["kept"])
    machine.file("opstore.toml", f'url = "{stranger.url}"')
    secret = machine.file("secret", "from-a-file")
    secret.chmod(0o600)
    given: list[dict[str, str]] = [{}, {"OPSTORE_TOKEN": "secret"}, {"OPSTORE_TOKEN_FILE": str(secret)}]
    for env in given:
        assert machine.run("ops", env=env)[0] == 8
    assert stranger.connections == 0
    store_token(machine, stranger.url, "kept")
    for env in given:
        stranger.received = b""
        machine.run("ops", env=env)
        assert authorizations(stranger) == {b"Authorization: Bearer kept"}
    assert not machine.home.exists()
    assert machine.run("logout") == (0, "URL\n", "")
    assert machine.run("ops") == (
        8,
        "",
        "error: URL comes from /machine/work/opstore.toml, which somebody else may have written, so it is not used\n"
        "hint: opstore login URL, if you trust it\n",
    )


def test_a_working_tree_is_used_after_a_real_login(machine: Machine, other: Machine) -> None:
    other.do("start")
    machine.file("opstore.toml", f'url = "{other.url}/"')
    assert machine.run("ops")[0] == 8
    assert login(machine, other)[0] == 0
    assert machine.run("ops") == (0, "", "")
    assert machine.ask("status")[1]["credential"] == "login"


def test_a_stored_token_is_sent_to_no_other_url(machine: Machine, strangers: Callable[..., Stranger]) -> None:
    one, two = strangers(tokens=["given"]), strangers()
    store_token(machine, one.url, "kept")
    for url in (two.url, one.url + "/team", one.url.replace("127.0.0.1", "localhost")):
        machine.run("ops", "--url", url)
    assert two.connections > 0
    assert b"kept" not in one.received + two.received
    machine.run("ops", "--url", one.url, env={"OPSTORE_TOKEN": "given"})
    assert authorizations(one) == {b"Authorization: Bearer given"}


def test_login_reports_that_the_environment_takes_precedence(machine: Machine, other: Machine) -> None:
    other.do("start")
    code, _, err = machine.run(
        "login", other.url, stdin=other.token.encode(), env={"OPSTORE_TOKEN": "another-of-some-length"}
    )
    said = "warning: OPSTORE_TOKEN or OPSTORE_TOKEN_FILE is set, and takes precedence where it may be sent\n"
    assert (code, err) == (0, KEPT + said)


@pytest.mark.slow
def test_the_python_client_sends_the_stored_token(machine: Machine, other: Machine, tmp_path: Path) -> None:
    other.do("start")
    login(machine, other)
    script = f"""
from opstore_cli import OpStoreClient
with OpStoreClient({other.url!r}) as client:
    print(client.push("pca", b"bytes").version, client.target.source)
"""
    assert machine.do("-c", script, program=[sys.executable]) == "1.0.0 login"


# --- logout -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_logout_without_a_url_uses_the_url_of_the_settings(machine: Machine) -> None:
    store_token(machine, "https://models.example.com", "kept")
    note = "which URL? You are logged in to: https://models.example.com\n"
    assert machine.run("logout") == (0, "", note)
    env = {"OPSTORE_URL": "https://Models.example.com:443/"}
    still = "commands still use https://models.example.com, because OPSTORE_URL names it\n"
    assert machine.run("logout", env=env) == (0, "https://models.example.com\n", still)
    assert machine.run("logout", env=env) == (0, "", NOTHING)
    assert machine.run("logout", "--url", "https://models.example.com") == (0, "", NOTHING)
    note = "you are not logged in to any URL\n"
    assert machine.run("logout") == (0, "", note)


def test_logout_of_all_deletes_the_file_whatever_it_contains(machine: Machine) -> None:
    credentials_file(machine).write_text('{"tokens": {"https://b": "x", "https://a": "y"}}')
    assert machine.run("logout", "--all", "--json") == (0, '{"forgotten":["https://a","https://b"]}\n', "")
    credentials_file(machine).write_text("something else")
    assert machine.run("logout", "https://a") == (
        2,
        "",
        machine.tidy(f"error: {credentials_file(machine)}: it does not contain tokens as opstore login writes them\n"),
    )
    assert machine.run("logout", "--all") == (0, "", NOTHING)
    assert not credentials_file(machine).exists()


# --- token ------------------------------------------------------------------------------------------------------------


def test_the_token_is_printed_to_a_pipe(machine: Machine, other: Machine) -> None:
    assert machine.run("token") == (
        4,
        "",
        "error: there is no token in /machine/data/token: the daemon creates it when it first starts\n"
        "hint: opstore start\n",
    )
    assert not machine.home.exists()
    machine.do("start")
    for words in (("token",), ("token", "-q")):
        assert machine.raw(*words) == (0, f"{machine.token}\n".encode(), b"")
    document = {"token": machine.token, "url": "URL", "path": "/machine/data/token"}
    assert machine.ask("token")[1] == document
    assert other.run("login", machine.url, stdin=machine.raw("token")[1])[0] == 0
    machine.do("stop")
    assert machine.ask("token")[1] == {**document, "url": None}
    # If the settings select another daemon, the output says whose token this is.
    said = "warning: OPSTORE_URL is set: this is the token of the local daemon, not of that one\n"
    assert machine.run("token", env={"OPSTORE_URL": "https://host"}) == (0, f"{machine.token}\n", said)


def test_on_a_terminal_there_is_a_warning_with_the_token(machine: Machine) -> None:
    machine.do("start")
    code, shown = machine.on_a_terminal("token", env={"NO_COLOR": "1"})
    warning = "warning: anyone who sees this token has full access to the store; clear the screen\n"
    assert (code, sorted(shown.splitlines(keepends=True))) == (0, sorted([f"{machine.token}\n", warning]))


@pytest.mark.slow
def test_no_other_command_shows_a_token(machine: Machine, other: Machine) -> None:
    for each in (machine, other):
        each.do("start")
    login(machine, other)
    given = {"OPSTORE_TOKEN": other.token, "OPSTORE_URL": other.url}
    for env in ({}, {"OPSTORE_URL": other.url}, given):
        for words in (("status",), ("doctor",), ("ops",), ("login", other.url), ("logout",)):
            for form in (("--json",), ("-v",)):  # -v prints all that is printed without it
                said = b"".join(machine.raw(*words, *form, env=env, stdin=other.token.encode())[1:])
                assert not any(token.encode() in said for token in (machine.token, other.token))


def test_the_error_of_a_client_without_a_login_suggests_login(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.do("start")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(machine.user))
    monkeypatch.setenv("OPSTORE_HOME", str(machine.cwd / "elsewhere"))
    with OpStoreClient(machine.url) as client, pytest.raises(errors.TokenRequired) as refused:
        client.ops()
    assert "opstore login" in refused.value.advice
