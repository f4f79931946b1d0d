"""The example saver of the document passes the conformance tests."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.markdown import ROOT, blocks, read


@pytest.mark.slow
def test_the_example_passes_the_conformance_tests(tmp_path: Path) -> None:
    (block,) = blocks(read(ROOT / "docs/savers.md"), "python")
    (tmp_path / "test_folder.py").write_text(block.text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_folder.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout.splitlines()[-1]
    assert "skipped" not in done.stdout.splitlines()[-1]
