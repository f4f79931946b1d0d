"""The credentials file: written atomically, private, and safe with concurrent logins."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from opstore_cli.config.credentials import Credentials
from opstore_daemon.protocol import errors
from tests.support.faults import fails
from tests.support.file_modes import mode

posix = pytest.mark.skipif(os.name != "posix", reason="modes and links as POSIX has them")


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return Credentials(tmp_path / "config" / "credentials.json")


def test_a_token_is_kept_for_its_url_replaced_and_forgotten(credentials: Credentials) -> None:
    assert (credentials.token("https://a"), credentials.tokens()) == (None, {})
    credentials.store("https://a", "one")
    credentials.store("https://b", "two")
    credentials.store("https://a", "three")
    assert credentials.tokens() == {"https://a": "three", "https://b": "two"}
    assert credentials.token("https://a/x") is None
    assert [credentials.delete("https://a"), credentials.delete("https://a")] == [True, False]
    assert credentials.tokens() == {"https://b": "two"}
    assert [credentials.delete_all(), credentials.delete_all()] == [["https://b"], []]
    assert not credentials.path.exists()


def test_forgetting_an_unknown_token_creates_no_file(credentials: Credentials) -> None:
    credentials.delete("https://a")
    credentials.delete_all()
    assert not credentials.path.parent.exists()


@posix
@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_the_file_is_private_whatever_the_umask_and_its_mode_before(credentials: Credentials, umask: int) -> None:
    old = os.umask(umask)
    try:
        (credentials.path.parent.parent / "config").mkdir(mode=0o700)
        os.chmod(credentials.path.parent, 0o700)
        credentials.store("https://a", "one")
        assert mode(credentials.path) == 0o600 & ~umask
        credentials.path.chmod(0o666)
        credentials.store("https://a", "two")
        assert mode(credentials.path) == 0o600 & ~umask
    finally:
        os.umask(old)


@posix
def test_the_file_is_never_half_written_or_readable_by_others(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, str]] = []
    real = os.fsync

    def look(descriptor: int) -> None:
        real(descriptor)
        files = [path for path in credentials.path.parent.iterdir() if path.suffix != ".lock"]
        seen.extend((mode(path), path.name) for path in files)
        assert os.fstat(descriptor).st_size > 0

    monkeypatch.setattr(os, "fsync", look)
    credentials.store("https://a", "one")
    assert [bits for bits, _ in seen] == [0o600]
    assert all(name != credentials.path.name for _, name in seen), "it gets its name when it is whole"


@posix
def test_a_link_in_place_of_the_file_is_not_followed(credentials: Credentials, tmp_path: Path) -> None:
    credentials.path.parent.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text('{"tokens": {"https://a": "theirs"}}')
    credentials.path.symlink_to(elsewhere)
    with pytest.raises(errors.InvalidSetting):
        credentials.token("https://a")
    with pytest.raises(errors.InvalidSetting):
        credentials.store("https://a", "ours")
    assert "ours" not in elsewhere.read_text()
    credentials.delete_all()
    assert elsewhere.exists()
    credentials.store("https://a", "ours")
    assert (credentials.path.is_symlink(), credentials.token("https://a")) == (False, "ours")


@posix
def test_a_pipe_in_place_of_the_file_is_refused_at_once(credentials: Credentials) -> None:
    credentials.path.parent.mkdir()
    os.mkfifo(credentials.path)
    with pytest.raises(errors.InvalidSetting, match="not a regular file"):
        credentials.token("https://a")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "\xff", '{"tokens": []}', '{"tokens": {"u": 1}}', '{"tokens": {"u": "a\\nb"}}', "[" * 100_000],
)
def test_a_file_that_login_did_not_write_is_refused_and_never_shown(credentials: Credentials, text: str) -> None:
    credentials.path.parent.mkdir()
    credentials.path.write_bytes(text.encode("latin-1"))
    with pytest.raises(errors.InvalidSetting, match=r"credentials\.json"):
        credentials.token("https://a")
    with pytest.raises(errors.InvalidSetting):
        credentials.store("https://a", "one")
    assert credentials.path.read_bytes() == text.encode("latin-1")
    assert credentials.delete_all() == []
    assert not credentials.path.exists()


def test_concurrent_logins_lose_no_token(credentials: Credentials) -> None:
    script = (
        "import sys; from pathlib import Path; from opstore_cli.config.credentials import Credentials\n"
        "kept = Credentials(Path(sys.argv[1]))\n"
        "for n in range(20): kept.store(f'https://{sys.argv[2]}.example/{n}', f'token-{n}')\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(credentials.path), str(number)]) for number in range(4)
    ]
    assert [process.wait(60) for process in started] == [0] * 4
    assert len(credentials.tokens()) == 80
    left = {path.name for path in credentials.path.parent.iterdir()}
    assert left == {"credentials.json", "credentials.lock"}


def test_a_failed_write_leaves_the_old_file(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.store("https://a", "one")

    monkeypatch.setattr(os, "fsync", fails(errno.ENOSPC))
    with pytest.raises(errors.OutputFailed, match=f"{credentials.path} can't be written: No space left on device"):
        credentials.store("https://b", "two")
    assert json.loads(credentials.path.read_text()) == {"tokens": {"https://a": "one"}}
    assert {path.name for path in credentials.path.parent.iterdir()} == {"credentials.json", "credentials.lock"}
