"""The commit and the CI job of a run: if they can't be found out, the run goes on without them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from opstore_cli.evidence import provenance
from opstore_cli.evidence.provenance import ci_url, commit


def git(*words: str) -> str:
    identity = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
    command = [shutil.which("git") or "git", *identity, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_says_whether_the_files_are_those_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() is None
    git("init", "-q")
    assert commit() is None
    (tmp_path / "eval.py").write_text("one")
    git("add", ".")
    git("commit", "-qm", "one")
    git("tag", "v1")
    head = git("rev-parse", "HEAD")
    (tmp_path / "new").write_text("not tracked")
    assert commit() == head
    (tmp_path / "eval.py").write_text("two")
    assert commit() == f"{head}-dirty"
    # Nothing that the repository configures is run.
    git("config", "core.fsmonitor", f"touch {tmp_path / 'ran'}; false")
    assert commit() == f"{head}-dirty"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("program", ["#!/bin/sh\nexec sleep 600\n", "#!/bin/sh\necho v1.0\n", None])
def test_a_git_that_hangs_or_is_missing_or_says_something_else_is_no_failure(
    program: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if program is not None:
        (tmp_path / "git").write_text(program)
        (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin" if program is not None else str(tmp_path))
    monkeypatch.setattr(provenance, "GIT_TIMEOUT", 0.2)
    assert commit() is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        (
            {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "ana/churn", "GITHUB_RUN_ID": "7"},
            "https://github.com/ana/churn/actions/runs/7",
        ),
        ({"GITHUB_SERVER_URL": "https://github.com", "GITHUB_RUN_ID": "7"}, None),
        ({"CI_JOB_URL": "https://gitlab.com/ana/churn/-/jobs/7"}, "https://gitlab.com/ana/churn/-/jobs/7"),
        ({"BUILD_URL": "http://ana:secret@jenkins:8080/job/7/"}, "http://jenkins:8080/job/7/"),
        ({"BUILD_URL": "javascript:alert(1)"}, None),
        ({"BUILD_URL": "https://ci/\x1b[0m"}, None),
        ({"BUILD_URL": "https://[", "CIRCLE_BUILD_URL": "https://ci/2"}, "https://ci/2"),
        ({"BUILD_URL": "https://ci/" + "x" * 3000}, None),
    ],
)
def test_the_address_of_the_job_has_no_credentials(variables: dict[str, str], expected: str | None) -> None:
    assert ci_url(variables) == expected
