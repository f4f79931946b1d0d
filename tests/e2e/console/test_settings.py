"""Settings: which daemon a command uses, their precedence, and where tokens are sent."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.machines import STARTED, Machine
from tests.support.wire import Stranger, refusing_port


def user_file(machine: Machine) -> Path:
    folder = machine.user / ("Library/Application Support" if sys.platform == "darwin" else ".config") / "opstore"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "config.toml"


def push_op(machine: Machine) -> str:
    """Push an op that is named after the machine; return its name."""
    machine.file("blob", "one")
    machine.do("push", machine.folder.name, "blob")
    return machine.folder.name


def test_the_precedence_of_the_settings(machine: Machine, other: Machine, strangers: Callable[..., Stranger]) -> None:
    here, there = push_op(machine), push_op(other)
    nowhere = f"http://127.0.0.1:{refusing_port()}"
    token = {"OPSTORE_TOKEN": other.token}
    # The default is the local daemon.
    assert machine.run("ops", "-q") == (0, f"{here}\n", "")
    # The user's file takes precedence over the default.
    user_file(machine).write_text(f'url = "{other.url}"')
    assert machine.run("ops", "-q", env=token) == (0, f"{there}\n", "")
    # The working tree takes precedence over the user's file, but a URL from it alone is not used.
    tree = machine.file("opstore.toml", f'url = "{nowhere}"')
    assert machine.run("ops", "-q", env=token)[0] == 8
    tree.write_text(f'url = "{other.url}"')
    assert machine.run("ops", "-q", env=token) == (0, f"{there}\n", "")
    tree.write_text(f'url = "{nowhere}"')
    # The environment takes precedence over both.
    assert machine.run("ops", "-q", env={**token, "OPSTORE_URL": other.url}) == (0, f"{there}\n", "")
    # An option takes precedence over the environment.
    assert machine.run("ops", "-q", "--url", other.url, env={**token, "OPSTORE_URL": nowhere}) == (0, f"{there}\n", "")
    # An empty variable counts as unset.
    tree.unlink()
    user_file(machine).unlink()
    empty = dict.fromkeys(("OPSTORE_URL", "OPSTORE_TOKEN", "OPSTORE_TOKEN_FILE", "OPSTORE_NO_AUTOSTART"), "")
    assert machine.run("ops", "-q", env=empty) == (0, f"{here}\n", "")


def test_the_working_tree_sets_the_default_pipeline(stocked: Machine) -> None:
    folder = stocked.cwd / "tree"
    inner = folder / "src"
    inner.mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[tool.opstore]\npipeline = "text"')
    assert stocked.run("validate", "-q", cwd=inner) == (3, "unknown\n", "")
    (inner / "opstore.toml").write_text('pipeline = "churn"')
    assert stocked.run("validate", "-q", cwd=inner) == (1, "invalid\n", "")
    assert stocked.run("validate", "text", "-q", cwd=inner) == (3, "unknown\n", "")
    # Files outside of the current repository are ignored.
    (inner / "opstore.toml").unlink()
    (inner / ".git").mkdir()
    assert stocked.run("validate", "-q", cwd=inner)[0] == 2


@pytest.mark.parametrize(
    "content", ["home = '/x'", "token = 'x'", "url = 1", "[[", "url = 'ftp://x'", "url = 'http://u:p@127.0.0.1'"]
)
def test_a_working_tree_that_sets_more_than_it_may_is_refused(machine: Machine, content: str) -> None:
    machine.file("opstore.toml", content)
    code, out, err = machine.run("ops")
    assert (code, out, err.startswith("error: /machine/work/opstore.toml: ")) == (2, "", True)
    assert ("u:p" in err, machine.home.exists()) == (False, False)


# --- where tokens are sent --------------------------------------------------------------------------------------------


def authorizations(stranger: Stranger) -> set[bytes]:
    lines = stranger.received.split(b"\r\n")
    return {line for line in lines if line.lower().startswith(b"authorization")}


def test_environment_tokens_are_sent_to_urls_of_options_environment_and_user_settings(
    machine: Machine, strangers: Callable[..., Stranger]
) -> None:
    token_file = machine.file("credentials", "from-a-file\n")
    token_file.chmod(0o600)
    user = strangers(tokens=["secret"])
    user_file(machine).write_text(f'url = "{user.url}"')
    machine.run("ops", env={"OPSTORE_TOKEN": "secret"})
    assert authorizations(user) == {b"Authorization: Bearer secret"}
    for env, expected in (
        ({"OPSTORE_TOKEN": "secret"}, b"secret"),
        ({"OPSTORE_TOKEN_FILE": "credentials"}, b"from-a-file"),
        ({"OPSTORE_TOKEN_FILE": str(token_file), "OPSTORE_TOKEN": "secret"}, b"secret"),
    ):
        option, environment = (strangers(tokens=["secret", "from-a-file"]) for _ in range(2))
        machine.run("ops", "--url", option.url, env=env)
        machine.run("ops", env={**env, "OPSTORE_URL": environment.url})
        for stranger in (option, environment):
            assert authorizations(stranger) == {b"Authorization: Bearer " + expected}
            stranger.received = b""


def test_the_token_of_the_home_is_sent_to_no_other_url(machine: Machine, strangers: Callable[..., Stranger]) -> None:
    machine.do("start")
    stranger = strangers()
    machine.run("ops", "--url", stranger.url)
    machine.run("ops", env={"OPSTORE_URL": stranger.url})
    assert (stranger.connections > 1, authorizations(stranger)) == (True, set())
    assert machine.token.encode() not in stranger.received


def test_the_token_of_the_home_is_sent_to_the_url_of_the_local_daemon_after_its_proof(
    machine: Machine, strangers: Callable[..., Stranger]
) -> None:
    machine.do("start")
    assert machine.run("ops", "--url", machine.url) == (0, "", "")
    machine.do("stop")
    # The daemon has stopped, and a stranger listens on its port.
    stranger = strangers("200 OK", body=b"ok\n")
    runtime = {"url": stranger.url, "port": stranger.port, "pid": 100000, "version": "0.1.0"}
    machine.runtime_file.write_text(json.dumps(runtime))
    assert machine.run("ops", "--url", stranger.url)[0] == 7
    assert stranger.connections > 0
    assert (authorizations(stranger), machine.token.encode() in stranger.received) == (set(), False)


def test_a_token_file_readable_by_others_causes_a_warning(machine: Machine) -> None:
    machine.do("start")
    path = machine.file("credentials", machine.token)
    path.chmod(0o644)
    env = {"OPSTORE_TOKEN_FILE": str(path)}
    said = "others can read the token in /machine/work/credentials: chmod 600 /machine/work/credentials\n"
    assert machine.run("ops", env=env) == (0, "", said)
    path.chmod(0o600)
    assert machine.run("ops", env=env) == (0, "", "")


def test_an_invalid_token_is_refused_and_not_shown(machine: Machine) -> None:
    for token in ("two words", "a\nb", "é"):
        code, out, err = machine.run("ops", env={"OPSTORE_TOKEN": token})
        assert (code, out, token in err) == (2, "", False)
    assert not machine.home.exists()


def test_no_redirect_is_followed(machine: Machine, strangers: Callable[..., Stranger]) -> None:
    target = strangers()
    for status in ("301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
        first = strangers(status, f"Location: {target.url}/v1/ops\r\n", tokens=["secret"])
        code, out, err = machine.run("ops", "--url", first.url, env={"OPSTORE_TOKEN": "secret"})
        assert (code, out, err.splitlines()[0]) == (
            7,
            "",
            "error: no daemon answers at URL: it responds with a redirect, which is not followed",
        )
    assert target.connections == 0


def test_the_netrc_file_is_ignored(machine: Machine, strangers: Callable[..., Stranger]) -> None:
    netrc = machine.user / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\ndefault login x password y\n")
    netrc.chmod(0o600)
    stranger = strangers("401 Unauthorized")
    for env in ({}, {"NETRC": str(netrc)}):
        machine.run("ops", "--url", stranger.url, env=env)
    assert (stranger.connections > 0, authorizations(stranger)) == (True, set())


def test_loopback_connections_use_no_proxy(machine: Machine, strangers: Callable[..., Stranger]) -> None:
    proxy = strangers()
    names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
    env = dict.fromkeys(names, proxy.url)
    assert machine.run("ops", env=env) == (0, "", STARTED)
    assert machine.run("ops", "--url", machine.url, env=env) == (0, "", "")
    assert machine.run(
        "ops", "--url", machine.url.replace("127.0.0.1", "localhost"), env={**env, "OPSTORE_TOKEN": machine.token}
    ) == (
        0,
        "",
        "",
    )
    assert proxy.connections == 0


@pytest.mark.slow
def test_remote_connections_use_the_proxy_of_the_environment(
    machine: Machine, strangers: Callable[..., Stranger]
) -> None:
    proxy = strangers("502 Bad Gateway")
    code, _, _ = machine.run("ops", "--url", "http://opstore.invalid:8080", env={"http_proxy": proxy.url})
    assert (code, b"GET http://opstore.invalid:8080/v1/ops" in proxy.received) == (7, True)


def test_the_text_of_a_daemon_is_escaped(machine: Machine, strangers: Callable[..., Stranger]) -> None:
    body = b'{"title":"x","status":404,"detail":"\\u001b[31m[red]gone[/red]","code":"OpNotFound","hint":"\\u202erun"}'
    stranger = strangers("404 Not Found", "Content-Type: application/problem+json\r\n", body)
    stranger._answer = stranger._answer.replace(b"Content-Type: text/plain\r\n", b"")
    code, out, err = machine.run("ops", "--url", stranger.url)
    assert (code, out, err) == (4, "", "error: \\x1b[31m[red]gone[/red]\nhint: opstore ops\n")


def test_a_pyproject_that_can_not_be_read_is_a_warning_on_stderr(machine: Machine) -> None:
    machine.do("start")
    machine.file("pyproject.toml", "[project]\n<<<<<<< HEAD\n")
    warning = "/machine/work/pyproject.toml can't be read, so its settings are not used: "
    warning += "Invalid statement (at line 2, column 1)"
    assert machine.run("ops") == (0, "", f"warning: {warning}\n")
    code, out, err = machine.run("ops", "--json")
    assert (code, json.loads(out), json.loads(err)) == (0, {"ops": []}, {"warning": warning})
