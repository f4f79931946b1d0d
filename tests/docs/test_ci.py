"""The CI guide's pipelines: their YAML is parsed, and each of their steps runs."""

import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from opstore_daemon.testing import Serving, serving
from tests.support import shell
from tests.support.figures import few
from tests.support.github import Action, GitHub, bash, filled
from tests.support.markdown import ROOT, blocks, read

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="on Windows there is no daemon")

NIGHTLY, GITHUB, GITLAB, PRE_COMMIT = (
    yaml.safe_load(block.text) for block in blocks(read(ROOT / "docs/ci.md"), "yaml")
)
ACTION = "OWNER/opstore@COMMIT"

# What the runner has and opstore is not: each notes how it was called, and what it was given.
OUTSIDE = ("pip", "gh", "git", "curl")
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
for word in "$@"; do if [ -f "${word#body@}" ]; then cat "${word#body@}" >> "$CALLS"; fi; done
"""
DEPLOY = '#!/bin/sh\necho "deploy.sh $*" "$(ls "$1" | tr "\\n" " ")" >> "$CALLS"\n'


class Runner:
    """A working tree with a lock, on a machine whose daemon has its versions."""

    def __init__(self, folder: Path, daemon: Serving, api: GitHub) -> None:
        self.store, self._api = daemon.server.store, api
        self.work, self.calls = folder / "work", folder / "calls.txt"
        self._given = {
            "vars.OPSTORE_URL": daemon.url,
            "secrets.OPSTORE_TOKEN": daemon.token,
            "github.token": "a-token",
            "github.event.pull_request.number": "7",
        }
        self.work.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        for path, text in ((self.work / "deploy.sh", DEPLOY), *((programs / name, STUB) for name in OUTSIDE)):
            path.write_text(text)
            path.chmod(0o755)
        told = shell.environment(folder)
        self._environ = {**told, "PATH": f"{programs}{os.pathsep}{told['PATH']}", "CALLS": str(self.calls)}
        self._action = Action(self.work, folder / "temp", self._environ, api)
        self._of_gitlab = {
            **daemon.environ,
            "GITLAB_TOKEN": "a-token",
            "CI_API_V4_URL": "https://gitlab.example.com/api/v4",
            "CI_PROJECT_ID": "1",
            "CI_MERGE_REQUEST_IID": "7",
        }
        (self.work / "requirements.txt").write_text("opstore==0.1.0\n")
        self.store.push("encoder", b"columns")
        self.store.push("booster", b"weights", valid_with=["encoder"])
        self.store.register_pipeline("churn", ["encoder", "booster"])
        assert self._bash("opstore resolve churn --lock opstore.lock", daemon.environ) == 0

    def called(self) -> str:
        """Return the commands that were called besides opstore, and the comments of the action."""
        comments = [f"{comment['body']}\n" for comment in self._api.comments[1:]]
        return "".join([self.calls.read_text() if self.calls.exists() else "", *comments])

    def github(self, job: str, workflow: dict[str, Any] = GITHUB) -> int:
        """Run the job until a step fails, each step in a shell of its own, as GitHub does; return its exit code."""
        code = 0
        for step in workflow["jobs"][job]["steps"]:
            if code == 0 and "run" in step:
                assert "${{" not in step["run"], "an expression in a script is a way in"
                code = self._bash(step["run"], self._variables(step))
            elif code == 0 and step["uses"] == ACTION:
                self._action.environ.update(self._variables(step))
                code, _ = self._action.run(step["with"])
        return code

    def _variables(self, step: dict[str, Any]) -> dict[str, str]:
        return {name: filled(text, self._given) for name, text in {**GITHUB["env"], **step.get("env", {})}.items()}

    def gitlab(self, job: str) -> int:
        """Run the script of the job in one shell, as GitLab does; return the exit code."""
        return self._bash("\n".join([*GITLAB["default"]["before_script"], *GITLAB[job]["script"]]), self._of_gitlab)

    def _bash(self, script: str, variables: dict[str, str]) -> int:
        return bash(script, self.work, {**self._environ, **variables}).returncode


@pytest.fixture
def api() -> Iterator[GitHub]:
    with GitHub() as made:
        yield made


@pytest.fixture
def runner(tmp_path: Path, api: GitHub) -> Iterator[Runner]:
    with serving(tmp_path / "store") as daemon:
        yield Runner(tmp_path, daemon, api)


def run(runner: Runner, host: str, job: str) -> int:
    code: int = getattr(runner, host)(job)
    return code


def steps(node: Any) -> Iterator[str]:
    """Return all commands in the YAML."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("run", "script", "before_script"):
                yield from [value] if isinstance(value, str) else value
            else:
                yield from steps(value)
    elif isinstance(node, list):
        for value in node:
            yield from steps(value)


