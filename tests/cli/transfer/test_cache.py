"""The cache of `client.path` and `client.load`: verified, bounded, and used by many processes at once."""

import gc
import hashlib
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opstore_cli.transfer import cache as cache_module
from opstore_cli.transfer.cache import Cache, CachedPath
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord, encode
from tests.support.in_process import InProcessClient
from tests.support.random_bytes import random_bytes
from tests.support.waiting import wait_for

DATA = b"weights" * 1000
WHEN = datetime(2026, 1, 2, tzinfo=UTC)


class CountingClient(InProcessClient):
    """Counts the bytes of the versions that it receives, and the requests for them."""

    received = fetched = 0

    def request(self, method: str, path: str, *, headers: Mapping[str, str], **others: Any) -> Any:
        answered = super().request(method, path, headers=headers, **others)
        if path.endswith("/bytes"):
            body = answered._body.getvalue()
            self.received, self.fetched = self.received + len(body), self.fetched + 1
        return answered


@pytest.fixture
def client(memory_server: OpStoreServer) -> CountingClient:
    return CountingClient(memory_server)


def entries(cache: Path) -> set[str]:
    return {each.name for each in cache.iterdir() if not each.name.endswith((".use", ".fill", "TAG"))}


def hex_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_second_path_and_a_second_load_transfer_nothing(client: CountingClient, cache: Path) -> None:
    client.push("model", DATA)
    path = client.path("model")
    assert (path.read_bytes(), client.received) == (DATA, len(DATA))
    assert path == cache / hex_of(DATA)
    assert client.path("model@1.0.0") == path
    assert client.received == len(DATA)
    client.save("metrics", {"accuracy": 0.9})
    assert client.load("metrics") == {"accuracy": 0.9}
    before = client.fetched
    assert client.load("metrics") == {"accuracy": 0.9}
    assert client.path("metrics").read_text() == '{"accuracy": 0.9}'
    assert client.fetched == before


def test_a_folder_is_unpacked_once_and_can_only_be_read(client: CountingClient, tmp_path: Path) -> None:
    (tmp_path / "encoder/deep").mkdir(parents=True)
    (tmp_path / "encoder/deep/weights.bin").write_bytes(DATA)
    (tmp_path / "encoder/run.sh").write_text("true")
    (tmp_path / "encoder/run.sh").chmod(0o755)
    client.push("encoder", tmp_path / "encoder")
    path = client.path("encoder")
    assert (path / "deep/weights.bin").read_bytes() == DATA
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (path, *path.rglob("*"))}
    assert not any(mode & 0o222 for mode in modes.values())
    assert modes["run.sh"] & stat.S_IXUSR
    before = client.fetched
    assert client.path("encoder") == path
    assert client.fetched == before
    assert client.load("encoder", format="bytes") == client.pull("encoder")


