"""The output of ops, op set and the pipeline commands."""

import pytest

from opstore_daemon.protocol.records import OpRecord, PipelineRecord, Versions
from tests.cli.output.fakes import THEN, Opstore


def test_ops_are_listed_and_op_set_confirms_the_compatibility_level(opstore: Opstore) -> None:
    op = OpRecord(name="pca", latest=None, versions=0, compat="minor", description="50\ncomponents")
    assert opstore("ops", ops=[op]) == (0, "pca\t-\t0\tminor\t50\\ncomponents\n", "")
    assert opstore("ops", "-q", ops=[op]) == (0, "pca\n", "")
    document = '{"ops":[{"name":"pca","latest":null,"versions":0,"compat":"minor","description":"50\\ncomponents"}]}\n'
    assert opstore("ops", "--json", ops=[op]) == (0, document, "")
    assert opstore("ops", ops=[]) == (0, "", "")
    line = "pca has the compatibility minor\n"
    assert opstore("op", "set", "pca", "--compat", "minor", set_op=op) == (0, line, "")
    described = "pca has the description '50\\ncomponents'\n"
    words = ("op", "set", "pca", "--compat", "minor", "--description")
    assert opstore(*words, "50\ncomponents", set_op=op) == (0, line + described, "")
    bare = OpRecord(name="pca", latest=None, versions=0, compat="minor")
    assert opstore("op", "set", "pca", "--description", "", set_op=bare) == (0, "pca has no description\n", "")
    assert opstore("op", "set", "pca") == (
        2,
        "",
        "error: nothing to set: give --compat LEVEL or --description TEXT\nhint: opstore op set --help\n",
    )


@pytest.mark.usefixtures("terminal")
def test_ops_on_a_terminal_show_the_first_line_of_their_description(opstore: Opstore) -> None:
    op = OpRecord(name="pca", latest="1.0.0", versions=2, compat="minor", description="50 components\nof May")
    table = "OP   LATEST  VERSIONS  COMPAT  DESCRIPTION\npca  1.0.0          2  minor   50 components\n"
    assert opstore("ops", ops=[op]) == (0, table, "")


@pytest.mark.usefixtures("terminal")
def test_an_empty_list_says_what_was_looked_for(opstore: Opstore) -> None:
    assert opstore("ops", "--label", "a=b", "--label", "c", ops=[]) == (0, "", "no op has a version with a=b and c\n")
    assert opstore("ops", ops=[]) == (0, "", "no ops yet: opstore push NAME FILE creates one\n")
    none = Versions(op="pca", versions=())
    assert opstore("versions", "pca", "--label", "a", versions=none) == (0, "", "pca has no version with a\n")
    assert opstore("versions", "pca", versions=none) == (0, "", "pca has no versions yet\n")
    text = "nothing has happened yet: opstore push NAME FILE stores a first version\n"
    assert opstore("log", log=[]) == (0, "", text)


def test_the_pipeline_commands_print_their_results(opstore: Opstore) -> None:
    pipeline = PipelineRecord(
        position=1,
        name="churn",
        ops=("pca", "forest", "alone"),
        edges=(("pca", "forest"),),
        registered_at=THEN,
        created=True,
    )
    assert opstore("pipeline", "register", "churn", "pca", register_pipeline=pipeline) == (0, "churn\n", "")
    assert opstore("pipeline", "list", pipelines=[pipeline]) == (
        0,
        "churn\tpca, forest, alone\t1\t2024-05-06T07:08:09Z\n",
        "",
    )
    assert opstore("pipeline", "show", "churn", pipeline=pipeline) == (0, "pca\tforest\nalone\t-\n", "")
    edges = (("a", "z"), ("z", "m"), ("b", "a"))
    wide = PipelineRecord(name="wide", ops=("b", "a", "z", "m"), edges=edges, registered_at=THEN, position=1)
    assert opstore("pipeline", "show", "wide", pipeline=wide) == (0, "b\ta\na\tz\nz\tm\n", "")
    assert opstore("pipeline", "show", "churn", "-q", pipeline=pipeline) == (0, "pca\nforest\nalone\n", "")
    assert opstore("pipeline", "remove", "churn", remove_pipeline=None) == (0, "", "removed the pipeline churn\n")
    assert opstore("pipeline", "remove", "churn", "--json", remove_pipeline=None)[1] == '{"removed":"churn"}\n'
