"""Writing: a version when the file is closed, nothing if anything fails, and no change of what is stored."""

import errno
import gc
import gzip
import io
import re
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.core import OpenFile

from opstore_cli.fsspec import OpStoreFileSystem, writing
from opstore_cli.objects import formats
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors
from tests.cli.fsspec.conftest import CountingClient
from tests.support.servers import ADMIN_TOKEN

Opener = Callable[[OpStoreFileSystem], Any]

# How callers open a file for writing: only the first passes an exception of its block on.
WRITERS: dict[str, tuple[Opener, Any]] = {
    "binary": (lambda fs: fs.open("forest", "wb"), b"trees"),
    "text": (lambda fs: fs.open("forest", "w"), "trees"),
    "compressed": (lambda fs: fs.open("forest", "wb", compression="gzip"), b"trees"),
    "compressed-text": (lambda fs: fs.open("forest", "w", compression="gzip"), "trees"),
    "OpenFile": (lambda fs: OpenFile(fs, "forest", "wb"), b"trees"),
    "OpenFile-text": (lambda fs: OpenFile(fs, "forest", "w", encoding="utf-8"), "trees"),
    "OpenFile-compressed": (lambda fs: OpenFile(fs, "forest", "w", "gzip", encoding="utf-8"), "trees"),
}


def write_and_fail(file: Any, *data: Any, failure: type[BaseException] | BaseException = ZeroDivisionError) -> None:
    """Write the data to the file, and raise."""
    for each in data:
        file.write(each)
    raise failure


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest) -> tuple[Opener, Any]:
    return WRITERS[request.param]


def stored(client: CountingClient, op: str = "forest") -> list[bytes]:
    """Return the bytes of all versions, oldest first; none if the op does not exist."""
    try:
        return [client.pull(str(version)) for version in reversed(client.versions(op))]
    except errors.OpNotFound:
        return []


@pytest.fixture
def temporary_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The temporary files that writers opened; all of them are closed at the end."""
    opened: list[Any] = []

    def open_file() -> Any:
        opened.append(tempfile.TemporaryFile())  # noqa: SIM115 - a writer closes it
        return opened[-1]

    monkeypatch.setattr(formats, "TemporaryFile", open_file)
    yield opened
    assert all(file.closed for file in opened)


def test_a_block_that_ends_stores_one_version(
    writer: tuple[Opener, Any], client: CountingClient, fs: OpStoreFileSystem, temporary_files: list[Any]
) -> None:
    opener, data = writer
    with opener(fs) as file:
        file.write(data)
        file.flush()
        assert stored(client) == []
    (found,) = stored(client)
    assert b"trees" in (found, gzip.decompress(found) if found[:2] == b"\x1f\x8b" else b"")


def test_a_block_that_fails_stores_nothing_and_says_so(
    writer: tuple[Opener, Any], client: CountingClient, fs: OpStoreFileSystem, temporary_files: list[Any]
) -> None:
    opener, data = writer
    with pytest.raises(ZeroDivisionError) as failed, opener(fs) as file:
        write_and_fail(file, data)
    assert failed.value.__notes__ == ["opstore://forest: nothing was stored, because the block that writes it failed"]
    assert stored(client) == []


def test_a_block_that_fails_after_many_bytes_stores_nothing(
    client: CountingClient, fs: OpStoreFileSystem, temporary_files: list[Any]
) -> None:
    with pytest.raises(ZeroDivisionError), fs.open("forest", "wb", block_size=10) as file:
        write_and_fail(file, *[b"0123456789"] * 100)
    assert len(temporary_files) == 1
    assert stored(client) == []


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_stores_nothing(client: CountingClient, fs: OpStoreFileSystem, end: type[BaseException]) -> None:
    with pytest.raises(end), OpenFile(fs, "forest", "wb") as file:
        write_and_fail(file, b"trees", failure=end)
    assert stored(client) == []


def test_a_file_that_is_never_closed_stores_nothing(
    writer: tuple[Opener, Any], client: CountingClient, fs: OpStoreFileSystem, temporary_files: list[Any]
) -> None:
    opener, data = writer
    opened = opener(fs)
    file = opened.open() if isinstance(opened, OpenFile) else opened
    file.write(data)
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        del opened, file
        gc.collect()
    assert any("nothing was stored, because the file was never closed" in str(each.message) for each in issued)
    assert stored(client) == []


def test_a_file_that_is_open_when_python_exits_stores_nothing(
    listener: Listener, server: OpStoreServer, tmp_path: Path
) -> None:
    program = """
