"""Blobs are damaged: every way to pull finds that, no destination has wrong bytes, and a push of the bytes heals."""

import errno
import io
import random
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import posix
from tests.support import here
from tests.support.damaged_blobs import DAMAGES, path_of
from tests.support.faults import fails
from tests.support.figures import few, figures
from tests.support.machines import Machine, a_machine
from tests.support.raw_http import Raw
from tests.support.servers import ADMIN_TOKEN

pytestmark = [pytest.mark.usefixtures("no_waits"), pytest.mark.timeout(1800)]

LARGE = 2_500_000  # bytes: several pieces, and uploaded
INTEGRITY = 6  # exit code


@pytest.fixture
def client(listener: Listener, tmp_path: Path) -> Iterator[OpStoreClient]:
    """Return a client of a server on files in `tmp_path`."""
    settings = Settings(home=tmp_path / "client", cache=tmp_path / "cache").with_url(listener.url)
    with OpStoreClient(settings=settings, token=ADMIN_TOKEN) as made:
        yield made


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Return a user's machine."""
    with a_machine(tmp_path / "machine") as made:
        yield made


# Each pulls the op to a path in an empty folder, which stays empty (`to_an_old_file` apart).
Way = Callable[[OpStoreClient, str, Path, bytes], object]


def to_bytes(client: OpStoreClient, op: str, _target: Path, _data: bytes) -> object:
    return client.pull(op)


def to_a_file(client: OpStoreClient, op: str, target: Path, _data: bytes) -> object:
    return client.pull(op, to=target)


def to_an_old_file(client: OpStoreClient, op: str, target: Path, _data: bytes) -> object:
    target.write_bytes(b"old")
    try:
        return client.pull(op, to=target, overwrite=True)
    finally:
        assert target.read_bytes() == b"old"
        target.unlink()


def from_a_part(client: OpStoreClient, op: str, target: Path, data: bytes) -> object:
    """The part has the first byte, which no damage changes: a part that had the damaged bytes would be completed."""
    (target.parent / f".{target.name}.{digest_of(data)[7:23]}.part").write_bytes(data[:1])
    return client.pull(op, to=target)


def to_a_stream(client: OpStoreClient, op: str, _target: Path, data: bytes) -> object:
    """A stream can't take bytes back, so it gets the last piece only once all bytes are verified."""
    stream = io.BytesIO()
    try:
        return client.pull(op, to=stream)
    finally:
        assert len(stream.getvalue()) < len(data)
        assert len(data) == LARGE or stream.getvalue() == b""


def to_the_cache(client: OpStoreClient, op: str, _target: Path, _data: bytes) -> object:
    return client.path(op)


def as_an_object(client: OpStoreClient, op: str, _target: Path, _data: bytes) -> object:
    return client.load(op, format="bytes")


WAYS: tuple[Way, ...] = (
    to_bytes,
    to_a_file,
    to_an_old_file,
    from_a_part,
    to_a_stream,
    to_the_cache,
    as_an_object,
)


