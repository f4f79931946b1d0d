"""The tar format of folders: one form for each content, which other programs can read."""

import errno
import hashlib
import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol import folder_format
from opstore_daemon.protocol.folder_format import (
    FILE,
    FOLDER,
    LINK,
    Entry,
    InvalidFolder,
    check_entry,
    header,
    read_entry,
)
from tests.cli.folders.trees import SAMPLE, described, make, packed, plain

names = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0/"), min_size=1, max_size=130)
paths = st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map(
    lambda parts: "/".join(parts).encode()
)
entries = st.one_of(
    st.builds(Entry, paths, st.just(FILE), st.integers(0, 8**12), st.booleans()),
    st.builds(Entry, paths, st.just(FOLDER)),
    st.builds(Entry, paths, st.just(LINK), target=paths),
)


@given(entries)
def test_headers_equal_those_of_tarfile(entry: Entry) -> None:
    info = tarfile.TarInfo(entry.path.decode())
    info.type, info.size, info.linkname = entry.kind, entry.size, entry.target.decode()
    info.mode = 0o777 if entry.kind == LINK else 0o755 if entry.executable or entry.kind == FOLDER else 0o644
    assert header(entry) == info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


@given(entries)
def test_a_header_is_read_back_as_its_entry(entry: Entry) -> None:
    check_entry(entry)
    assert read_entry(BytesIO(header(entry)).read) == entry


@given(entries, st.data())
def test_a_changed_header_is_refused_or_another_entry(entry: Entry, data: st.DataObject) -> None:
    whole = bytearray(header(entry))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        read = read_entry(BytesIO(bytes(whole) + bytes(folder_format.MAX_EXTENDED)).read)
    except InvalidFolder:
        return
    # A changed letter in a path gives another entry, whose header is written in the same way.
    assert read is not None
    assert header(read) == bytes(whole)[: len(header(read))]


def test_these_bytes_never_change(tmp_path: Path) -> None:
    # The digests of all stored folders depend on them.
    digest = "9e57304b5f75d15dded202828d0c87d279afad44822496baa410b9572aeeee07"
    assert hashlib.sha256(packed(make(tmp_path / "folder", SAMPLE))).hexdigest() == digest


def test_an_empty_folder_is_the_end_marker_only(tmp_path: Path) -> None:
    assert packed(make(tmp_path / "folder", {})) == bytes(1024)


@pytest.mark.parametrize("reader", ["tar", "tarfile"])
def test_other_programs_can_unpack_it(tmp_path: Path, reader: str) -> None:
    content = packed(make(tmp_path / "folder", SAMPLE))
    out = tmp_path / "out"
    out.mkdir()
    if reader == "tar":
        unpacked = subprocess.run(["tar", "-x", "-C", out], input=content, capture_output=True, check=True)  # noqa: S607
        assert unpacked.stderr == b""
    else:
        with tarfile.open(fileobj=BytesIO(content)) as archive:
            archive.extractall(out, filter="tar")
    assert described(out) == plain(SAMPLE)


def test_a_size_too_large_for_a_plain_header_is_in_an_extended_one() -> None:
    large = Entry(b"large", FILE, size=8**11)
    assert header(large).count(b"19 size=8589934592\n") == 1
    assert read_entry(BytesIO(header(large)).read) == large


INSIDE = [
    ("link", "file"),
    ("link", "./file"),
    ("link", "folder//file/"),
    ("link", "."),
    ("link", "not there"),
    ("a/link", ".."),
    ("a/link", "../file"),
    ("a/link", "./../file"),
    ("a/b/link", "../../a/file"),
    ("link", "..."),
    ("link", "a/..b"),
]


@pytest.mark.parametrize(("path", "target"), INSIDE)
def test_a_link_may_point_anywhere_inside(path: str, target: str) -> None:
    check_entry(Entry(path.encode(), LINK, target=target.encode()))


OUTSIDE = [
    ("link", ".."),
    ("link", "../file"),
    ("link", "../folder/file"),
    ("link", "./.."),
    ("a/link", "../.."),
    ("a/link", ".././../file"),
    ("a/b/link", "../../../file"),
    ("link", "/"),
    ("link", "/etc/passwd"),
    ("link", "//etc/passwd"),
    ("link", ""),
    # Where these lead depends on whether the names before `..` are links.
    ("link", "a/.."),
    ("a/link", "../a/../file"),
    ("a/link", "b/./.."),
]


@pytest.mark.parametrize(("path", "target"), OUTSIDE)
def test_a_link_out_of_the_folder_is_refused(path: str, target: str) -> None:
    with pytest.raises(InvalidFolder, match="the link's target"):
        check_entry(Entry(path.encode(), LINK, target=target.encode()))


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c/a", "c/b", "c/d/a"]), st.lists(
    st.sampled_from(["..", ".", "a", "b", "c", "d", ""]), min_size=1, max_size=5)), max_size=5))  # fmt: skip
def test_accepted_links_never_lead_out_together(
    tmp_path_factory: pytest.TempPathFactory, links: list[tuple[str, list[str]]]
) -> None:
    root = tmp_path_factory.mktemp("links") / "root"
    (root / "c/d").mkdir(parents=True)
    for path, parts in links:
        try:
            check_entry(Entry(path.encode(), LINK, target="/".join(parts).encode()))
        except InvalidFolder:
            continue
        if not os.path.lexists(root / path):
            (root / path).symlink_to("/".join(parts))
    for found in root.rglob("*"):
        if found.is_symlink():
            assert Path(resolved(found)).is_relative_to(root.resolve()), (found, os.readlink(found))


def resolved(link: Path) -> str:
    """Return where the link leads; of a link that leads to itself, its folder."""
    try:
        return os.path.realpath(link, strict=True)
    except OSError as error:
        return str(link.parent.resolve()) if error.errno == errno.ELOOP else os.path.realpath(link)


@pytest.mark.parametrize("path", ["", "/", "/file", "a//b", "a/", ".", "..", "./a", "../a", "a/../b", "a/.", "a/.."])
def test_a_path_that_is_not_plain_and_relative_is_refused(path: str) -> None:
    with pytest.raises(InvalidFolder, match="not a plain relative path"):
        check_entry(Entry(path.encode(), FILE))


@pytest.mark.parametrize("path", [b"\xff", b"a/\xed\xa0\x80", b"nul\0"])
def test_a_name_that_is_not_text_is_refused(path: bytes) -> None:
    for entry in (Entry(path, FILE), Entry(b"link", LINK, target=path)):
        with pytest.raises(InvalidFolder, match=r"UTF-8|NUL"):
            check_entry(entry)


@pytest.mark.parametrize(
    "name", ["a\\b", "C:", "a:b", "a*", "con", "NUL.txt", "a.", "a ", "\x01", "folder./file", "com1/file"]
)
def test_on_windows_a_name_that_is_not_valid_there_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    check_entry(Entry(name.encode(), FILE))
    monkeypatch.setattr(os, "name", "nt")
    for entry in (Entry(name.encode(), FILE), Entry(b"link", LINK, target=name.encode())):
        with pytest.raises(InvalidFolder, match="not a valid name on Windows"):
            check_entry(entry)
    check_entry(Entry(b"a/b.txt", FILE))
    check_entry(Entry(b"a/link", LINK, target=b"../b.txt"))
