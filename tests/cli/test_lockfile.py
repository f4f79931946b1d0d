"""Lock files: what is written is read again, what is not whole is refused, and only regular files are replaced."""

import errno
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from itertools import combinations, islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from opstore_cli import lockfile
from opstore_cli.files import bounded_read
from opstore_cli.lockfile import LockFile, PinnedVersion
from opstore_daemon.protocol import errors, limits
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import NewPipeline
from opstore_daemon.protocol.records.wire import encode
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.versions import Version
from tests.support.faults import fails
from tests.support.file_modes import mode

ANY_OP = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}[a-z0-9]", fullmatch=True).filter(
    lambda text: text not in ("con", "prn", "aux", "nul") and not text.startswith(("com", "lpt"))
)
DECIMAL, HEX = (st.from_regex(pattern, fullmatch=True) for pattern in (r"[0-9]{4,12}", r"[0-9a-f]{4,64}"))
NUMBER = st.integers(0, 2**31 - 1)


@st.composite
def pinned(draw: st.DrawFn, op: str) -> PinnedVersion:
    """Draw a version: subversions of decimal digits or of hex digits, stored or only registered."""
    digits = draw(st.sampled_from([DECIMAL, HEX]))
    stored: dict[str, Any] = {}
    if draw(st.booleans()):
        stored = {"digest": digest_of(draw(st.binary(max_size=8))), "size": draw(st.integers(0, 2**63 - 1))}
        stored["format"] = draw(st.sampled_from([None, "folder", "numpy"]))
    return PinnedVersion(
        op=OpName(op),
        version=".".join(str(draw(NUMBER)) for _ in range(3)),
        subversions=".".join(draw(digits) for _ in range(3)),
        **stored,
    )


@st.composite
def locks(draw: st.DrawFn, smallest: int = 1) -> LockFile:
    """Draw a lock of any acyclic graph, also of ops without edges."""
    ops = draw(st.lists(ANY_OP, min_size=smallest, max_size=6, unique=True))
    pairs = [(ops[up], ops[down]) for up in range(len(ops)) for down in range(up + 1, len(ops))]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return LockFile(PipelineName(draw(ANY_OP)), tuple(edges), tuple(draw(pinned(op)) for op in ops))


def text_of(lock: LockFile, *, versions: tuple[PinnedVersion, ...] | None = None) -> str:
    """Return the text of the lock, with these versions in their order if they are given."""
    head, *tables = lockfile.to_text(lock).split("\n[[version]]\n")
    if versions is not None:
        written = LockFile(lock.pipeline, (), versions)
        tables = lockfile.to_text(written).split("\n[[version]]\n")[1:]
    return "\n[[version]]\n".join([head, *tables])


@pytest.mark.slow
@given(locks())
def test_a_written_lock_is_read_again(lock: LockFile) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "opstore.lock")
        assert lockfile.write(path, lock)
        assert lockfile.read(path) == lock
        assert not lockfile.write(path, lock)
        for bom, newline in (("\ufeff", "\n"), ("", "\r\n")):
            path.write_bytes((bom + lockfile.to_text(lock)).replace("\n", newline).encode())
            assert lockfile.read(path) == lock


@given(st.data())
def test_a_locked_version_is_selected_by_its_subversions_alone(data: st.DataObject) -> None:
    version = data.draw(pinned("pca"))
    reference = Reference.parse(str(version.reference))
    assert (reference.op, reference.selector) == ("pca", Version.parse(version.subversions))


@pytest.mark.slow
@given(st.data())
def test_a_merge_of_two_locks_that_is_not_one_of_them_is_refused(data: st.DataObject) -> None:
    """As git leaves it: with its markers, or with the tables of both sides, or with a table too few."""
    lock = data.draw(locks(smallest=2))
    place = data.draw(st.integers(0, len(lock.versions) - 1))
    ours = lock.versions[place]
    theirs = data.draw(pinned(ours.op))
    assume(theirs != ours)
    before, after = lock.versions[:place], lock.versions[place + 1 :]
    both = text_of(lock, versions=(*before, ours, theirs, *after))
    apart = text_of(lock, versions=(*before, ours, *after, theirs))
    too_few = text_of(lock, versions=(*before, *after))
    marked = text_of(lock).replace(
        "\n[[version]]\n", f"\n<<<<<<< HEAD\n[[version]]\n=======\n# {theirs.version}\n>>>>>>> theirs\n[[version]]\n", 1
    )
    for merged, reason in (
        (both, f"two versions of {ours.op}"),
        (apart, f"two versions of {ours.op}"),
        (too_few, f"no version of {ours.op}"),
        (marked, "it contains a merge conflict"),
    ):
        with pytest.raises((ValueError, errors.OpStoreError), match=reason):
            lockfile.parse_text(merged.encode())


