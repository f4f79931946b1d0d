"""Programs of the system that a test needs."""

import os
import shutil
from pathlib import Path

import pytest

_ADMINISTRATION = "/usr/local/sbin:/usr/sbin:/sbin"  # not in the PATH of every user


def installed(name: str) -> Path:
    """Return the path of the program. Without it the test is skipped, or fails in CI, which installs all of them."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), _ADMINISTRATION]))
    if found is None:
        if "OPSTORE_TEST_ALL" in os.environ:
            raise AssertionError(f"{name} is not installed: .ci/run installs it")
        pytest.skip(f"{name} is not installed")
    return Path(found)
