"""The gate fails closed: what nobody validated is not valid, and what nobody meant is an error."""

import json

import pytest

from tests.support.machines import Machine


@pytest.fixture
def deployed(machine: Machine) -> Machine:
    """Return a machine with a pipeline of a PCA and a forest that was trained on it."""
    machine.do("push", "pca", machine.file("pca.bin", "four columns"))
    machine.do("push", "forest", machine.file("forest.bin", "trees"), "--valid-with", "pca@1.0.0")
    machine.do("pipeline", "register", "churn", "pca", "forest")
    return machine


def test_a_push_without_bump_is_not_valid_until_somebody_validates_it(deployed: Machine) -> None:
    assert deployed.do("push", "pca", deployed.file("pca.bin", "five columns")) == "pca@1.0.1"
    reason = "pca 1.0.1 is not validated for forest 1.0.0; last validated: 1.0.0 for forest 1.0.0"
    assert deployed.run("validate", "churn") == (
        1,
        f"pca@1.0.1 -> forest@1.0.0\tinvalid\tnot-validated\t{reason}\n",
        "the pipeline churn is invalid\n"
        "no run says whether exactly these versions work together: opstore verify churn --run CMD\n",
    )
    assert deployed.do("pull", "pca", "--valid-for", "forest", "-q") == "pca@1.0.0"
    assert deployed.run("link", "pca", "forest", "--evidence", "run 18") == (
        0,
        "pca@1.0.1 is valid for forest@1.0.0\n",
        "",
    )
    assert deployed.run("validate", "churn", "-q") == (0, "valid\n", "")
    deployed.do("push", "forest", deployed.file("forest.bin", "more trees"))
    assert deployed.run("validate", "churn", "-q") == (1, "invalid\n", "")


def test_a_typo_in_the_downstream_op_creates_nothing_and_suggests_the_right_name(deployed: Machine) -> None:
    for line in (
        ["link", "pca@1.0.0", "florest"],
        ["link", "pca@1.0.0", "florest@any"],
        ["push", "pca", deployed.file("pca.bin", "five columns"), "--valid-for", "florest"],
        ["register", "words", "--field", "major:a=b", "--valid-for", "florest"],
    ):
        code, out, err = deployed.run(*line)
        assert (code, out) == (4, "")
        assert err == "error: there is no op florest\nhint: did you mean forest?\n"
    assert deployed.do("ops", "-q").split() == ["forest", "pca"]
    assert deployed.do("versions", "pca", "-q") == "pca@1.0.0"


def test_an_edge_whose_ends_are_swapped_is_named(deployed: Machine) -> None:
    assert deployed.run("validate", "forest@1.0.0", "pca") == (
        3,
        "forest@1.0.0 -> pca@1.0.0\tunknown\tno-links\tno link says whether forest 1.0.0 is valid for pca 1.0.0\n",
        "there are links from pca to forest: opstore validate pca@1.0.0 forest@1.0.0\n",
    )


def test_a_downstream_op_without_versions_needs_any(deployed: Machine) -> None:
    code, _, err = deployed.run("pipeline", "register", "reports", "forest", "report")
    assert (code, err) == (0, "created the op report: it has no versions yet\n")
    code, _, err = deployed.run("link", "forest@1.0.0", "report")
    assert (code, err) == (
        4,
        "error: a link needs a version, and report has none yet\nhint: to link any version of it: report@any\n",
    )
    assert deployed.run("link", "forest@1.0.0", "report@any") == (
        0,
        "forest@1.0.0 is valid for any version of report\n",
        "",
    )