def test_every_job_of_the_guide_is_tested() -> None:
    assert set(GITHUB["jobs"]) == {"check", "deploy", "update"}
    assert {name for name, job in GITLAB.items() if "script" in job} == {"check", "deploy"}
    assert set(NIGHTLY["jobs"]) == {"evaluate"}
    assert all(
        re.search(r"opstore|pip|deploy\.sh|git|answer", step)
        for pipeline in (GITHUB, GITLAB, NIGHTLY)
        for step in steps(pipeline)
    )


def test_the_hooks_of_the_guide_are_those_of_the_repository() -> None:
    (repository,) = PRE_COMMIT["repos"]
    offered = {hook["id"] for hook in yaml.safe_load(read(ROOT / ".pre-commit-hooks.yaml"))}
    assert {hook["id"] for hook in repository["hooks"]} == offered


@pytest.mark.parametrize("host", few(1, ["github", "gitlab"]))
def test_a_check_comments_with_the_verdict(runner: Runner, host: str) -> None:
    assert run(runner, host, "check") == 0
    assert host == "github" or "merge_requests/7/notes" in runner.called()
    assert "**`churn`: ✅ valid**" in runner.called()
    assert "| `encoder@1.0.0` | `booster@1.0.0` | ✅ valid |" in runner.called()


@pytest.mark.parametrize(("host", "code"), few(1, [("github", 0), ("gitlab", 1)]))
def test_a_new_version_that_is_not_valid_is_commented_on_and_the_lock_still_holds(
    runner: Runner, host: str, code: int
) -> None:
    runner.store.push("encoder", b"other columns", bump="major")
    assert run(runner, host, "check") == code
    assert "**`churn`: ❌ invalid**" in runner.called()


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_a_deployment_pulls_the_bytes_of_the_lock_and_tags_it(runner: Runner, host: str) -> None:
    runner.store.push("encoder", b"other columns", bump="major")
    assert run(runner, host, "deploy") == 0
    assert "deploy.sh models booster encoder" in runner.called()
    assert (runner.work / "models/encoder").read_bytes() == b"columns"
    tags = {(tag.op, tag.version, tag.tag) for tag in runner.store.tags()}
    assert tags == {("encoder", "1.0.0", "production"), ("booster", "1.0.0", "production")}


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_a_lock_that_does_not_hold_is_not_deployed(runner: Runner, host: str) -> None:
    runner.store.yank("encoder@1.0.0", "leaks the target")
    assert run(runner, host, "deploy") == 1
    assert "deploy.sh" not in runner.called()
    assert runner.store.tags() == []


def test_an_update_waits_for_the_link_and_proposes_what_is_valid(runner: Runner) -> None:
    runner.store.push("encoder", b"other columns", bump="major")
    with ThreadPoolExecutor() as pool:
        update = pool.submit(runner.github, "update")
        runner.store.link("encoder@2.0.0", "booster@any", evidence="evaluation 18")
        assert update.result() == 0
    assert 'version = "2.0.0"' in (runner.work / "opstore.lock").read_text()
    assert "gh pr create" in runner.called()


def test_an_update_stops_at_a_known_invalid_link(runner: Runner) -> None:
    runner.store.push("encoder", b"other columns", bump="major")
    runner.store.link("encoder@2.0.0", "booster@any", valid=False)
    assert runner.github("update") == 1
    assert "gh" not in runner.called()


@pytest.mark.parametrize("accuracy", few(1, [0.93, 0.61]))
def test_new_versions_are_validated_by_an_evaluation(runner: Runner, accuracy: float) -> None:
    runner.store.push("encoder", b"other columns", bump="major")
    (runner.work / "eval.py").write_text(f"print('accuracy', {accuracy})\nraise SystemExit({accuracy} < 0.9)\n")
    passes = accuracy >= 0.9
    assert runner.github("evaluate", NIGHTLY) == (0 if passes else 1)
    assert runner.store.validate_pipeline("churn").verdict == ("valid" if passes else "invalid")
    (run,) = runner.store.runs("churn")
    assert [str(version) for version in run.versions] == ["encoder@2.0.0", "booster@1.0.0"]
    assert runner.store.run_output(run.position) == f"accuracy {accuracy}\n"


@pytest.mark.parametrize("host", few(1, ["github", "gitlab"]))
def test_nothing_is_deployed_if_the_daemon_cannot_be_reached(tmp_path: Path, api: GitHub, host: str) -> None:
    with serving(tmp_path / "store") as daemon:
        runner = Runner(tmp_path, daemon, api)
    for job in ("check", "deploy"):
        assert run(runner, host, job) == 7
    assert not re.search("^(gh|curl|deploy)", runner.called(), re.MULTILINE)
