"""The example of a chariots application runs and does what it shows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.markdown import ROOT

SAYS = [
    "refused: pca was never trained",
    "trained pca, trained forest",
    "% of 150 flowers are right",
    "trained pca",
    "refused: forest was not validated on this major version of pca",
    "pca@2.0.0 -> forest@1.0.1\tinvalid\tnot-validated\tpca 2.0.0 is not validated for forest 1.0.1",
    "trained pca, trained forest",
    "% of 150 flowers are right",
    "pca@2.0.0\tforest@any\tvalid",
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="on Windows there is no daemon")
def test_the_example_does_what_it_says(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told = {"PATH": path, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [shutil.which("sh") or "sh", ROOT / "examples/chariots/demo.sh"],
        env=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    rest = done.stdout
    for words in SAYS:
        assert words in rest, (words, done.stdout)
        rest = rest.partition(words)[2]
    assert list(tmp_path.glob("tmp.*")) == [], "it cleans up"
