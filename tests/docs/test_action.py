"""The action for GitHub Actions and the hooks for pre-commit: their form, and each of their steps in a shell."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from opstore_daemon.testing import Serving, serving
from tests.support import shell
from tests.support.github import ACTION, EXPRESSION, STEPS, Action, GitHub
from tests.support.markdown import ROOT, read
from tools import pull_request_comment

HOOKS = yaml.safe_load(read(ROOT / ".pre-commit-hooks.yaml"))
needs_a_daemon = pytest.mark.skipif(sys.platform == "win32", reason="on Windows there is no daemon")


# --- form -----------------------------------------------------------------------------------------------------------


def test_the_action_has_the_form_of_a_composite_action() -> None:
    assert set(ACTION) == {"name", "description", "branding", "inputs", "outputs", "runs"}
    assert ACTION["runs"]["using"] == "composite"
    assert all(set(given) == {"description", "default"} for given in ACTION["inputs"].values())
    assert all(isinstance(given["default"], str) for given in ACTION["inputs"].values()), "an input is a text"
    for step in STEPS:
        assert {"name", "shell", "run"} <= set(step) <= {"name", "shell", "run", "id", "if", "env", "working-directory"}
        assert step["shell"] == "bash"
        assert all(isinstance(value, str) for value in step.get("env", {}).values())
    ids = {step["id"] for step in STEPS if "id" in step}
    expressions = EXPRESSION.findall(read(ROOT / "action.yml")) + [step["if"] for step in STEPS if "if" in step]
    named = {name for text in expressions for name in re.findall(r"\binputs\.([a-z-]+)", text)}
    assert named == set(ACTION["inputs"])
    assert {name for text in expressions for name in re.findall(r"\bsteps\.(\w+)\.outputs\.\w+", text)} <= ids
    assert all(found["value"] for found in ACTION["outputs"].values())


def test_no_input_of_the_action_is_a_part_of_a_script_and_other_actions_are_pinned() -> None:
    for step in STEPS:
        assert "${{" not in step["run"], step["name"]
        assert "eval" not in step["run"]
        assert not re.search(r"python\" (?!-I )", step["run"], re.IGNORECASE), "it would import from the repository"
    for used in re.findall(r"\buses: (\S+)", read(ROOT / "action.yml") + read(ROOT / "docs/ci.md")):
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}|OWNER/opstore@COMMIT", used), used


def test_the_hooks_have_the_form_of_pre_commit() -> None:
    assert [hook["id"] for hook in HOOKS] == ["opstore-resolve-check", "opstore-validate-env-file"]
    for hook in HOOKS:
        assert set(hook) == {"id", "name", "description", "entry", "args", "language", "files", "pass_filenames"}
        assert (hook["language"], hook["pass_filenames"]) == ("python", False)
        assert hook["entry"].startswith("opstore ")
    lock, environment = (re.compile(hook["files"]) for hook in HOOKS)
    assert all(map(lock.search, ["opstore.lock", "models/opstore.lock"]))
    assert not any(map(lock.search, ["my-opstore.lock", "opstore.lock.md", "uv.lock"]))
    assert all(map(environment.search, ["requirements.txt", "a/requirements-dev.txt", "uv.lock", "pylock.prod.toml"]))
    assert not any(map(environment.search, ["opstore.lock", "requirements.in", "pyproject.toml"]))


# --- a job ----------------------------------------------------------------------------------------------------------


class Job:
    """A job on a runner, whose daemon has the pipeline `churn` with one valid set of versions."""

    def __init__(self, folder: Path, daemon: Serving, github: GitHub) -> None:
        self.store, self.github = daemon.server.store, github
        self.work = folder / "work"
        (self.work / "sub").mkdir(parents=True)
        self.action = Action(self.work, folder / "temp", shell.environment(folder), github)
        self._inputs = {"pipeline": "churn", "url": daemon.url, "token": daemon.token, "working-directory": "sub"}
        self.environ = {**self.action.environ, **daemon.environ}
        self.store.push("encoder", b"columns")
        self.store.push("booster", b"weights", valid_with=["encoder"], format="skops", libraries={"skops": "0.13.0"})
        self.store.register_pipeline("churn", ["encoder", "booster"])

    def __call__(self, **inputs: str) -> tuple[int, dict[str, str]]:
        """Run the action with these inputs; return the exit code and the outputs."""
        return self.action.run({**self._inputs, **{name.replace("_", "-"): text for name, text in inputs.items()}})


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as made:
        yield made


@pytest.fixture
def job(tmp_path: Path, github: GitHub) -> Iterator[Job]:
    with serving(tmp_path / "store") as daemon:
        yield Job(tmp_path, daemon, github)


@pytest.mark.slow
@needs_a_daemon
def test_the_action_gates_comments_and_writes_a_lock(job: Job) -> None:
    lock = job.work / "sub/opstore.lock"
    code, outputs = job(comment="true", lock="opstore.lock")
    assert (code, outputs) == (0, {"verdict": "valid", "lock": str(lock)})
    assert 'pipeline = "churn"' in lock.read_text()
    assert "**`churn`: ✅ valid**" in job.action.summary.read_text()
    assert (
        f"python -I -m pip install --quiet --disable-pip-version-check --constraint {ROOT}"
        in job.action.calls.read_text()
    )
    first, second = job.github.comments
    assert first["body"].endswith("mine")
    assert second["body"].startswith("<!-- opstore churn -->\n**`churn`: ✅ valid**\n")

    assert job(exact_set="true")[0] == 3, "no run of these versions together"

    # The next version was not validated: the comment is updated, the lock stays, and it still holds.
    job.store.push("encoder", b"other columns", bump="major")
    before = lock.read_bytes()
    assert job(comment="true", lock="opstore.lock") == (1, {"verdict": "invalid", "lock": ""})
    assert "::error::the versions are not valid together" in job.action.log
    assert len(job.github.comments) == 2
    assert "**`churn`: ❌ invalid**" in job.github.comments[1]["body"]
    assert job(use="encoder@1.0.0 booster@1.0.0")[0] == 0
    assert job(gate="false", lock="opstore.lock", check="opstore.lock")[1] == {"verdict": "invalid", "lock": str(lock)}
    assert lock.read_bytes() == before
    assert "\nThe lock holds.\n" in job.action.summary.read_text()

    # A lock that does not hold fails also without a gate, with the reasons in the comment.
    job.store.yank("encoder@1.0.0", "leaks `the` target")
    assert job(gate="false", check="opstore.lock", comment="true")[0] == 1
    assert "::error::the lock no longer holds" in job.action.log
    assert "\n    encoder@1.0.0 is yanked: leaks `the` target\n" in job.github.comments[1]["body"]

    # A token that may not comment is a warning.
    job.github.refuses, job.github.comments = HTTPStatus.FORBIDDEN, []
    assert job(gate="false", comment="true")[0] == 0
    assert (
        "::warning::no comment on the pull request: GitHub answered with the status 403; the job needs"
        in job.action.log
    )


@pytest.mark.slow
@needs_a_daemon
def test_the_action_checks_the_environment_and_takes_no_input_for_a_script_or_an_option(job: Job) -> None:
    requirements = job.work / "sub/requirements.txt"
    requirements.write_text("skops==0.14.0\n")
    assert job(env_file="requirements.txt")[1]["verdict"] == "invalid"
    assert "and requirements.txt has 0.14.0" in job.action.summary.read_text()
    assert job(gate="false", env_file="requirements.txt", lock="opstore.lock")[0] == 1, "the lock is checked, too"
    requirements.write_text("skops\n")
    assert job(env_file="requirements.txt", lock="a.lock") == (3, {"verdict": "unknown", "lock": ""})
    assert job(env_file="requirements.txt", lock="a.lock", allow_unknown="true")[0] == 0

    for inputs in (
        {"pipeline": "--url=http://127.0.0.1:9"},
        {"pipeline": "$(touch ../../touched)`touch ../../touched`; touch ../../touched"},
        {"use": "--allow-unknown"},
        {"use": "$(touch${IFS}../../touched) *"},
        {"wait": "1m; touch ../../touched"},
        {"env_file": "$(touch ../../touched)"},
        {"lock": "x\nverdict=valid"},
        {"lock": "-"},
        {"check": "; touch ../../touched"},
    ):
        code, outputs = job(**inputs)
        assert (code, outputs["lock"]) == (2, ""), (inputs, job.action.log)
        assert "Traceback" not in job.action.log
    assert not list(job.work.parent.rglob("touched"))
    assert job(url="http://127.0.0.1:9", comment="true")[0] == 7
    assert len(job.github.comments) == 1, "there is no verdict to comment with"


def test_a_comment_is_found_among_many_and_is_never_too_long(
    github: GitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": "somebody/project", "GITHUB_TOKEN": "a-github-token"}
    file = tmp_path / "verdict.md"

    def comment(text: str, pipeline: str = "churn") -> str:
        file.write_text(text)
        words = {"PULL_REQUEST": "7", "INPUT_PIPELINE": pipeline}
        assert pull_request_comment.main([str(file)], {**environ, **words}) == 0
        return capsys.readouterr().out

    github.comments *= 150
    github.comments = [{**each, "id": number} for number, each in enumerate(github.comments, start=1)]
    assert comment("first") == "created the comment on the pull request\n"
    assert comment("| ✅ |\n" * 20_000) == "updated the comment on the pull request\n"
    assert (len(github.comments), len(github.comments[-1]["body"])) == (151, 65_536)
    assert github.comments[-1]["body"].endswith("the rest is in the log of the job)")
    assert comment("other", "x --> <b>") == "created the comment on the pull request\n"
    assert github.comments[-1]["body"] == "<!-- opstore xb -->\nother"
    github.refuses, github.comments = HTTPStatus.TEMPORARY_REDIRECT, []
    assert comment("moved") == "::warning::no comment on the pull request: GitHub answered with the status 307\n"
    environ["GITHUB_API_URL"] = "http://127.0.0.1:9"
    assert comment("gone") == "::warning::no comment on the pull request: URLError\n"


@needs_a_daemon
def test_the_hooks_check_the_lock_and_the_environment(job: Job) -> None:
    resolve, validate = (shlex.split(hook["entry"]) + hook["args"] for hook in HOOKS)

    def run(words: list[str]) -> int:
        return shell.opstore(job.environ, job.work, *words[1:]).returncode

    (job.work / "opstore.toml").write_text('pipeline = "churn"\n')
    assert run(["opstore", "resolve", "--lock", "opstore.lock"]) == 0
    assert run(resolve) == 0
    (job.work / "requirements.txt").write_text("skops==0.13.1\n")
    assert run(validate) == 0
    (job.work / "requirements.txt").write_text("skops==0.14.0\n")
    assert run(validate) == 1
    job.store.yank("encoder@1.0.0", "leaks the target")
    assert run(resolve) == 1
    os.remove(job.work / "opstore.lock")
    assert run(resolve) == 2
