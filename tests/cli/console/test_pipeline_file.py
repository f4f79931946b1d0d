"""The file of a pipeline."""

import os
from pathlib import Path

import pytest

from opstore_cli.commands.pipeline import read_graph
from opstore_daemon.protocol import errors


def test_a_pipeline_file_has_ops_or_edges_or_both(tmp_path: Path) -> None:
    file = tmp_path / "churn.toml"
    file.write_text('ops = ["a", "b"]')
    assert read_graph(file) == (["a", "b"], None)
    file.write_text('ops = ["c"]\nedges = [["a", "b"]]')
    assert read_graph(file) == (["c"], [("a", "b")])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ops = 1",
        b"ops = [1]",
        b'edges = ["a"]',
        b'edges = [["a", "b", "c"]]',
        b'ops = ["a"]\nother = 1',
        b'ops = ["a"',
        b"\xff",
        b"ops = " + b"[" * 10000,
    ],
)
def test_an_invalid_pipeline_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "churn.toml"
    file.write_bytes(content)
    with pytest.raises(errors.FileRefused):
        read_graph(file)


def test_a_byte_order_mark_is_skipped_and_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / "churn.toml"
    file.write_bytes('\ufeffops = ["a", "b"]\r\n'.encode())
    assert read_graph(file) == (["a", "b"], None)
    file.write_bytes('ops = ["a", "b"]'.encode("utf-16"))
    with pytest.raises(errors.FileRefused, match="it is UTF-16 or UTF-32 text; save it as UTF-8"):
        read_graph(file)
    file.write_bytes(b"ops = [\n'gr\xf6sse']")
    with pytest.raises(errors.FileRefused, match=r"byte 0xf6 \(at line 2, column 4\)"):
        read_graph(file)


def test_a_pipe_that_nothing_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.FileRefused):
        read_graph(tmp_path / "pipe")
