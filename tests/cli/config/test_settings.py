"""Settings and tokens: their sources and precedence, and the URL that a token is sent to (docs/settings.md)."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config import urls
from opstore_cli.config.credentials import Credentials
from opstore_cli.config.settings import Settings, load_settings
from opstore_cli.config.tokens import read_token
from opstore_cli.local import lookup
from opstore_cli.transport import target
from opstore_daemon.protocol import errors
from tests.support.fake_daemon import FakeDaemon
from tests.support.faults import fails
from tests.support.homes import held, write_runtime_file
from tests.support.open_files import open_below

Load = Callable[..., Settings]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder inside a repository; the user's own files elsewhere."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "repository" / "deep" / "deeper").mkdir(parents=True)
    return tmp_path / "repository"


@pytest.fixture
def user_file(tree: Path) -> Path:
    import platformdirs

    folder = platformdirs.user_config_path("opstore", appauthor=False)
    folder.mkdir(parents=True)
    return folder / "config.toml"


def test_the_default_is_the_local_daemon_of_the_users_data_folder(tree: Path) -> None:
    settings = load_settings(None, {}, tree)
    assert (settings.url, settings.origin, settings.autostart) == (None, "local", True)
    assert settings.home.name == "opstore"
    assert settings.home.is_absolute()


def test_the_order_is_option_environment_working_tree_user_file(tree: Path, user_file: Path) -> None:
    user_file.write_text('url = "https://user"')
    assert load_settings(None, {}, tree).url == "https://user"
    (tree / "opstore.toml").write_text('url = "https://tree"\npipeline = "churn"')
    from_tree = load_settings(None, {}, tree / "deep" / "deeper")
    assert (from_tree.url, from_tree.origin, from_tree.pipeline) == ("https://tree", "working tree", "churn")
    from_environment = load_settings(None, {"OPSTORE_URL": "https://env/"}, tree)
    assert (from_environment.url, from_environment.origin) == ("https://env", "environment")
    assert from_environment.pipeline == "churn"
    from_option = load_settings("https://option", {"OPSTORE_URL": "https://env"}, tree)
    assert (from_option.url, from_option.origin) == ("https://option", "option")


def test_the_nearest_file_counts_and_none_beyond_the_repository(tree: Path) -> None:
    (tree.parent / "opstore.toml").write_text('pipeline = "outside"')
    (tree / "pyproject.toml").write_text('[tool.opstore]\npipeline = "top"')
    (tree / "deep" / "pyproject.toml").write_text("[tool.other]\nx = 1")
    assert load_settings(None, {}, tree / "deep" / "deeper").pipeline == "top"
    (tree / "deep" / "opstore.toml").write_text('pipeline = "deep"')
    assert load_settings(None, {}, tree / "deep" / "deeper").pipeline == "deep"
    (tree / "pyproject.toml").unlink()
    assert load_settings(None, {}, tree).pipeline is None


@pytest.mark.parametrize("text", ["url = ", "token = 'x'", "url = 1", "url = 'ftp://x'", "\xff", "a = " + "[" * 9999])
def test_the_error_names_a_file_that_cannot_be_parsed(tree: Path, text: str) -> None:
    (tree / "opstore.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(errors.InvalidSetting, match=r"opstore\.toml"):
        load_settings(None, {}, tree)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"pipeline = 'a'\n<<<<<<< HEAD\n", r"Invalid statement \(at line 2, column 1\)"),
        (b"pipeline = 'churn\xe9'\n", r"it is not UTF-8: byte 0xe9 \(at line 1, column 18\)"),
        ("# gr\u00f6\u00dfe\npipeline = '".encode() + b"\xff'", r"byte 0xff \(at line 2, column 13\)"),
        ("pipeline = 'churn'".encode("utf-16"), "it is UTF-16 or UTF-32 text; save it as UTF-8"),
        ("pipeline = 'churn'".encode("utf-16-le"), "it is UTF-16 or UTF-32 text; save it as UTF-8"),
        ("pipeline = 'churn'".encode("utf-32"), "it is UTF-16 or UTF-32 text; save it as UTF-8"),
        (b"#" * (1024 * 1024 + 1), "it has more than 1024 KiB"),
        (b"a = " + b"[" * 9999, "it is nested too deeply"),
        (b"[tool.x]\na = " + b"9" * 5000, r"a number has too many digits \(at line 2, column 5\)"),
        (b"[tool]\na" + b".a" * 200_000 + b" = 1", r"a key has more than 100 dots \(at line 2, column 1\)"),
    ],
)
def test_a_settings_file_that_can_not_be_read_is_an_error_and_a_pyproject_a_warning(
    tree: Path, user_file: Path, content: bytes, reason: str
) -> None:
    (tree / "pyproject.toml").write_bytes(content)
    settings = load_settings(None, {}, tree / "deep")
    (warning,) = settings.warnings
    assert re.fullmatch(f"{re.escape(str(tree))}/pyproject.toml can't be read, .* not used: .*{reason}.*", warning)
    assert settings == replace(load_settings(None, {}, tree.parent), warnings=settings.warnings)
    user_file.write_bytes(content)
    with pytest.raises(errors.InvalidSetting, match=rf"config\.toml: .*{reason}"):
        load_settings(None, {}, tree)
    user_file.unlink()
    (tree / "opstore.toml").write_bytes(content)
    with pytest.raises(errors.InvalidSetting, match=rf"opstore\.toml: .*{reason}"):
        load_settings(None, {}, tree)


def test_the_search_goes_on_after_a_pyproject_that_can_not_be_read(tree: Path) -> None:
    (tree / "deep" / "pyproject.toml").write_text("<<<<<<< HEAD")
    (tree / "pyproject.toml").write_text("[tool.opstore]\npipeline = 'churn'")
    settings = load_settings(None, {}, tree / "deep")
    assert (settings.pipeline, len(settings.warnings)) == ("churn", 1)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_byte_order_mark_and_line_ends_of_windows_are_skipped(tree: Path, user_file: Path, ends: str) -> None:
    user_file.write_bytes(f"\ufeffallow_pickle = true{ends}".encode())
    (tree / "pyproject.toml").write_bytes(f"\ufeff[tool.opstore]{ends}pipeline = 'churn'{ends}".encode())
    assert load_settings(None, {}, tree) == replace(load_settings(None, {}, tree), pipeline="churn", allow_pickle=True)
    (tree / "opstore.toml").write_bytes(f"\ufeffpipeline = 'text'{ends}".encode())
    assert load_settings(None, {}, tree).pipeline == "text"
    token = tree.parent / "token"
    token.write_bytes(f"\ufeffa-token{ends}".encode())
    assert load_settings(None, {"OPSTORE_TOKEN_FILE": str(token)}, tree).environment_token() == "a-token"


@pytest.mark.skipif(os.name != "posix", reason="named pipes and links as POSIX has them")
@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link", "link to itself"])
def test_other_kinds_of_files_are_ignored_as_pyproject_and_refused_as_opstore_toml(tree: Path, kind: str) -> None:
    for name in ("pyproject.toml", "opstore.toml"):
        path = tree / name
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("nothing" if kind == "dangling link" else name)
        if name == "pyproject.toml":
            assert load_settings(None, {}, tree).warnings == ()
        else:
            with pytest.raises(errors.InvalidSetting, match=r"opstore\.toml"):
                load_settings(None, {}, tree)
    assert open_below(tree) == []


def test_a_pyproject_that_may_not_be_read_is_a_warning(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "pyproject.toml").write_text("")
    monkeypatch.setattr(os, "open", fails(errno.EACCES))
    assert load_settings(None, {}, tree).warnings[0].endswith(": Permission denied")


def test_the_home_of_an_unknown_user_is_refused(tree: Path) -> None:
    with pytest.raises(errors.InvalidSetting, match="OPSTORE_HOME"):
        load_settings(None, {"OPSTORE_HOME": "~nobody-of-that-name/data"}, tree)


@pytest.mark.parametrize("data", ["a-token".encode("utf-16"), b"a-token\xe9", b"a-token\0", "tök".encode()])
def test_a_token_that_is_not_text_is_refused_and_not_shown(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "token").write_bytes(data)
    with pytest.raises(errors.InvalidSetting) as caught:
        read_token(tmp_path / "token", "the token file")
    assert "a-token" not in str(caught.value)
    assert "0xe9" not in str(caught.value)


def test_the_users_file_and_the_environment_may_allow_pickles_and_the_working_tree_may_not(
    tree: Path, user_file: Path
) -> None:
    def allowed(**environ: str) -> bool:
        return load_settings(None, environ, tree).allow_pickle

    assert not allowed()
    user_file.write_text("allow_pickle = true")
    assert allowed()
    assert not allowed(OPSTORE_ALLOW_PICKLE="0")
    user_file.write_text('url = "https://user"\nallow_pickle = false')
    assert not allowed()
    assert allowed(OPSTORE_ALLOW_PICKLE="1")
    (tree / "opstore.toml").write_text("allow_pickle = true")
    with pytest.raises(errors.InvalidSetting, match=r"opstore\.toml: unknown key 'allow_pickle'"):
        allowed()


@pytest.mark.parametrize("text", ["true", "yes", "2", "on", " 1", "no"])
def test_allow_pickle_in_the_environment_is_1_or_0(tree: Path, text: str) -> None:
    with pytest.raises(errors.InvalidSetting, match="OPSTORE_ALLOW_PICKLE: it must be 1 or 0"):
        load_settings(None, {"OPSTORE_ALLOW_PICKLE": text}, tree)


@pytest.mark.parametrize("text", ["'true'", "1", "[]"])
def test_allow_pickle_in_the_users_file_is_true_or_false(tree: Path, user_file: Path, text: str) -> None:
    user_file.write_text(f"allow_pickle = {text}")
    with pytest.raises(errors.InvalidSetting, match="'allow_pickle' must be true or false"):
        load_settings(None, {}, tree)


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
def test_an_inaccessible_user_folder_is_ignored(tree: Path, user_file: Path) -> None:
    # As under `sudo -u somebody` that keeps HOME.
    user_file.write_text('url = "https://user"')
    text = "import os, sys; from pathlib import Path; from opstore_cli.config.settings import load_settings\n"
    text += "os.geteuid() == 0 and os.setuid(65534)\nprint(load_settings(None, {}, Path('/')).origin)"
    user_file.parent.chmod(0)
    try:
        ran = subprocess.run([sys.executable, "-c", text], cwd="/", capture_output=True, text=True, check=False)
    finally:
        user_file.parent.chmod(0o700)
    assert (ran.stdout, ran.stderr) == ("local\n", "")


def test_an_empty_variable_counts_as_unset(tree: Path) -> None:
    names = ["OPSTORE_URL", "OPSTORE_HOME", "OPSTORE_TOKEN", "OPSTORE_TOKEN_FILE", "OPSTORE_NO_AUTOSTART"]
    names.append("OPSTORE_ALLOW_PICKLE")
    assert load_settings(None, dict.fromkeys(names, ""), tree) == load_settings(None, {}, tree)


def test_a_relative_home_is_relative_to_the_working_directory(tree: Path) -> None:
    assert load_settings(None, {"OPSTORE_HOME": "store"}, tree).home == tree / "store"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:80",
        "ftp://host",
        "http://",
        "http://a:b@host",
        "http://host?q",
        "http://host#f",
        "http://h ost",
        "http://h\nost",
        "http://h\\ost",
        "http://host:99999",
        "http://host:port",
        "http://host:0",
        "http://[::1",
    ],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(errors.InvalidSetting) as caught:
        urls.check_url(url, "--url")
    assert "a:b" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "...",
        "a..b",
        ".a",
        "-a",
        "a-",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "9" * 5000,
        "a%41",
        "*",
        "a;b",
        "a'b",
        "{a}",
        "[a]",
        "[v1.a]",
        "[1:2]",
        "[1.2.3.4]",
        "[",
        "]",
        "a[b]",
        "[::1%]",
        f"[::1%{'a' * 64}]",
        "[::1%a/b]",
        "[::1]a",
    ],
)
def test_a_host_that_can_not_be_looked_up_is_refused(host: str) -> None:
    with pytest.raises(errors.InvalidSetting) as caught:
        urls.check_url(f"http://{host}:80/x", "--url")
    assert caught.value.text.startswith("--url: its ")
    assert caught.value.text.removeprefix("--url: ") in (urls.BAD_HOST, urls.BAD_PORT)


@pytest.mark.parametrize("port", ["99999", "-1", "+9", "0x9", "9" * 5000, "secret", "9;x", "0", "1:2", "٣"])
def test_a_port_that_is_none_is_refused_without_naming_it(port: str) -> None:
    with pytest.raises(errors.InvalidSetting) as caught:
        urls.check_url(f"http://host:{port}", "OPSTORE_URL")
    assert caught.value.text == f"OPSTORE_URL: {urls.BAD_PORT if port.isascii() else 'it is not a URL'}"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTPS://Models.Example.COM/", "https://models.example.com"),
        ("https://models.example.com:443", "https://models.example.com"),
        ("http://models.example.com:80//", "http://models.example.com"),
        ("https://models.example.com:80", "https://models.example.com:80"),
        ("https://models.example.com:0443/Team/", "https://models.example.com/Team"),
        ("https://models.example.com:", "https://models.example.com"),
        ("http://[::1]:8750", "http://[::1]:8750"),
        ("http://[FE80::A]", "http://[fe80::a]"),
        ("https://models.example.com/a/../b", "https://models.example.com/a/../b"),
        ("http://my_service.local.:8750", "http://my_service.local.:8750"),
        ("http://[FE80::1%eth0]", "http://[fe80::1%eth0]"),
        (f"https://{'a' * 63}.xn--bcher-kva", f"https://{'a' * 63}.xn--bcher-kva"),
    ],
)
def test_urls_are_normalized(text: str, url: str) -> None:
    assert urls.check_url(text, "--url") == url
    assert urls.check_url(url, "--url") == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:1", True),
        ("http://localhost", True),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://10.0.0.1", False),
    ],
)
def test_only_this_machine_is_loopback(url: str, expected: bool) -> None:
    assert urls.is_loopback(url) is expected


@pytest.mark.parametrize("token", ["a b", "a\r\nHost: x", "ä", "x" * 5000])
def test_a_token_that_could_break_a_header_is_refused(tree: Path, token: str) -> None:
    with pytest.raises(errors.InvalidSetting):
        load_settings(None, {"OPSTORE_TOKEN": token}, tree)


def test_a_token_file_is_read_on_demand_with_a_warning_if_others_can_read_it(tree: Path) -> None:
    file = tree / "secret"
    file.write_text("the-token\n")
    file.chmod(0o600)
    settings = load_settings(None, {"OPSTORE_TOKEN_FILE": "secret"}, tree)
    assert (settings.environment_token(), settings.warning()) == ("the-token", None)
    file.chmod(0o644)
    assert "others can read" in (settings.warning() or "")
    file.unlink()
    with pytest.raises(errors.InvalidSetting, match="secret"):
        settings.environment_token()


@pytest.mark.skipif(os.name != "posix", reason="named pipes as POSIX has them")
def test_a_token_is_read_from_a_pipe_and_a_pipe_that_nothing_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"the-token\n")
    os.close(writing)
    assert read_token(Path(f"/dev/fd/{reading}"), "the token file") == "the-token"
    os.close(reading)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(errors.InvalidSetting, match="the token file"):
            read_token(path, "the token file")


def test_no_token_shows_in_a_repr(tree: Path) -> None:
    settings = load_settings("https://host", {"OPSTORE_TOKEN": "very-secret"}, tree)
    assert "very-secret" not in repr(settings)
    assert "very-secret" not in repr(target.locate(settings, None, print))


# --- where a token goes ---------------------------------------------------------------------------------------------


def _locate(settings: Settings) -> target.Target:
    return target.locate(settings, None, lambda _line: None)


def test_a_url_that_only_the_working_tree_names_is_not_used(tree: Path) -> None:
    (tree / "opstore.toml").write_text('url = "https://stranger"')
    with pytest.raises(errors.UntrustedUrl, match=r"opstore\.toml"):
        _locate(load_settings(None, {"OPSTORE_TOKEN": "t"}, tree))


def test_a_url_of_the_working_tree_that_the_user_names_too_is_used(tree: Path, user_file: Path) -> None:
    (tree / "opstore.toml").write_text('url = "https://host/"')
    user_file.write_text('url = "https://host"')
    assert _locate(load_settings(None, {"OPSTORE_TOKEN": "t"}, tree)).token == "t"


def test_no_token_goes_over_plain_http_beyond_this_machine(tree: Path) -> None:
    with pytest.raises(errors.PlainHttp):
        _locate(load_settings("http://host", {"OPSTORE_TOKEN": "t"}, tree))
    assert _locate(load_settings("http://host", {}, tree)).token is None
    assert _locate(load_settings("http://127.0.0.1:1", {"OPSTORE_TOKEN": "t"}, tree)).token == "t"
    assert _locate(load_settings("https://host", {"OPSTORE_TOKEN": "t"}, tree)).token == "t"


def _credential(settings: Settings, token: str | None = None) -> tuple[str, str] | None:
    found = target.credential(settings, token)
    return None if found is None else (found.source, found.token)


def test_a_stored_token_is_sent_to_its_url_unless_another_was_given(tree: Path) -> None:
    Credentials().store("https://host", "kept")
    assert _credential(load_settings("HTTPS://Host:443/", {}, tree)) == ("login", "kept")
    for other in ("https://host/team", "https://host:8443", "https://host.example", "http://127.0.0.1:443"):
        assert _credential(load_settings(other, {}, tree)) is None
    for environ in ({"OPSTORE_TOKEN": "given"}, {"OPSTORE_TOKEN": "given", "OPSTORE_TOKEN_FILE": "nowhere"}):
        assert _credential(load_settings("https://host", environ, tree)) == ("OPSTORE_TOKEN", "given")
    assert _credential(load_settings("https://host", {"OPSTORE_TOKEN": "x"}, tree), "mine") == ("argument", "mine")
    (tree / "file").write_text("filed")
    settings = load_settings("https://host", {"OPSTORE_TOKEN_FILE": "file"}, tree)
    assert _credential(settings) == ("OPSTORE_TOKEN_FILE", "filed")


@pytest.mark.parametrize("environ", [{}, {"OPSTORE_TOKEN": "t"}, {"OPSTORE_TOKEN_FILE": "file"}])
def test_a_url_of_the_working_tree_gets_only_its_stored_token(tree: Path, environ: dict[str, str]) -> None:
    (tree / "opstore.toml").write_text('url = "https://Host/"')
    (tree / "file").write_text("filed")
    settings = load_settings(None, environ, tree)
    Credentials().store("https://other", "kept")
    with pytest.raises(errors.UntrustedUrl) as refused:
        target.credential(settings, "argument")
    assert refused.value.advice == "opstore login https://host, if you trust it"
    Credentials().store("https://host", "kept")
    assert _credential(settings, "argument") == ("login", "kept")
    assert _locate(settings).token == "kept"
    Credentials().delete("https://host")
    with pytest.raises(errors.UntrustedUrl):
        _locate(settings)


def test_a_stored_token_is_not_sent_over_plain_http_either(tree: Path) -> None:
    Credentials().store("http://host", "kept")
    with pytest.raises(errors.PlainHttp):
        _locate(load_settings("http://host", {}, tree))


def test_the_local_daemon_gets_the_token_of_its_file_not_a_stored_one(tree: Path) -> None:
    with _home(tree / "home", "http://127.0.0.1:7001", "file-token") as home:
        Credentials().store("http://127.0.0.1:7001", "kept")
        assert _credential(load_settings(None, {"OPSTORE_HOME": str(home)}, tree)) == ("token file", "file-token")


def test_a_token_that_others_can_read_causes_a_warning(tree: Path) -> None:
    credentials = Credentials()
    credentials.store("https://host", "kept")
    lines: list[str] = []
    target.locate(load_settings("https://host", {}, tree), None, lines.append)
    assert lines == []
    credentials.path.chmod(0o640)
    target.locate(load_settings("https://host", {}, tree), None, lines.append)
    assert lines == [f"others can read the tokens in {credentials.path}: chmod 600 {credentials.path}"]


@contextmanager
def _home(path: Path, url: str, token: str) -> Iterator[Path]:
    """Yield a home whose lock is held, as by a daemon at the URL."""
    path.mkdir(mode=0o700)
    (path / "token").write_text(token)
    write_runtime_file(path, url, version="0")
    with held(path):
        yield path


def test_the_token_of_the_file_is_sent_only_to_the_url_of_the_runtime_file(tree: Path) -> None:
    with _home(tree / "home", "http://127.0.0.1:7001", "file-token") as home:
        environ = {"OPSTORE_HOME": str(home)}
        assert _locate(load_settings("http://127.0.0.1:7001/", environ, tree)).token == "file-token"
        assert _locate(load_settings("http://127.0.0.1:7002", environ, tree)).token is None
        assert _locate(load_settings("http://localhost:7001", environ, tree)).token is None
    # The daemon has ended, and anybody may have its port.
    assert _locate(load_settings("http://127.0.0.1:7001/", environ, tree)).token is None


def test_the_local_daemon_is_found_when_it_proves_that_it_knows_the_token(tree: Path) -> None:
    with FakeDaemon() as daemon, _home(tree / "home", daemon.url, daemon.token) as home:
        found = lookup.find(home)
    assert found is not None
    assert (found.url, found.started) == (daemon.url, False)
    assert lookup.find(home) is None  # it has gone


def test_a_stranger_on_the_daemons_port_is_not_found_and_gets_no_token(tree: Path) -> None:
    with (
        FakeDaemon(token="a-token-of-its-own") as stranger,
        _home(tree / "home", stranger.url, "our-own-token") as home,
    ):
        with pytest.raises(errors.ProofFailed):
            lookup.find(home)
        environ = {"OPSTORE_HOME": str(home)}
        given = load_settings(stranger.url, environ, tree)
        with OpStoreClient(settings=given) as client, pytest.raises(errors.ProofFailed):
            client.show("pca")
        found = load_settings(None, {**environ, "OPSTORE_NO_AUTOSTART": "1"}, tree)
        with OpStoreClient(settings=found) as client, pytest.raises(errors.ProofFailed):
            client.show("pca")
    assert (stranger.log, bool(stranger.health)) == ([], True)
    assert not any("our-own-token" in str(headers) for headers in stranger.health)


def test_a_given_token_overrides_the_token_file_but_the_proof_uses_the_file(tree: Path) -> None:
    with FakeDaemon() as daemon, _home(tree / "home", daemon.url, daemon.token) as home:
        daemon.versions.append(b"bytes")
        environ = {"OPSTORE_HOME": str(home), "OPSTORE_TOKEN": "mine"}
        lines: list[str] = []
        with OpStoreClient(settings=load_settings(None, environ, tree), notify=lines.append) as client:
            assert client.show("pca").version == "1.0.0"
    assert daemon.headers[-1]["Authorization"] == "Bearer mine"
    assert [line for line in lines if "opstore restart" in line]
