"""The name and the executable bit of a file: recorded by a push, restored by a pull."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.cli.folders.trees import make
from tests.support.figures import few
from tests.support.machines import Machine

posix = pytest.mark.skipif(os.name != "posix", reason="Windows derives the executable bit from the name")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_name_of_the_file_is_recorded_and_its_suffix_kept(machine: Machine) -> None:
    (machine.cwd / "in").mkdir()
    machine.file("in/Weights.TAR.gz", "some")
    code, pushed, _ = machine.ask("push", "pca", "in/Weights.TAR.gz")
    assert (code, pushed["filename"], pushed["executable"]) == (0, "Weights.TAR.gz", False)
    assert machine.ask("show", "pca")[1]["filename"] == "Weights.TAR.gz"
    assert [each["filename"] for each in machine.ask("versions", "pca")[1]["versions"]] == ["Weights.TAR.gz"]
    assert machine.run("pull", "pca") == (0, "pca-1.0.0.tar.gz\n", "")
    assert machine.run("pull", "pca") == (0, "pca-1.0.0.tar.gz\n", "already up to date: pca-1.0.0.tar.gz\n")
    assert machine.run("pull", "pca", "-q") == (0, "pca@1.0.0\n", "")
    code, document, _ = machine.ask("pull", "pca", "-o", "into/")
    assert (code, document["path"], document["filename"]) == (0, "into/pca-1.0.0.tar.gz", "Weights.TAR.gz")
    assert machine.do("pull", "pca", "-o", "exact") == "exact"
    # The same bytes under another name are nothing new.
    machine.file("other.bin", "some")
    assert machine.ask("push", "pca", "other.bin")[1]["filename"] == "Weights.TAR.gz"
    assert machine.listing() == ["exact", "in", "into", "other.bin", "pca-1.0.0.tar.gz"]


def test_standard_input_folders_and_names_that_no_terminal_should_see_are_not_recorded(machine: Machine) -> None:
    assert json.loads(machine.raw("push", "pca", "-", "--json", stdin=b"one")[1])["filename"] is None
    make(machine.cwd / "enc.v2", {"a": b"b"})
    assert machine.ask("push", "encoder", "enc.v2")[1]["filename"] is None
    assert machine.do("pull", "encoder") == "encoder-1.0.0"
    for number, name in enumerate([b"a\x1b[31m.bin", b"\xff.bin", b"a\\b.bin", b"a\nb.bin"]):
        (machine.cwd / os.fsdecode(name)).write_bytes(b"%d" % number)
        assert machine.ask("push", "odd", os.fsdecode(name))[1]["filename"] is None
    assert machine.do("pull", "odd") == "odd-1.0.3"


def test_an_output_that_can_not_be_a_folder_is_refused_before_the_download(machine: Machine) -> None:
    machine.file("file", "mine")
    assert machine.run("pull", "pca", "-o", "file/") == (2, "", "error: file/: it is not a folder\n")
    assert machine.run("pull", "pca", "-o", "none/out")[:2] == (2, "")
    assert not machine.runtime_file.exists()
    assert machine.run("pull", "pca", "-o", "new/")[0] == 4
    assert machine.listing() == ["file"]


@posix
@pytest.mark.parametrize(
    ("umask", "expected"), few(1, [(0o027, 0o750), (0o077, 0o700), (0o022, 0o755), (0o111, 0o666)])
)
def test_an_executable_file_stays_executable_as_far_as_the_umask_allows(
    machine: Machine, umask: int, expected: int
) -> None:
    (machine.cwd / "run.sh").write_text("#!/bin/sh\necho run\n")
    (machine.cwd / "run.sh").chmod(0o4755)
    assert machine.ask("push", "run", "run.sh")[1]["executable"] is True
    machine.file("plain.sh", "echo plain")
    machine.do("push", "plain", "plain.sh")
    machine.do("pull", "run", umask=umask)
    machine.do("pull", "plain", "run", "-d", "out", "--keep-suffix", umask=umask)
    assert mode(machine.cwd / "run-1.0.0.sh") == mode(machine.cwd / "out/run.sh") == expected
    assert mode(machine.cwd / "out/plain.sh") == 0o666 & ~umask


@posix
def test_a_file_that_lost_its_executable_bit_gets_it_again_and_a_link_does_not(machine: Machine) -> None:
    (machine.cwd / "run.sh").write_text("#!/bin/sh\n")
    (machine.cwd / "run.sh").chmod(0o700)
    machine.do("push", "run", "run.sh")
    machine.file("copy", "#!/bin/sh\n")
    (machine.cwd / "copy").chmod(0o4640)
    assert machine.run("pull", "run", "-o", "copy") == (0, "copy\n", "already up to date: copy\n")
    assert mode(machine.cwd / "copy") == 0o750
    (machine.cwd / "copy").chmod(0o640)
    (machine.cwd / "link").symlink_to("copy")
    machine.do("pull", "run", "-o", "link")
    assert mode(machine.cwd / "copy") == 0o640


@posix
def test_another_executable_bit_alone_is_nothing_new_and_a_warning_says_so(machine: Machine) -> None:
    machine.file("run.sh", "#!/bin/sh\n")
    machine.do("push", "run", "run.sh")
    (machine.cwd / "run.sh").chmod(0o755)
    code, out, err = machine.run("push", "run", "run.sh")
    said = "warning: run@1.0.0 was pushed without the executable bit and is pulled so; --new stores it with it\n"
    assert (code, out, err.splitlines(keepends=True)[-1]) == (0, "run@1.0.0\n", said)
    assert machine.do("push", "run", "run.sh", "--new") == "run@1.0.1"
    assert machine.ask("show", "run")[1]["executable"] is True