HEAD = "format = 2\npipeline = 'p'\n"
ONE = "[[version]]\nop = 'a'\nversion = '1.0.0'\nsubversions = 'aaaa.bbbb.cccc'\n"
TWO = ONE + ONE.replace("'a'", "'b'")
EDGE = "edges = [['a', 'b']]\n"
DIGEST = f"digest = 'sha256:{'0' * 64}'\n"
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "it is empty: write it again"),
    "blanks": ("\n \n", "it is empty"),
    "an op twice": (HEAD + EDGE + TWO + ONE, "it has two versions of a"),
    "an op missing": (HEAD + EDGE + ONE, "it has the edge a -> b, but no version of b"),
    "an op more": (HEAD + EDGE + TWO + ONE.replace("'a'", "'c'"), "it has a version of c, which is not an op of its"),
    "two ops without an edge": (HEAD + "edges = []\n" + TWO, "it has a version of b, which is not an op of its"),
    "an op that it names but does not have": (HEAD + "ops = ['a', 'b']\nedges = []\n" + ONE, "it has no version of b"),
    "no versions": (HEAD + "edges = []\nversion = []\n", "it has no versions"),
    "an edge twice": (HEAD + "edges = [['a', 'b'], ['a', 'b']]\n" + TWO, "it has the edge a -> b twice"),
    "an edge to itself": (HEAD + "edges = [['a', 'a']]\n" + ONE, "it has an edge from a to itself"),
    "a cycle": (HEAD + "edges = [['a', 'b'], ['b', 'a']]\n" + TWO, "its edges form a cycle: "),
    "an edge of three": (HEAD + "edges = [['a', 'b', 'c']]\n" + TWO, "length 2"),
    "markers": (HEAD + EDGE + TWO + "<<<<<<< ours\n", r"it contains a merge conflict \(line 12\): take one side"),
    "markers of diff3": (HEAD + EDGE + TWO + "||||||| 1f2e3d\r\n", "it contains a merge conflict"),
    "a separator": (HEAD + EDGE + TWO + "=======\n", "it contains a merge conflict"),
    "a marker of nine": (HEAD + EDGE + TWO + ">>>>>>>>> theirs\n", "it contains a merge conflict"),
    "another format": (HEAD.replace("2", "3") + EDGE + TWO, "its format is 3"),
    "a text as format": (HEAD.replace("2", "'2'") + EDGE + TWO, "its format is '2'"),
    "a float as format": (HEAD.replace("2", "2.0") + EDGE + TWO, "its format is 2.0"),
    "true as format": (HEAD.replace("2", "true") + EDGE + TWO, "its format is True"),
    "a format of 30,000 bits": (f"format = 0x{'f' * 7500}\n", "its format is a large number"),
    "no format": ("pipeline = 'p'\n" + EDGE + TWO, "it names no format"),
    "no pipeline": ("format = 2\n" + EDGE + TWO, "pipeline"),
    "no edges": (HEAD + TWO, "edges"),
    "a digest without a size": (HEAD + "edges = []\n" + ONE + DIGEST, "the version of a has a digest but no size"),
    "a size without a digest": (HEAD + "edges = []\n" + ONE + "size = 1\n", "has a size but no digest"),
    "a negative size": (HEAD + "edges = []\n" + ONE + DIGEST + "size = -1\n", "a size that is not between 0"),
    "a huge size": (HEAD + "edges = []\n" + ONE + DIGEST + f"size = {2**63}\n", "size"),
    "a size of 30,000 bits": (HEAD + "edges = []\n" + ONE + DIGEST + f"size = 0x{'f' * 7500}\n", "not between 0"),
    "a size of 5,000 digits": (
        HEAD + "edges = []\n" + ONE + DIGEST + f"size = {'9' * 5000}\n",
        "too many digits .at line 9, column 8",
    ),
    "a fraction as size": (HEAD + "edges = []\n" + ONE + DIGEST + "size = 1.5\n", "size"),
    "a short digest": (HEAD + "edges = []\n" + ONE + "digest = 'sha256:00'\nsize = 1\n", "is not a digest"),
    "a key more": (HEAD + EDGE + TWO + "path = '/etc/passwd'\n", "path"),
    "a key more at the top": (HEAD + "x = 1\n" + EDGE + TWO, "`x`"),
    "a key twice": (HEAD + "pipeline = 'q'\n" + EDGE + TWO, "Cannot overwrite"),
    "a name that is none": (HEAD + EDGE + TWO.replace("'a'", "'../a'"), "is not a name"),
    "a number that is none": (HEAD + "edges = []\n" + ONE.replace("1.0.0", "01.0.0"), "is not a version"),
    "subversions that are none": (HEAD + "edges = []\n" + ONE.replace("aaaa", "AAAA"), "are not subversions"),
    "subversions with a time": (HEAD + "edges = []\n" + ONE.replace("cccc", "cccc_2026"), "are not subversions"),
    "no TOML": ("[", "it is not a lock of format 2"),
    "a long dotted key": (HEAD + EDGE + TWO + "a" + ".a" * 1_000_000 + " = 1", "dots .at line 12, column 1"),
    "a long key behind strings": (
        HEAD + "x = {a = '\"', b" + ".'\"b'" * 100_000 + " = 1}",
        "dots .at line 3, column 15",
    ),
    "a long key behind a string of two lines": (
        HEAD + 'x = {a = """\n\' """, b' + ".b" * 500_000 + ' = 1, c = "\'"}',
        "dots .at line 4, column 8",
    ),
    "nested too deep": ("a = " + "[" * 20_000, "it is not a lock of format 2"),
    "UTF-16": ((HEAD + EDGE + TWO).encode("utf-16"), "it is UTF-16 or UTF-32 text; save it as UTF-8; write it again"),
    "Latin-1": (("# größe\n" + HEAD + EDGE + TWO).encode("latin-1"), "it is not UTF-8"),
    "NULs": (b"\0" * 10, "UTF-16"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_incomplete_or_malformed_lock_is_refused(tmp_path: Path, what: str) -> None:
    content, reason = REFUSED[what]
    path = tmp_path / "opstore.lock"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(errors.FileRefused, match=reason) as caught:
        lockfile.read(path)
    assert caught.value.exit_code == 2
    assert "opstore resolve --lock" in caught.value.text


def test_the_reader_takes_the_keys_of_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "opstore.lock"
    path.write_text(HEAD + EDGE + TWO + DIGEST + "size = 3\nfilename = 'b.bin'\n")
    assert [each.op for each in lockfile.read(path).versions] == ["a", "b"]


# --- what is read -----------------------------------------------------------------------------------------------------


def test_a_lock_is_read_only_from_a_file_or_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path, reason in (
        (tmp_path, "it is a folder"),
        (tmp_path / "nowhere", "there is no such lock file"),
        (tmp_path / "loop", "symbolic links"),
        (tmp_path / "pipe", "it is empty"),  # nothing writes to it: to wait for that would be for ever
        (Path("/dev/zero"), "neither a file nor a pipe"),
    ):
        with pytest.raises(errors.FileRefused, match=reason):
            lockfile.read(path)


def test_a_file_that_is_too_large_is_read_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "opstore.lock"
    with path.open("wb") as file:
        file.truncate(2**40)
    read: list[int] = []
    call = os.read

    def counted(descriptor: int, size: int) -> bytes:
        data = call(descriptor, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(os, "read", counted)
    with pytest.raises(errors.FileRefused, match="it has more than 2048 KiB"):
        lockfile.read(path)
    assert lockfile.MAX_LOCK < sum(read) < 2 * lockfile.MAX_LOCK


@pytest.fixture
def pipe() -> Any:
    """A pipe, as its path and a descriptor to write to."""
    reader, writer = os.pipe()
    yield Path(f"/dev/fd/{reader}"), writer
    os.close(reader)


def test_a_lock_is_read_from_a_pipe_to_its_end(pipe: tuple[Path, int]) -> None:
    path, writer = pipe

    def write() -> None:
        for piece in (HEAD, EDGE, TWO):
            os.write(writer, piece.encode())
        os.close(writer)

    writing = threading.Thread(target=write)
    writing.start()
    assert lockfile.read(path).edges == (("a", "b"),)
    writing.join()


def test_a_pipe_that_does_not_end_is_refused(pipe: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    path, writer = pipe
    monkeypatch.setattr(bounded_read, "PIPE_TIMEOUT", 0.0)
    with pytest.raises(errors.FileRefused, match="the pipe did not end within 0 seconds"):
        lockfile.read(path)
    os.write(writer, HEAD.encode())
    with pytest.raises(errors.FileRefused, match="the pipe did not end"):
        lockfile.read(path)
    os.close(writer)


# --- what is written --------------------------------------------------------------------------------------------------

LOCK = lockfile.parse_text((HEAD + EDGE + TWO).encode())
OTHER = lockfile.parse_text((HEAD + EDGE + TWO.replace("cccc", "dddd")).encode())


def test_links_lead_to_the_file_that_is_written_and_it_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real/opstore.lock"
    target.write_text(lockfile.to_text(OTHER))
    target.chmod(0o640)
    (tmp_path / "one").symlink_to("real/two")
    (tmp_path / "real/two").symlink_to(target)
    assert lockfile.write(tmp_path / "one", LOCK)
    assert (lockfile.read(target), mode(target)) == (LOCK, 0o640)
    assert (tmp_path / "one").is_symlink()
    assert (tmp_path / "real/two").is_symlink()
    assert sorted(os.listdir(tmp_path / "real")) == ["opstore.lock", "two"]


def test_a_link_to_nothing_creates_its_target(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("opstore.lock")
    assert lockfile.write(tmp_path / "link", LOCK)
    assert (lockfile.read(tmp_path / "opstore.lock"), (tmp_path / "link").is_symlink()) == (LOCK, True)
    mask = os.umask(0)
    os.umask(mask)
    assert mode(tmp_path / "opstore.lock") == 0o666 & ~mask


def special_files(folder: Path) -> dict[Path, str]:
    """Create what is not a regular file in the folder, and return it with the reason to refuse it."""
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket"))
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    made = {
        folder / "pipe": "it is a pipe",
        folder / "socket": "it is a socket",
        folder / "folder": "it is a folder",
        folder / "loop": "too many symbolic links",
        Path("/dev/null"): "it is a device",
        Path("/dev/stdout"): "it is a stream of this process: use --lock -",
        Path("/dev/fd/1"): "it is a stream of this process: use --lock -",
        folder / "nowhere/opstore.lock": "the folder .*/nowhere does not exist",
        folder / "..": "it is a folder",
        Path(): "it is a folder",
    }
    if os.path.exists("/proc/self/fd"):
        made[Path("/proc/self/fd/1")] = made[Path("/dev/stdout")]
    for name in ("pipe", "folder"):
        (folder / f"link-{name}").symlink_to(name)
        made[folder / f"link-{name}"] = made[folder / name]
    for name, target in (("null", "/dev/null"), ("stdout", "/dev/stdout"), ("missing", "nowhere/x")):
        (folder / name).symlink_to(target)
        made[folder / name] = made.get(Path(target), "the folder .* does not exist")
    return made


def test_only_regular_files_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = special_files(tmp_path)
    # So that a fault in what is tested replaces no device.
    monkeypatch.setattr(os, "replace", fails(1))
    for path, reason in made.items():
        before = sorted((each, each.lstat()) for each in tmp_path.iterdir())
        for write in (lockfile.check_target, lambda path: lockfile.write(path, LOCK)):
            with pytest.raises(errors.FileRefused, match=reason) as caught:
                write(path)
            assert caught.value.exit_code == 2
        assert sorted((each, each.lstat()) for each in tmp_path.iterdir()) == before


REPLACED: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b"\n \r\n",
    "NULs, as a crash leaves them": b"\0" * 4096,
    "another lock": lockfile.to_text(OTHER).encode(),
    "a lock without its comment": (HEAD + EDGE + TWO).encode(),
    "a lock of format 1": lockfile.to_text(OTHER).replace("format = 2", "format = 1").encode(),
    "a part of a lock": lockfile.to_text(OTHER).encode()[:100],
    "a lock in UTF-16": lockfile.to_text(OTHER).encode("utf-16"),
    "a lock with a byte order mark": b"\xef\xbb\xbf" + lockfile.to_text(OTHER).encode()[:-9],
    "a merge conflict": f"<<<<<<< ours\r\n{lockfile.to_text(LOCK)}=======\n{lockfile.to_text(OTHER)}".encode(),
    "a lock below a comment": f"# ours\n\n{lockfile.to_text(OTHER)}=".encode(),
}
KEPT: dict[str, bytes] = {
    "a text": b"old",
    "pyproject.toml": b"[project]\nname = 'x'\n",
    "another TOML file with a format": HEAD.encode(),
    "a lock of another tool": b"# This file is automatically @generated by Poetry\n[[package]]\nname = 'x'\n",
    "a model": b"\x80\x04\x95" + bytes(range(256)),
    "a file that is larger than a lock": b"\n" * (lockfile.MAX_LOCK + 1),
    "a script that mentions it": b"#!/bin/sh\nset -e\n# Written by opstore resolve --lock\n",
    "comments": b"# a\n# b\n",
    "nested too deep": b"a = " + b"[" * 20_000,
}


@pytest.mark.parametrize("what", REPLACED)
def test_nothing_and_whatever_was_a_lock_is_replaced(tmp_path: Path, what: str) -> None:
    path = tmp_path / "opstore.lock"
    path.write_bytes(REPLACED[what])
    lockfile.check_target(path)
    assert (lockfile.write(path, LOCK), lockfile.read(path)) == (True, LOCK)


@pytest.mark.parametrize("what", KEPT)
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "by a link"])
def test_a_file_that_is_not_a_lock_is_not_replaced(tmp_path: Path, what: str, linked: bool) -> None:
    path = tmp_path / "opstore.lock"
    file = tmp_path / "file" if linked else path
    file.write_bytes(KEPT[what])
    if linked:
        path.symlink_to("file")
    for write in (lockfile.check_target, lambda path: lockfile.write(path, LOCK)):
        with pytest.raises(errors.FileRefused, match="it is not a lock, so it is not replaced") as caught:
            write(path)
        assert caught.value.exit_code == 2
    assert file.read_bytes() == KEPT[what]


def test_a_file_that_can_not_be_read_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "opstore.lock"
    path.write_bytes(KEPT["a text"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fails(errno.EACCES))
        with pytest.raises(errors.FileRefused, match="Permission denied"):
            lockfile.write(path, LOCK)
    assert path.read_bytes() == KEPT["a text"]


@pytest.mark.slow
def test_every_lock_within_the_limits_of_a_pipeline_is_read_and_a_larger_one_is_not_written() -> None:
    """The names are as long as the JSON of a new pipeline has room for."""

    def lock_of(size: int) -> LockFile:
        names = [OpName(f"{number:x<49}") for number in range(size)]
        edges = islice(((up, down) for up, down in combinations(names, 2)), 10 * size)
        long = ".".join(level * 64 for level in "abc")
        versions = [
            PinnedVersion(
                op=name,
                version=".".join(["2147483647"] * 3),
                subversions=long,
                digest=digest_of(name.encode()),
                size=2**63 - 1,
                format="f" * 64,
            )
            for name in names
        ]
        return LockFile(PipelineName("p"), tuple(edges), tuple(versions))

    largest = lock_of(1000)
    pipeline = NewPipeline(
        name=PipelineName("p"), edges=tuple((OpName(up), OpName(down)) for up, down in largest.edges)
    )
    assert len(encode(pipeline)) > limits.MAX_JSON
    assert len(largest.edges) == 10_000
    assert len(lockfile.to_text(largest).replace("\n", "\r\n")) <= lockfile.MAX_LOCK
    with pytest.raises(errors.TooLarge, match=r"the lock is too large: .* the limit is 2097152"):
        lockfile.to_text(lock_of(1200))


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_failure_leaves_the_old_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "opstore.lock"
    lockfile.write(path, LOCK)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails(28))
        with pytest.raises(errors.OutputFailed, match="No space left on device") as caught:
            lockfile.write(path, OTHER)
    assert (caught.value.exit_code, path.read_bytes(), os.listdir(tmp_path)) == (9, before, ["opstore.lock"])


def test_a_lock_with_other_names_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "opstore.lock"
    assert lockfile.other_names(path) == 0
    lockfile.write(path, LOCK)
    os.link(path, tmp_path / "second")
    assert lockfile.other_names(path) == 1
    lockfile.write(path, OTHER)
    assert (lockfile.read(path), lockfile.read(tmp_path / "second")) == (OTHER, LOCK)


def test_two_writers_at_once_leave_one_whole_lock(tmp_path: Path) -> None:
    path = tmp_path / "opstore.lock"
    both = threading.Barrier(2)

    def writing(lock: LockFile) -> Callable[[], None]:
        def write() -> None:
            both.wait(30)
            for _ in range(20):
                lockfile.write(path, lock)
                assert lockfile.read(path) in (LOCK, OTHER)

        return write

    threads = [threading.Thread(target=writing(lock)) for lock in (LOCK, OTHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (lockfile.read(path) in (LOCK, OTHER), os.listdir(tmp_path)) == (True, ["opstore.lock"])


def test_many_edges_in_one_line_are_read() -> None:
    """As an editor may write them: the dots of names are in strings."""
    names = [f"op.{number}.x" for number in range(120)]
    edges = ", ".join(f"['{up}', \"{down}\"]" for up, down in pairwise(names))
    tables = "".join(ONE.replace("'a'", f"'{name}'") for name in names)
    assert len(lockfile.parse_text(f"{HEAD}edges = [{edges}]\n{tables}".encode()).edges) == 119