def test_a_file_can_only_be_read_and_its_folder_is_the_users_own(client: CountingClient, cache: Path) -> None:
    client.push("model", DATA)
    assert stat.S_IMODE(client.path("model").stat().st_mode) & 0o222 == 0
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert (cache / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


def damage(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"damaged" + path.read_bytes()[7:])


def cut(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, 10)


def replace_by_link(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(DATA)
    path.unlink()
    path.symlink_to(other)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").write_bytes(DATA)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("harm", [damage, cut, replace_by_link, replace_by_folder, replace_by_pipe, Path.unlink])
def test_a_damaged_or_replaced_entry_is_pulled_again(client: CountingClient, cache: Path, harm: Any) -> None:
    client.push("model", DATA)
    used = client.path("model")  # still in use
    harm(cache / hex_of(DATA))
    again = client.path("model")
    assert again.read_bytes() == DATA
    assert not again.is_symlink()
    assert client.received == 2 * len(DATA)
    assert used == again


def test_a_damaged_file_of_a_folder_is_pulled_again(client: CountingClient, tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder/weights.bin").write_bytes(DATA)
    client.push("encoder", tmp_path / "encoder")
    damage(client.path("encoder") / "weights.bin")
    path = client.path("encoder")
    assert (path / "weights.bin").read_bytes() == DATA
    path.chmod(0o700)
    (path / "added").write_text("by somebody")
    assert [each.name for each in client.path("encoder").iterdir()] == ["weights.bin"]


def test_the_least_recently_used_goes_first_and_never_one_in_use(
    client: CountingClient, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSTORE_CACHE_SIZE", "2500")
    contents = {op: op.encode() * 1000 for op in "abcd"}
    for op, data in contents.items():
        client.push(op, data)
    names = {op: hex_of(data) for op, data in contents.items()}
    for when, op in enumerate("ab", 1):
        client.path(op)
        os.utime(cache / f"{names[op]}.use", ns=(when, when))
    client.path("a")  # used again: b is now the oldest
    assert client.path("c").read_bytes() == contents["c"]
    assert entries(cache) == {names["a"], names["c"]}
    held = client.path("a")
    for op in "bd":
        os.utime(cache / f"{names['a']}.use", ns=(1, 1))
        assert client.path(op).read_bytes() == contents[op]
    assert held.read_bytes() == contents["a"]
    assert entries(cache) == {names["a"], names["d"]}
    del held
    gc.collect()
    client.path("c")
    assert entries(cache) == {names["c"], names["d"]}
    assert {each.name.partition(".")[0] for each in cache.glob("*.use")} == {names["c"], names["d"]}


def test_one_that_is_larger_than_the_bound_is_handed_out_and_loaded_without_the_cache(
    client: CountingClient, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.save("metrics", [1, 2])
    kept = client.path("metrics").name
    monkeypatch.setenv("OPSTORE_CACHE_SIZE", "100")
    client.push("model", DATA)
    client.save("long", "text" * 1000)
    assert client.load("long") == "text" * 1000
    assert entries(cache) == {kept}
    path = client.path("model")
    assert path.read_bytes() == DATA
    monkeypatch.setenv("OPSTORE_CACHE_SIZE", "0")
    assert client.load("metrics") == [1, 2]


def test_a_cache_that_can_not_be_written_is_an_error_of_path_and_none_of_load(
    client: CountingClient, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.save("metrics", [1])
    cache.mkdir(mode=0o700)
    cache.chmod(0o777)
    with pytest.raises(errors.OutputFailed, match="others can write to it; OPSTORE_CACHE sets another folder"):
        client.path("metrics")
    assert client.load("metrics") == [1]
    cache.chmod(0o700)
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
        with pytest.raises(errors.OutputFailed, match="it belongs to another user; OPSTORE_CACHE sets another folder"):
            client.path("metrics")
    (cache.parent / "file").write_text("")
    monkeypatch.setenv("OPSTORE_CACHE", str(cache.parent / "file"))
    with pytest.raises(errors.OutputFailed):
        client.path("metrics")
    assert client.load("metrics") == [1]


def test_a_version_without_bytes_and_an_unknown_one_leave_nothing(client: CountingClient, cache: Path) -> None:
    client.register("scaler", fields={"major": {"a": "b"}})
    with pytest.raises(errors.NotStored):
        client.path("scaler")
    with pytest.raises(errors.OpNotFound):
        client.path("nobody")
    assert not cache.exists()


def test_a_yanked_version_is_warned_of_once(client: CountingClient) -> None:
    client.push("model", DATA)
    client.yank("model@1.0.0", "leaks")
    warned: list[object] = []
    client.warn = warned.append
    client.path("model@1.0.0")
    assert len(warned) == 1


def test_the_path_is_a_path_also_after_pickling(client: CountingClient) -> None:
    client.push("model", DATA)
    path = client.path("model")
    copied = pickle.loads(pickle.dumps(path))  # noqa: S301
    assert isinstance(path, Path)
    assert isinstance(copied, CachedPath)
    assert copied == path == Path(str(path))
    assert repr(path) == f"Path({str(path)!r})"
    assert (path.parent / "x").name == "x"


# --- several at once --------------------------------------------------------------------------------------------------


def version_of(data: bytes) -> VersionRecord:
    known: dict[str, Any] = {"op": "model", "version": "1.0.0", "subversions": "aaaa.bbbb.cccc", "sequence": 1}
    digest = f"sha256:{hex_of(data)}"
    return VersionRecord(**known, digest=digest, size=len(data), registered_at=WHEN, labels={}, position=1)


def test_threads_that_want_the_same_version_pull_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, pulls, paths, checks = random_bytes(10_000), list[Path](), list[Path](), list[Any]()
    cache, check = Cache(tmp_path / "cache", 10**9), cache_module._is_complete

    def counted(*each: Any) -> bool:
        checks.append(each)
        return check(*each)

    monkeypatch.setattr(cache_module, "_is_complete", counted)

    def pull(target: Path) -> None:
        pulls.append(target)
        wait_for(lambda: len(checks) >= 9, "each thread finds nothing, and one of them twice")
        target.write_bytes(data)

    def work() -> None:
        paths.append(cache.path(version_of(data), pull))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pulls) == 1
    assert {path.read_bytes() for path in paths} == {data}


CHILD = """
import sys, time
from pathlib import Path
from opstore_cli.transfer.cache import Cache
from opstore_daemon.protocol.records import VersionRecord, decode
DATA, version = b"weights" * 1000, decode(sys.argv[4].encode(), VersionRecord)
def pull(target):
    if sys.argv[2] == "stop":
        target.with_name("." + target.name + ".part").write_bytes(DATA[:100])
        if sys.argv[3] == "published":
            target.write_bytes(DATA)
        print("stopped", flush=True)
        sys.stdin.read()
    target.write_bytes(DATA)
    print("pulled", flush=True)
path = Cache(Path(sys.argv[1]), 10**9).path(version, pull)
print(path.read_bytes() == DATA, flush=True)
sys.stdin.read()
"""


def child(cache: Path, *words: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CHILD, str(cache), *words, encode(version_of(DATA)).decode()]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="no file locks")
@pytest.mark.parametrize("where", ["part", "published"])
def test_after_a_kill_in_the_middle_of_a_pull_the_next_one_gets_the_whole(tmp_path: Path, where: str) -> None:
    cache = tmp_path / "cache"
    with child(cache, "stop", where) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "stopped\n"
        with child(cache, "go", "-") as waiting:  # waits for the lock of the first
            os.kill(killed.pid, signal.SIGKILL)
            out, _ = waiting.communicate("")
            assert out == ("pulled\nTrue\n" if where == "part" else "True\n")
    assert (cache / hex_of(DATA)).stat().st_mode & 0o222 == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no file locks")
def test_an_entry_that_another_process_uses_stays(client: CountingClient, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    with child(folder, "go", "-") as other:
        assert other.stdout is not None
        assert [other.stdout.readline() for _ in range(2)] == ["pulled\n", "True\n"]
        small, data = Cache(folder, 10), random_bytes(100)
        small.path(version_of(data), lambda target: target.write_bytes(data))
        assert hex_of(DATA) in entries(folder)
        other.communicate("")
    more = random_bytes(101)
    small.path(version_of(more), lambda target: target.write_bytes(more))
    assert entries(folder) == {hex_of(more)}
