"""GitHub Actions in small: its API for comments, and a runner of the steps of the action of this repository."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

from tests.support import shell
from tests.support.http_thread import Handler, HttpThread
from tests.support.markdown import ROOT, read

ACTION = yaml.safe_load(read(ROOT / "action.yml"))
STEPS = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{ (.+?) \}\}")

# Instead of a virtual environment: opstore and Python as they are installed here.
PYTHON = """#!/bin/sh
echo "python $*" >> "$CALLS"
if [ "$1 $2 $3" = "-I -m venv" ]; then
    mkdir -p "$4/bin"
    printf '#!/bin/sh\\nexec "%s" "$@"\\n' "$OPSTORE_PROGRAM" > "$4/bin/opstore"
    printf '#!/bin/sh\\necho "python $*" >> "$CALLS"\\n[ "$2" = -m ] || exec "$REAL_PYTHON" "$@"\\n' > "$4/bin/python"
    chmod +x "$4/bin/opstore" "$4/bin/python"
fi
"""


class Comments(Handler):
    """GitHub's comments on pull request 7 of somebody/project."""

    def do_GET(self) -> None:  # noqa: N802 - http.server calls it so
        if self.path == "/user":
            return self._answer(HTTPStatus.FORBIDDEN, {})
        place, _, page = self.path.partition("?per_page=100&page=")
        assert place == "/repos/somebody/project/issues/7/comments"
        return self._answer(HTTPStatus.OK, self.owner.comments[100 * (int(page) - 1) : 100 * int(page)])

    def do_POST(self) -> None:  # noqa: N802 - http.server calls it so
        assert self.path == "/repos/somebody/project/issues/7/comments"
        if self.owner.refuses:
            return self._answer(self.owner.refuses, {})
        user = {"login": "github-actions[bot]"}
        self.owner.comments.append({"id": len(self.owner.comments) + 1, "user": user, "body": self._body()})
        return self._answer(HTTPStatus.CREATED, {})

    def do_PATCH(self) -> None:  # noqa: N802 - http.server calls it so
        number = int(self.path.removeprefix("/repos/somebody/project/issues/comments/"))
        self.owner.comments[number - 1]["body"] = self._body()
        self._answer(HTTPStatus.OK, {})

    def _body(self) -> str:
        assert self.headers["Authorization"] == "Bearer a-github-token"
        return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

    def _answer(self, status: HTTPStatus, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Location", "/user")
        self.end_headers()
        self.wfile.write(data)


class GitHub(HttpThread):
    """GitHub's API, with the comments of a pull request, one of which somebody else wrote."""

    def __init__(self) -> None:
        super().__init__(Comments)
        self.refuses: HTTPStatus | None = None
        self.comments: list[dict[str, Any]] = [
            {"id": 1, "user": {"login": "somebody"}, "body": "<!-- opstore churn -->\nmine"}
        ]


def bash(script: str, folder: Path, environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a step as GitHub does."""
    return subprocess.run(
        [shell.BASH, "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=shell.SECONDS,
        check=False,
    )


def filled(text: str, contexts: Mapping[str, str]) -> str:
    """Return the text with the values of its expressions; one that is not known is empty."""
    return EXPRESSION.sub(lambda found: contexts.get(found[1], ""), text)


class Action:
    """Runs the action in a folder, on a runner with these variables and files in `temp`."""

    def __init__(self, folder: Path, temp: Path, environ: Mapping[str, str], github: GitHub) -> None:
        self.folder, self.temp, self.log = folder, temp, ""
        self.calls, self.summary, self._output = (temp / name for name in ("calls.txt", "summary.md", "output.txt"))
        temp.mkdir(parents=True, exist_ok=True)
        self.python = temp / "stub-python"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        self.environ = {
            "CALLS": str(self.calls),
            **environ,
            "RUNNER_TEMP": str(temp),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_OUTPUT": str(self._output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_API_URL": github.url,
            "GITHUB_REPOSITORY": "somebody/project",
            "REAL_PYTHON": sys.executable,
            "OPSTORE_PROGRAM": shutil.which("opstore", path=environ["PATH"]) or "opstore",
        }

    def run(self, inputs: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        """Run the steps until one fails, each in a shell of its own; return the exit code and the outputs.

        It is the event of pull request 7. The inputs that are not given have their defaults.
        """
        given = {"python": str(self.python), **inputs}
        assert set(given) <= set(ACTION["inputs"])
        contexts = {"github.token": "a-github-token", "github.event.pull_request.number": "7"}
        for name, declared in ACTION["inputs"].items():
            contexts[f"inputs.{name}"] = given.get(name, filled(declared["default"], contexts))
        self.log, code = "", 0
        for step in STEPS:
            if code == 0 and ("if" not in step or _holds(step["if"], contexts)):
                code = self._step(step, contexts)
        return code, {name: filled(found["value"], contexts) for name, found in ACTION["outputs"].items()}

    def _step(self, step: dict[str, Any], contexts: dict[str, str]) -> int:
        self._output.write_text("")
        variables = {name: filled(text, contexts) for name, text in step.get("env", {}).items()}
        folder = self.folder / filled(step.get("working-directory", "."), contexts)
        done = bash(step["run"], folder, {**self.environ, **variables})
        self.log += done.stdout + done.stderr
        for line in self._output.read_text().splitlines():
            name, _, value = line.partition("=")
            contexts[f"steps.{step['id']}.outputs.{name}"] = value
        return done.returncode


def _holds(condition: str, contexts: Mapping[str, str]) -> bool:
    """Return whether the condition holds: comparisons with a text, and names, joined by `&&`."""
    for part in condition.split(" && "):
        name, operator, text = [*part.split(" "), "!=", "''"][:3]
        if (contexts.get(name, "") == text.strip("'")) != (operator == "=="):
            return False
    return True