import sys
from opstore_cli.fsspec import OpStoreFileSystem
fs = OpStoreFileSystem(url=sys.argv[1], token=sys.argv[2])
binary, text = fs.open("forest", "wb"), fs.open("pca", "w")
binary.write(b"trees")
text.write("components")
print(fs.ls(""))
"""
    environ = {"OPSTORE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", program, listener.url, ADMIN_TOKEN]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert OpStoreFileSystem(url=listener.url, token=ADMIN_TOKEN).ls("") == []


def test_a_file_that_is_written_while_an_exception_is_handled_is_stored(
    writer: tuple[Opener, Any], client: CountingClient, fs: OpStoreFileSystem
) -> None:
    opener, data = writer
    try:
        raise KeyError("missing")
    except KeyError:
        with opener(fs) as file:
            file.write(data)
    assert len(stored(client)) == 1


def test_a_failure_in_a_handler_stores_nothing(
    writer: tuple[Opener, Any], client: CountingClient, fs: OpStoreFileSystem
) -> None:
    opener, data = writer
    try:
        raise KeyError("missing")
    except KeyError:
        with pytest.raises(ZeroDivisionError), opener(fs) as file:
            write_and_fail(file, data)
    assert stored(client) == []


def test_a_file_that_is_closed_in_a_handler_stores_nothing_and_a_log_says_so(
    client: CountingClient, fs: OpStoreFileSystem, caplog: pytest.LogCaptureFixture
) -> None:
    file = fs.open("forest", "wb")
    try:
        raise KeyError("missing")
    except KeyError:
        file.write(b"a default")
        file.close()  # the limit that docs/fsspec.md names
    assert stored(client) == []
    assert [each.getMessage() for each in caplog.records] == [
        "opstore://forest: nothing was stored: it was closed while KeyError was handled"
    ]


def test_a_file_of_the_store_notices_even_the_exception_that_was_handled_before(
    client: CountingClient, fs: OpStoreFileSystem
) -> None:
    try:
        raise KeyError("missing")
    except KeyError as again:
        with pytest.raises(KeyError), fs.open("forest", "wb") as file:
            write_and_fail(file, b"half", failure=again)
    assert stored(client) == []


def test_a_push_that_fails_is_raised_by_close(
    client: CountingClient, fs: OpStoreFileSystem, temporary_files: list[Any]
) -> None:
    with pytest.raises(errors.OpNotFound, match="there is no op pca"), fs.open("forest", "wb", valid_with="pca") as f:
        f.write(b"trees")
    assert f.closed
    assert stored(client) == []


@pytest.mark.parametrize("size", [5, 3 * 1024 * 1024])
def test_a_full_disk_of_temporary_files_stores_nothing(
    client: CountingClient, fs: OpStoreFileSystem, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    full = Full()
    monkeypatch.setattr(formats, "TemporaryFile", lambda: full)
    with pytest.raises(OSError, match="No space left"), fs.open("forest", "wb", block_size=1024 * 1024) as file:
        file.write(b"x" * size)
    assert (file.closed, full.closed, stored(client)) == (True, True, [])


def test_the_options_of_a_write_are_those_of_a_push(client: CountingClient, fs: OpStoreFileSystem) -> None:
    client.push("pca", b"components")
    with fs.open("forest", "wb", valid_with="pca@1.0.0", bump="minor", tag="best", labels={"run": "17"}) as file:
        file.write(b"trees")
    assert file.version == client.show("forest") or str(file.version) == "forest@1.0.0"
    with fs.open("forest", "wb", valid_with=["pca"], bump="minor", tags=["best", "candidate"], message="again") as file:
        file.write(b"more trees")
    record = client.show("forest@best")
    assert (record.version, record.tags, record.message) == ("1.1.0", ("best", "candidate"), "again")
    assert client.show("forest@1.0.0").labels == {"run": "17"}
    assert [str(link) for link in client.links(upstream="pca")] == [
        str(link) for link in client.links(downstream="forest")
    ]
    assert bool(client.validate("pca@1.0.0", "forest@1.1.0"))


def test_options_of_the_file_system_are_those_of_all_writes(client: CountingClient) -> None:
    client.push("pca", b"components")
    fs = OpStoreFileSystem(client=client, valid_with="pca@1.0.0", bump="major", tag="nightly")
    fs.pipe("forest", b"trees")
    fs.pipe("forest", b"more trees", bump="minor", tag="best")
    assert [version.version for version in client.versions("forest")] == ["1.1.0", "1.0.0"]
    assert client.show("forest@nightly").version == "1.0.0"
    assert client.show("forest@best").version == "1.1.0"
    assert bool(client.validate("pca", "forest@1.1.0"))


def test_a_write_to_a_tag_moves_it_so_that_the_same_path_reads_what_was_written(
    client: CountingClient, fs: OpStoreFileSystem
) -> None:
    for data in (b"one", b"two"):
        fs.pipe("forest@best", data, tag="candidate")
        assert fs.cat("forest@best") == fs.cat("forest@candidate") == data
    fs.pipe("forest@latest", b"three")
    assert (fs.cat("forest"), fs.cat("forest@best")) == (b"three", b"two")


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"valid_whit": "pca"}, errors.InvalidRequest),
        ({"valid_with": "Not A Name"}, errors.InvalidName),
        ({"valid_with": 7}, errors.InvalidArgument),
        ({"bump": "huge"}, errors.InvalidArgument),
        ({"tag": "1.0.0"}, errors.InvalidTag),
        ({"labels": "run=17"}, errors.InvalidArgument),
    ],
)
def test_wrong_options_are_refused_when_the_file_is_opened(
    client: CountingClient, fs: OpStoreFileSystem, options: dict[str, Any], refused: type[Exception]
) -> None:
    with pytest.raises(refused):
        fs.open("forest", "wb", **options)
    with pytest.raises(refused):
        OpStoreFileSystem(client=client, **options)


def test_a_writer_may_seek(client: CountingClient, fs: OpStoreFileSystem, temporary_files: list[Any]) -> None:
    with fs.open("forest", "wb") as file:
        file.write(b"trams and more")
        assert (file.seekable(), file.seek(2), file.write(b"ees"), file.tell(), file.truncate()) == (True, 2, 3, 5, 5)
    assert stored(client) == [b"trees"]
    with fs.open("forest", "w", encoding="utf-16") as text:  # Python writes its byte order mark only if it may seek
        text.write("trees")
    assert fs.read_text("forest", encoding="utf-16") == "trees"


def test_a_closed_file_takes_nothing_more(
    client: CountingClient, fs: OpStoreFileSystem, temporary_files: list[Any]
) -> None:
    with fs.transaction:
        with fs.open("forest", "wb") as file:
            file.write(b"trees")
        for change in (lambda: file.write(b"!"), lambda: file.seek(0), file.flush):
            with pytest.raises(ValueError, match="closed file"):
                change()
        assert (file.closed, file.writable(), file.close()) == (True, False, None)
    assert stored(client) == [b"trees"]


def test_the_same_bytes_again_make_nothing_new(client: CountingClient, fs: OpStoreFileSystem) -> None:
    for created in (True, False):
        with fs.open("forest", "wb") as file:
            file.write(b"trees")
        assert (str(file.version), file.version.created) == ("forest@1.0.0", created)


def test_an_empty_file_is_a_version(client: CountingClient, fs: OpStoreFileSystem) -> None:
    with fs.open("forest", "wb"):
        pass
    assert stored(client) == [b""]
    assert fs.cat("forest") == b""


def test_memory_does_not_grow_with_the_size(
    client: CountingClient, fs: OpStoreFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(client, "push", lambda op, source, **_: sizes.append(source.seek(0, io.SEEK_END)))
    piece = b"x" * 65536
    tracemalloc.start()
    try:
        with fs.open("forest", "wb") as file:
            for _ in range(64 * 16):  # 64 MiB
                file.write(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sizes == [64 * 1024 * 1024]
    assert peak < 24 * 1024 * 1024


def test_a_transaction_stores_its_files_at_its_end_or_none(
    client: CountingClient, fs: OpStoreFileSystem, temporary_files: list[Any]
) -> None:
    with fs.transaction:
        fs.pipe("pca", b"components")
        fs.pipe("forest", b"trees")
        assert stored(client, "pca") == []
    assert (stored(client, "pca"), stored(client)) == ([b"components"], [b"trees"])
    with pytest.raises(ZeroDivisionError), fs.transaction:
        write_and_fail(fs.open("forest", "wb"), b"more trees")
    with pytest.raises(ZeroDivisionError), fs.transaction, fs.open("forest", "wb") as file:
        write_and_fail(file, b"more trees")
    with fs.transaction, pytest.raises(ZeroDivisionError), fs.open("forest", "wb") as file:
        write_and_fail(file, b"half a tr")
    assert stored(client) == [b"trees"]


def test_put_stores_a_file_with_its_name(client: CountingClient, fs: OpStoreFileSystem, tmp_path: Path) -> None:
    (tmp_path / "forest.joblib").write_bytes(b"trees")
    fs.put(str(tmp_path / "forest.joblib"), "opstore://forest")
    assert client.show("forest").filename == "forest.joblib"
    with pytest.raises(FileExistsError, match="its latest version is"):
        fs.put_file(tmp_path / "forest.joblib", "forest", mode="create")


def test_xb_makes_the_first_version_only(client: CountingClient, fs: OpStoreFileSystem) -> None:
    with fs.open("forest", "xb") as file:
        file.write(b"trees")
    with pytest.raises(FileExistsError, match="opstore://forest exists already") as refused:
        fs.open("forest", "xb")
    assert isinstance(refused.value, errors.PathExists)


@pytest.mark.parametrize(
    ("change", "reason", "advice"),
    [
        (lambda fs, _: fs.open("pca", "ab"), "the mode 'ab' would change a stored version", "'wb'"),
        (lambda fs, _: fs.open("pca", "r+b"), "the mode 'r+b' would change", "'wb'"),
        (lambda fs, _: fs.open("pca@1.0.0", "wb"), "a stored version never changes", "write to opstore://pca"),
        (lambda fs, _: fs.pipe("pca/file", b""), "a file can't be added to a folder", "client.push('pca', FOLDER)"),
        (lambda fs, _: fs.rm("pca@1.0.0"), "a stored version is not deleted", "client.yank('pca@1.0.0', REASON)"),
        (lambda fs, _: fs.rm(["opstore://pca"]), "a stored version is not deleted", "client.yank('pca', REASON)"),
        (lambda fs, _: fs.rm_file("pca"), "a stored version is not deleted", "client.yank"),
        (lambda fs, _: fs.rmdir("pca"), "a stored version is not deleted", "client.yank"),
        (lambda fs, _: fs.mv("opstore://pca", "pca2"), "a version keeps its name", "client.tag('pca', TAG)"),
        (lambda fs, _: fs.cp("pca", "pca2"), "a version is not copied", "client.tag('pca', TAG)"),
        (lambda fs, _: fs.touch("pca"), "an empty version is not made by touch", "client.push(NAME, b'')"),
        (lambda fs, _: fs.mkdir("pca"), "a folder can't be made", "client.push(NAME, FOLDER)"),
        (
            lambda fs, path: fs.put_file(path, "pca"),
            "files of a folder can't be stored one by one",
            "client.push('pca'",
        ),
    ],
)
def test_other_changes_are_refused_with_what_to_do(
    client: CountingClient,
    fs: OpStoreFileSystem,
    tmp_path: Path,
    change: Callable[[OpStoreFileSystem, Path], Any],
    reason: str,
    advice: str,
) -> None:
    client.push("pca", b"components")
    with pytest.raises(PermissionError, match=re.escape(reason)) as refused:
        change(fs, tmp_path)
    assert isinstance(refused.value, errors.PathRefused)
    assert advice in refused.value.__notes__[0]
    assert stored(client, "pca") == [b"components"]


def test_writers_may_ask_for_the_folder_of_their_file(client: CountingClient, fs: OpStoreFileSystem) -> None:
    fs.makedirs("pca", exist_ok=True)
    fs.makedirs("", exist_ok=True)
    assert not fs.exists("pca")


def test_the_options_are_arguments_of_push() -> None:
    known = OpStoreFileSystem.__init__.__doc__ or ""
    assert "writing.OPTIONS" in known
    parameters = CountingClient.push.__wrapped__.__annotations__  # type: ignore[attr-defined]
    assert set(writing.OPTIONS) - {"tag"} <= set(parameters)
