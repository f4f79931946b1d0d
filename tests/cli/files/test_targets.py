"""Where a write to a path goes, and what killed pulls leave."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstore_cli.files import targets
from opstore_cli.files.leftovers import remove_leftovers
from opstore_cli.files.part_file import PartFile
from opstore_cli.transfer.output_path import check_path
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="devices, pipes and links of POSIX")


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a regular file."""
    number = os.open(tmp_path / "open", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


def test_a_descriptor_is_known_by_every_path_to_it(tmp_path: Path, descriptor: int) -> None:
    (tmp_path / "link").symlink_to(f"/dev/fd/{descriptor}")
    (tmp_path / "far").symlink_to("link")
    (tmp_path / "folder").symlink_to("/dev/fd")
    of_process = [Path(f"/proc/self/fd/{descriptor}")] if os.path.exists("/proc/self/fd") else []
    for path in (
        *of_process,
        Path(f"/dev/fd/{descriptor}"),
        tmp_path / "link",
        tmp_path / "far",
        tmp_path / "folder" / str(descriptor),
        Path("/dev/stdout"),
    ):
        assert targets.leads_to_descriptor(path), path
        with pytest.raises(errors.FileRefused, match="stream"):
            check_path(path, overwrite=True)
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "open", tmp_path / "loop", tmp_path / "nowhere/x", Path("x" * 300), Path("/dev/null")):
        assert not targets.leads_to_descriptor(path), path


def test_standard_output_is_known_by_every_path_to_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    assert [
        targets.is_standard_output(path) for path in (Path("/dev/stdout"), Path("/dev/fd/1"), tmp_path / "link")
    ] == [True] * 3
    assert not targets.is_standard_output(tmp_path / "link2")
    assert not targets.is_standard_output(Path("/dev/null"))


def test_leftovers_are_removed_unless_they_are_in_use_or_of_something_else(tmp_path: Path) -> None:
    digest = digest_of(b"one")
    start = f".pca.{digest.hex[:16]}"
    (tmp_path / f"{start}.part").write_bytes(b"on")
    (tmp_path / f"{start}.0123abcd.old").mkdir()
    (tmp_path / f"{start}.0123abcd.old/file").write_bytes(b"old")
    os.mkfifo(tmp_path / f"{start}.1.part")
    kept = {f"{start}.1.part", f".pca.{'0' * 16}.part", f".other.{digest.hex[:16]}.part", f"{start}.txt", "pca"}
    for name in kept - {f"{start}.1.part"}:
        (tmp_path / name).touch()
    with PartFile.beside(tmp_path / "used", digest) as part:
        remove_leftovers(tmp_path, {"pca": digest, "used": digest})
        assert set(os.listdir(tmp_path)) == kept | {part.path.name}
    remove_leftovers(tmp_path, {"used": digest})
    assert set(os.listdir(tmp_path)) == kept
