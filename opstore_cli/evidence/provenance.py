"""The origin of a run: the git commit of the working folder, and the page of the CI job."""

import os
import re
import subprocess
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

GIT_TIMEOUT = 10.0  # seconds: a run is worth more than its commit
MAX_URL = 2048  # characters

_COMMIT = re.compile(r"[0-9a-f]{7,64}(-dirty)?", re.ASCII)
# Without tags, a whole hash; without a program of the repository's configuration, a prompt or a lock on the index.
_GIT = ("git", "-c", "core.fsmonitor=false", "describe", "--always", "--dirty", "--abbrev=64", "--exclude=*")
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_ASKPASS": "true", "LC_ALL": "C"}
# Variables with the address of the running job: of GitLab, Jenkins, CircleCI and Buildkite.
_JOB_URLS = ("CI_JOB_URL", "BUILD_URL", "CIRCLE_BUILD_URL", "BUILDKITE_BUILD_URL")


def commit() -> str | None:
    """Return the commit of the working folder, with `-dirty` if a tracked file has changed; None if there is none."""
    try:
        done = subprocess.run(
            _GIT,
            env={**os.environ, **_QUIET},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=GIT_TIMEOUT,
            check=False,
            start_new_session=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = done.stdout.decode(errors="replace").strip()
    return found if done.returncode == 0 and _COMMIT.fullmatch(found) else None


def ci_url(environ: Mapping[str, str]) -> str | None:
    """Return the address of the CI job that this process runs in, without credentials; None outside of one."""
    server, repository, run = (environ.get(f"GITHUB_{each}") for each in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    addresses = [f"{server}/{repository}/actions/runs/{run}"] if server and repository and run else []
    addresses += [environ.get(name, "") for name in _JOB_URLS]
    return next((url for address in addresses if (url := _web_address(address)) is not None), None)


def _web_address(address: str) -> str | None:
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc or not address.isprintable():
        return None
    url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return url if len(url) <= MAX_URL and url.isascii() else None
