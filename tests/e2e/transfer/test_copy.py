"""`copy`, `export` and `import export` between the daemons of two machines."""

import pytest

from tests.support.machines import STARTED, Machine


def stock_pipeline(machine: Machine) -> None:
    """Push two linked ops in a pipeline; the pca has an older version, which is yanked."""
    machine.do("push", "pca", "-", stdin=b"old")
    machine.do("push", "pca", "-", "--tag", "best", stdin=b"components")
    machine.do("push", "forest", "-", "--valid-with", "pca@1.0.1", stdin=b"trees")
    machine.do("yank", "pca@1.0.0", "--reason", "wrong columns")
    machine.do("pipeline", "register", "churn", "pca", "forest")


@pytest.mark.slow
def test_versions_are_copied_both_ways_between_two_daemons(machine: Machine, other: Machine) -> None:
    stock_pipeline(machine)
    other.do("start")
    url, token = other.url, other.token
    machine.do("login", url, stdin=f"{token}\n".encode())
    assert machine.run("copy", "--pipeline", "churn", "--to", url) == (
        0,
        "pca@1.0.1 -> pca@1.0.0\nforest@1.0.0\n",
        "new: 2 versions, 1 link, 1 tag, 1 pipeline; unchanged: 0 versions\n",
    )
    assert machine.run("--url", url, "validate", "churn")[0] == 0
    other.do("push", "pca", "-", stdin=b"newer")
    assert machine.run("copy", "pca", "forest", "--from", url, "-q") == (0, "pca@1.0.2\n", "")
    assert machine.run("pull", "pca", "-o", "-")[1] == "newer"
    code, document, error = machine.ask("copy", "pca", "--all-versions", "--to", url)
    assert (code, error) == (0, None)
    assert document == {
        "created": [{"op": "pca", "source_version": "1.0.0", "version": "1.0.2"}],
        "unchanged": 2,
        "links": 0,
        "tags": [],
        "pipelines": [],
        "skipped": [],
    }


@pytest.mark.slow
def test_an_export_is_imported_on_another_machine(machine: Machine, other: Machine) -> None:
    stock_pipeline(machine)
    assert machine.run("export", "pca", "forest", "-d", "churn export") == (
        0,
        "pca@1.0.1\nforest@1.0.0\n",
        "wrote 15 B to churn export; to import it: opstore import export 'churn export'\n",
    )
    folder = machine.cwd / "churn export"
    assert other.run("import", "export", str(folder)) == (
        0,
        "pca@1.0.1 -> pca@1.0.0\nforest@1.0.0\n",
        STARTED + "new: 2 versions, 1 link, 1 tag, 0 pipelines; unchanged: 0 versions\n",
    )
    (folder / "export.json").unlink()
    assert other.run("import", "export", str(folder)) == (
        2,
        "",
        f"error: {folder}: it has no export.json: it is no export, or the export was interrupted; run it again\n",
    )


def test_a_selection_that_means_nothing_is_a_usage_error(machine: Machine) -> None:
    for words, reason in (
        (
            ("copy", "--to", "http://127.0.0.1:1"),
            "name versions, such as pca or pca@1.0.0, or a pipeline with --pipeline",
        ),
        (("copy", "pca"), "pass either --to or --from"),
        (("copy", "pca", "--to", "http://127.0.0.1:1", "--from", "http://127.0.0.1:2"), "pass either --to or --from"),
        (("copy", "pca@1.0.0", "--all-versions", "--to", "http://127.0.0.1:1"), "--all-versions takes names of ops"),
        (("export", "--pipeline", "churn", "--all-versions", "-d", "x"), "--all-versions needs the name of an op"),
    ):
        code, output, error = machine.run(*words)
        assert (code, output) == (2, "")
        assert reason in " ".join(error.split())
