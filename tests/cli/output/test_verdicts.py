"""The output of links and verdicts, and the exit codes of verdicts and empty selections."""

import json

import msgspec
import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Versions
from tests.cli.output.fakes import SKIPPED, Opstore, a_link, a_resolution, a_validation, a_version

NONE_VALID = Versions(op="pca", versions=(), skipped=SKIPPED, verdict="invalid")
NONE_KNOWN = Versions(op="pca", versions=(), skipped=SKIPPED, verdict="unknown")


def test_link_and_unlink_print_a_sentence_and_links_prints_rows(opstore: Opstore) -> None:
    to_version = a_link(downstream_version="2.0.0", valid=False)
    assert opstore("link", "pca@1.0.0", "forest@any", link=a_link()) == (
        0,
        "pca@1.0.0 is valid for any version of forest\n",
        "",
    )
    words = ("link", "pca@1.0.0", "forest@2.0.0", "--invalid")
    assert opstore(*words, link=to_version) == (0, "pca@1.0.0 is known not to be valid for forest@2.0.0\n", "")
    assert opstore("unlink", "pca@1.0.0", "forest@any", unlink=a_link()) == (
        0,
        "revoked: pca@1.0.0 is valid for any version of forest\n",
        "",
    )
    assert opstore("links", "-q", links=[to_version, a_link()]) == (
        0,
        "pca@1.0.0 forest@2.0.0\npca@1.0.0 forest@any\n",
        "",
    )


@pytest.mark.parametrize(
    ("verdict", "words", "code"),
    [
        ("valid", (), 0),
        ("invalid", (), 1),
        ("unknown", (), 3),
        ("unknown", ("--allow-unknown",), 0),
        ("invalid", ("--allow-unknown",), 1),
    ],
)
def test_the_verdict_decides_the_exit_code(opstore: Opstore, verdict: str, words: tuple[str, ...], code: int) -> None:
    validation = a_validation(verdict)
    said = {"unknown": "not known to be valid"}.get(verdict, verdict)
    assert opstore("validate", "churn", *words, validate_pipeline=validation) == (
        code,
        f"pca@1.0.0 -> forest\t{verdict}\t{validation.edges[0].basis}\tbecause\n",
        f"the pipeline churn is {said}\nforest has no version, so the pipeline can't be run\n",
    )
    assert opstore("validate", "churn", "-q", *words, validate_pipeline=validation) == (code, f"{verdict}\n", "")
    got, out, err = opstore("validate", "churn", "--json", *words, validate_pipeline=validation)
    assert (got, json.loads(out)["verdict"], err) == (code, verdict, "")


def test_validate_prints_the_verdict_of_one_edge(opstore: Opstore) -> None:
    validation = a_validation("valid", pipeline=None)
    assert opstore("validate", "pca", "forest", validate=validation) == (
        0,
        "pca@1.0.0 -> forest\tvalid\tlink\tbecause\n",
        "",
    )


@pytest.mark.parametrize(("left", "code"), [(NONE_VALID, 1), (NONE_KNOWN, 3)])
@pytest.mark.parametrize("command", ["pull", "versions"])
def test_an_empty_selection_is_explained_and_exits_with_the_verdict(
    opstore: Opstore, command: str, left: Versions, code: int
) -> None:
    error = (errors.NothingValid if code == 1 else errors.NothingKnown)(op="pca", downstream="forest")
    advice = error.advice.replace("DOWN@VERSION", "forest@VERSION")
    said = f"skipped pca@1.1.0: not validated\nerror: {error.text}\nhint: {advice}\n"
    assert opstore(command, "pca", "--valid-for", "forest", versions=left) == (code, "", said)


def test_the_link_that_is_missing_can_be_pasted_into_a_shell(opstore: Opstore) -> None:
    _, _, err = opstore("versions", "pca", "--valid-for", "forest@>=1,<2", versions=NONE_KNOWN)
    assert err.splitlines()[-1] == "hint: when one is validated: opstore link pca@VERSION 'forest@>=1,<2'"


@pytest.mark.parametrize(("left", "code"), [(NONE_VALID, 1), (NONE_KNOWN, 3)])
def test_an_empty_selection_is_a_document_with_json(opstore: Opstore, left: Versions, code: int) -> None:
    passed = {"op": "pca", "version": "1.1.0", "reason": "not validated"}
    got, out, err = opstore("pull", "pca", "--valid-for", "forest", "--json", versions=left)
    assert (got, err) == (code, "")
    assert json.loads(out) == {"pulled": [], "verdict": left.verdict, "skipped": [passed]}
    got, out, err = opstore("versions", "pca", "--valid-for", "forest", "--json", versions=left)
    assert (got, err) == (code, "")
    assert {key: json.loads(out)[key] for key in ("op", "versions")} == {"op": "pca", "versions": []}


def test_pull_of_an_unresolvable_pipeline_fails_with_its_verdict(opstore: Opstore) -> None:
    said = (
        "pca@1.0.0 -> forest: unknown: because\n"
        "error: can't resolve churn: some edges have never been validated\n"
        "hint: opstore validate churn\n"
    )
    assert opstore("pull", "pca", "--pipeline", "churn", resolve=a_resolution("unknown")) == (3, "", said)
    code, out, err = opstore("pull", "pca", "--pipeline", "churn", "--json", resolve=a_resolution("invalid"))
    assert (code, json.loads(out)["pulled"], err) == (1, [], "")


def test_an_incomplete_explanation_is_noted(opstore: Opstore) -> None:
    found = msgspec.structs.replace(a_resolution("valid", a_version()), explained=False)
    code, _, err = opstore("resolve", "churn", "-q", resolve=found)
    assert (code, err) == (0, "the reasons of further skipped versions would take too much work to find\n")
    none = msgspec.structs.replace(a_resolution("invalid"), conflict=(), explained=False)
    error = errors.NoSet(pipeline="churn")
    said = f"the smallest conflict would take too much work to find\nerror: {error.text}\nhint: {error.advice}\n"
    assert opstore("resolve", "churn", resolve=none) == (1, "", said)
    code, out, err = opstore("resolve", "churn", "--json", resolve=found)
    assert (code, json.loads(out)["explained"], err) == (0, False, "")