def contents(count: int) -> list[bytes]:
    """Return different bytes, some of which are large."""
    chance = random.Random(count)
    return [chance.randbytes(LARGE if number % 40 == 0 else chance.randrange(2, 3000)) for number in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("count", figures(1000, 50))
def test_damaged_blobs_are_found_by_each_pull_and_by_fsck_and_healed_by_a_push(
    client: OpStoreClient, tmp_path: Path, count: int
) -> None:
    blobs, out = tmp_path / "blobs", tmp_path / "out"
    out.mkdir()
    chance = random.Random(count)
    damaged: dict[str, bytes] = {}
    for number, data, damage in zip(range(count), contents(count), cycle(DAMAGES.values()), strict=False):
        pushed = client.push(f"op{number}", data)
        damage(path_of(blobs, str(pushed.digest)), chance)
        damaged[f"op{number}"] = data
    for number, (op, data) in enumerate(damaged.items()):
        # Each damage meets each way: their numbers have no common divisor.
        with pytest.raises(errors.IntegrityFailure) as caught:
            WAYS[number % len(WAYS)](client, op, out / op, data)
        assert caught.value.exit_code == INTEGRITY
        assert list(out.iterdir()) == []
    assert ops_found(client, repair=False) == set(damaged)
    for op in list(damaged)[::3]:
        heal(client, op, out, damaged.pop(op))
    assert ops_found(client, repair=True) == set(damaged)
    for op in damaged:
        with pytest.raises(errors.BlobDamaged, match="fsck"):
            client.pull(op, to=out / "marked")
        assert not (out / "marked").exists()
    for op, data in damaged.items():
        heal(client, op, out, data)
    assert client.fsck(read_data=True).clean


def ops_found(client: OpStoreClient, *, repair: bool) -> set[str]:
    """Return the ops whose blobs fsck finds damaged, each in one finding."""
    report = client.fsck(read_data=True, repair=repair)
    ops = [version.op for finding in report for version in finding.versions]
    assert (len(ops), report.clean) == (len(set(ops)), False)
    assert all(finding.versions and finding.marked == repair for finding in report)
    return set(ops)


def heal(client: OpStoreClient, op: str, out: Path, data: bytes) -> None:
    """Push the bytes again, to the op or to another one, and check that the version can be pulled."""
    if len(data) % 2:
        assert not client.push(op, data).created
    else:
        client.push("another", data)
    assert client.pull(op, to=out / op).digest == digest_of(data)
    assert (out / op).read_bytes() == data


def test_damaged_bytes_are_never_all_sent(client: OpStoreClient, listener: Listener, tmp_path: Path) -> None:
    """Without a client of ours: an error, or a response that ends before its length."""
    chance = random.Random(0)
    for number, (name, damage) in enumerate(DAMAGES.items()):
        for size in (1000, LARGE):
            data = chance.randbytes(size + number)
            pushed = client.push(name, data, new=True)
            damage(path_of(tmp_path / "blobs", str(pushed.digest)), chance)
            with Raw(listener.port) as connection:
                answer = connection.ask("GET", routes.path(routes.BYTES, op=name, selector="latest"))
            assert answer.cut or answer.status == errors.BlobDamaged.status, name


def test_a_lock_with_a_damaged_blob_writes_nothing(client: OpStoreClient, tmp_path: Path) -> None:
    chance = random.Random(0)
    out = tmp_path / "out"
    out.mkdir()
    for name, damage in DAMAGES.items():
        ops = [f"{name}-{part}" for part in ("one", "two")]
        pushed = [client.push(op, chance.randbytes(1000)) for op in ops]
        client.register_pipeline(name, ops)
        client.link(ops[0], ops[1])
        lock = client.resolve(name)
        damage(path_of(tmp_path / "blobs", str(pushed[1].digest)), chance)
        with pytest.raises(errors.IntegrityFailure):
            client.pull_lock(lock.lock(), out)
        assert list(out.iterdir()) == []


@pytest.mark.slow
def test_a_folder_with_a_damaged_blob_is_not_unpacked(client: OpStoreClient, tmp_path: Path) -> None:
    chance = random.Random(0)
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "sub").mkdir(parents=True)
    out.mkdir()
    for number in range(5):
        (source / "sub" / str(number)).write_bytes(chance.randbytes(1000 * number))
    for number, (name, damage) in enumerate(list(DAMAGES.items()) + [("bit", DAMAGES["bit"])] * 20):
        (source / "number").write_text(str(number))
        pushed = client.push("folder", source)
        damage(path_of(tmp_path / "blobs", str(pushed.digest)), chance)
        with pytest.raises(errors.IntegrityFailure):
            client.pull("folder", to=out / "target")
        assert list(out.iterdir()) == [], name
        assert not client.push("folder", source).created
        client.pull("folder", to=out / "target")
        assert (out / "target" / "number").read_text() == str(number)
        client.pull("folder", to=out / "target")
        (out / "target").rename(tmp_path / f"done{number}")


def test_a_blob_that_must_not_be_read_is_an_error_of_the_storage_and_not_damaged(
    server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.store.push("pca", b"bytes")
    with monkeypatch.context() as patch:
        patch.setattr(posix, "open_regular", fails(errno.EACCES))
        with pytest.raises(errors.StorageFailed, match="Permission denied while opening a blob"):
            server.store.pull("pca")
    assert server.store.pull("pca") == b"bytes"


@pytest.mark.slow
@pytest.mark.parametrize("damage", few(1, ["bit", *(name for name in DAMAGES if name != "bit")]))
def test_each_form_of_the_command_exits_6(machine: Machine, damage: str) -> None:
    chance = random.Random(0)
    machine.do("start")
    with machine.client() as client:
        digests = [str(client.push(op, chance.randbytes(1000)).digest) for op in ("pca", "forest")]
        client.register_pipeline("p", ["pca", "forest"])
        client.link("pca", "forest")
    machine.do("resolve", "p", "--lock", "opstore.lock")
    DAMAGES[damage](path_of(machine.home / "blobs", digests[0]), chance)
    (machine.cwd / "out").mkdir()
    for words in (
        ["pca", "-o", "out/file"],
        ["pca", "-o", "out/"],
        ["pca", "-o", "-"],
        ["pca", "forest", "-d", "out"],
        ["--lock", "opstore.lock", "-d", "out"],
        ["--pipeline", "p", "-d", "out"],
    ):
        code, out, err = here.run(machine, "pull", *words)
        assert (code, "Traceback" in err) == (INTEGRITY, False), (words, err)
        written = {path.name for path in (machine.cwd / "out").iterdir()}
        # Of versions that are pulled together, those that are complete are kept.
        assert written <= {"forest"}, words
        assert "pca" not in out
    assert machine.listing() == ["opstore.lock", "out"]
