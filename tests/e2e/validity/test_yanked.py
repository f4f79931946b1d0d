"""Every command and the Python client warn when they select a yanked version."""

import json
import shlex
from collections.abc import Iterator

import pytest

from opstore_cli import YankedWarning
from opstore_daemon.protocol.records import PickedYanked
from tests.support.figures import few
from tests.support.machines import Machine, a_machine

SAID = "pca@2.0.0 is yanked: leaks the target"
PICKED = PickedYanked(op="pca", version="2.0.0", reason="leaks the target")


@pytest.fixture(scope="module")
def yanked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Return a machine with a valid pipeline scaler -> pca -> forest and its lock, whose pca is yanked."""
    with a_machine(tmp_path_factory.mktemp("yanked"), in_process=True) as machine:
        machine.file("op.bin", "one")
        machine.do("push", "pca", "op.bin")
        machine.do("push", "pca", "op.bin", "--new", "--bump", "major")
        machine.do("push", "forest", "op.bin", "--valid-with", "pca@2.0.0")
        machine.do("push", "scaler", "op.bin", "--valid-for", "pca@2.0.0")
        machine.do("pipeline", "register", "churn", "scaler", "pca", "forest")
        machine.do("resolve", "churn", "--lock", "opstore.lock")
        machine.do("link", "pca@1.0.0", "forest")
        machine.do("link", "scaler", "pca@1.0.0")
        machine.do("yank", "pca@2.0.0", "--reason", "leaks the target")
        yield machine


@pytest.mark.parametrize(
    "line",
    few(
        6,
        [
            "show pca@2.0.0",
            "versions pca@2.0.0",
            "versions scaler --valid-for pca@2.0.0",
            "pull pca@2.0.0 -o out.bin -f",
            "pull pca@2.0.0 forest -d out -f",
            "pull --lock opstore.lock -d models -f",
            "pull pca@2.0.0 --valid-for forest -o out.bin -f",
            "pull scaler --valid-for pca@2.0.0 -o out.bin -f",
            "link pca@2.0.0 forest@any",
            "link scaler pca@2.0.0 --evidence again",
            "validate pca@2.0.0 forest",
            "validate scaler pca@2.0.0 --allow-unknown",
            "validate pca@2.0.0 forest --wait 5s",
            "validate churn --use pca@2.0.0 --allow-unknown",
            "graph churn --use pca@2.0.0",
            "resolve churn --use pca@2.0.0",
            "affected pca@2.0.0",
            "tag pca@2.0.0 candidate",
            "tag --lock opstore.lock production",
            "push boost op.bin --new --valid-with pca@2.0.0",
            "push scaler op.bin --valid-for pca@2.0.0",
            "register words --field major:a=b --valid-for pca@2.0.0",
        ],
    ),
)
def test_every_command_that_selects_a_yanked_version_warns_once(yanked: Machine, line: str) -> None:
    code, _, err = yanked.run(*line.split(), "-q")
    assert (code, err) == (0, f"warning: {SAID}\n")


def test_an_upgrade_of_a_lock_keeps_a_yanked_version_with_a_warning(yanked: Machine) -> None:
    code, out, err = yanked.run("resolve", "--lock", "opstore.lock", "--upgrade", "forest", "-q")
    assert (code, "pca@2.0.0\n" in out, err) == (0, True, f"warning: {SAID}\n")


def test_unlink_with_json_warns_in_json(yanked: Machine) -> None:
    yanked.do("link", "pca@2.0.0", "forest@any")
    code, _, err = yanked.run("unlink", "pca@2.0.0", "forest@any", "--json")
    assert (code, json.loads(err)) == (0, {"warning": SAID})


@pytest.mark.parametrize(
    "line",
    [
        "versions pca",
        "show pca",
        "validate pca forest",
        "resolve --check opstore.lock",
        "tags",
        "yank pca@2.0.0 --reason 'leaks the target'",
    ],
)
def test_a_command_that_does_not_select_a_yanked_version_does_not_warn(yanked: Machine, line: str) -> None:
    assert "warning" not in yanked.run(*shlex.split(line), "-q")[2]


def test_the_reason_of_a_yank_is_in_the_output_and_the_documents(yanked: Machine) -> None:
    out = yanked.run("show", "pca@2.0.0")[1]
    assert "yanked\tyes\nyank_reason\tleaks the target\n" in out
    assert "yank_reason" not in yanked.do("show", "pca@1.0.0")
    _, document, _ = yanked.ask("versions", "pca")
    assert [version["yank_reason"] for version in document["versions"]] == ["leaks the target", None]
    picked = [{"op": "pca", "version": "2.0.0", "reason": "leaks the target"}]
    assert yanked.ask("validate", "pca@2.0.0", "forest")[1]["picked_yanked"] == picked
    assert yanked.ask("push", "boost", "op.bin", "--valid-with", "pca@2.0.0")[1]["picked_yanked"] == picked


def test_the_python_client_issues_a_warning_or_calls_the_warn_callback(yanked: Machine) -> None:
    with yanked.client() as client:
        for pick in (
            lambda: client.pull("pca@2.0.0"),
            lambda: client.tag("pca@2.0.0", "seen"),
            lambda: client.link("pca@2.0.0", "forest@any"),
            lambda: client.wait("pca@2.0.0", "forest", seconds=5),
        ):
            with pytest.warns(YankedWarning, match=f"^{SAID}$") as caught:
                pick()
            assert [warning.message.picked for warning in caught if isinstance(warning.message, YankedWarning)] == [
                PICKED
            ]
    warned: list[PickedYanked] = []
    with yanked.client(warn=warned.append) as client:
        client.load("pca@2.0.0", format="bytes")
        client.resolve("churn", use=["pca@2.0.0"])
        client.versions("pca")
        client.yank("pca@2.0.0", "leaks the target")
    assert warned == [PICKED, PICKED]


def test_control_characters_in_a_reason_are_escaped(yanked: Machine) -> None:
    yanked.do("push", "hostile", "op.bin")
    yanked.do("yank", "hostile", "--reason", "a\x1b[31mred")
    assert yanked.run("tag", "hostile@1.0.0", "x", "-q")[2] == "warning: hostile@1.0.0 is yanked: a\\x1b[31mred\n"
    with yanked.client() as client, pytest.warns(YankedWarning) as caught:
        client.show("hostile@1.0.0")
    assert str(caught[0].message) == "hostile@1.0.0 is yanked: a\\x1b[31mred"