def test_known_invalid_and_not_validated_look_different_everywhere(deployed: Machine) -> None:
    deployed.do("push", "pca", deployed.file("pca.bin", "five columns"))
    shown = {}
    for basis in ("not-validated", "known-invalid"):
        if basis == "known-invalid":
            deployed.do("link", "--invalid", "pca@1.0.1", "forest@1.0.0", "--evidence", "run 18")
        document = deployed.ask("validate", "churn")[1]
        assert [(edge["verdict"], edge["basis"]) for edge in document["edges"]] == [("invalid", basis)]
        assert f"\tinvalid\t{basis}\t" in deployed.run("validate", "churn")[1]
        assert f"\tinvalid\t{basis}\t" in deployed.run("affected", "pca")[1]
        shown[basis] = [
            deployed.run("validate", "churn", "--format", "markdown")[1].splitlines()[-1].split(" | ")[2],
            deployed.run("graph", "churn", "--format", "mermaid")[1].splitlines()[-1].strip(),
            deployed.on_a_terminal("validate", "churn", env={"NO_COLOR": "1"})[1].splitlines()[1].split()[3],
        ]
    assert shown == {
        "not-validated": ["🚧 invalid", "op0 -.-x|invalid, not-validated| op1", "○"],
        "known-invalid": ["❌ invalid", "op0 --x|invalid, known-invalid| op1", "✗"],
    }


@pytest.mark.slow
def test_waiting_ends_at_known_invalid_and_goes_on_at_not_validated(deployed: Machine) -> None:
    deployed.do("push", "pca", deployed.file("pca.bin", "five columns"))
    assert deployed.run("validate", "churn", "--wait", "1s", "-q") == (1, "invalid\n", "")
    with deployed.begin("validate", "churn", "--wait", "10m", "-q") as waiting:
        deployed.do("link", "--invalid", "pca@1.0.1", "forest@1.0.0")
        assert waiting.communicate(timeout=60)[0] == b"invalid\n"
    assert waiting.returncode == 1


def test_a_push_to_an_op_with_the_level_major_says_what_it_counts_as_compatible_with(deployed: Machine) -> None:
    deployed.do("op", "set", "pca", "--compat", "major")
    code, out, err = deployed.run("push", "pca", deployed.file("pca.bin", "four columns, retrained"))
    assert (code, out) == (0, "pca@1.0.1\n")
    assert err == (
        "pca@1.0.1 counts as compatible with pca@1.0.0, so what pca@1.0.0 is valid for counts for it too"
        " (opstore op set pca --compat exact ends that)\n"
    )
    assert "\tvalid\tcompatible\t" in deployed.run("validate", "churn")[1]
    code, out, err = deployed.run("push", "pca", deployed.file("pca.bin", "five columns"), "--bump", "major")
    assert (code, out, err) == (0, "pca@2.0.0\n", "")
    deployed.do("op", "set", "pca", "--compat", "exact")
    document = json.loads(deployed.run("push", "pca", deployed.file("pca.bin", "six columns"), "--json")[1])
    assert document["compatible_with"] is None


def test_a_push_keeps_a_link_that_is_known_to_be_invalid_and_says_so(deployed: Machine) -> None:
    deployed.do("push", "pca", deployed.file("pca.bin", "five columns"))
    deployed.do("link", "--invalid", "pca@1.0.1", "forest@1.0.0", "--evidence", "run 18")
    code, out, err = deployed.run("push", "pca", "pca.bin", "--valid-for", "forest@1.0.0")
    assert (code, out) == (0, "pca@1.0.1\n")
    assert err == (
        "pca@1.0.1 is known not to be valid for forest@1.0.0: that stays,"
        " since only opstore link pca@1.0.1 forest@1.0.0 reverses it\n"
        "nothing new: pca@1.0.1 has these bytes already\n"
    )
    assert deployed.run("validate", "churn", "-q") == (1, "invalid\n", "")
    deployed.do("link", "pca@1.0.1", "forest@1.0.0")
    assert deployed.run("validate", "churn", "-q") == (0, "valid\n", "")


def test_unlink_that_finds_nothing_lists_the_links_there_are(deployed: Machine) -> None:
    assert deployed.run("unlink", "pca@1.0.0", "forest@any") == (
        4,
        "",
        "error: no link from pca@1.0.0 to forest@any is in force; the links between pca and forest:"
        " pca@1.0.0 -> forest@1.0.0\nhint: opstore links pca\n",
    )
