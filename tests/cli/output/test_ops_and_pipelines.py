"""The output of ops, op set and the pipeline commands."""

from opstore_daemon.protocol.records import OpRecord, PipelineRecord
from tests.cli.output.fakes import THEN, Opstore


def test_ops_are_listed_and_op_set_confirms_the_compatibility_level(opstore: Opstore) -> None:
    op = OpRecord(name="pca", latest=None, versions=0, compat="minor")
    assert opstore("ops", ops=[op]) == (0, "pca\t-\t0\tminor\n", "")
    assert opstore("ops", "-q", ops=[op]) == (0, "pca\n", "")
    document = '{"ops":[{"name":"pca","latest":null,"versions":0,"compat":"minor"}]}\n'
    assert opstore("ops", "--json", ops=[op]) == (0, document, "")
    assert opstore("ops", ops=[]) == (0, "", "")
    assert opstore("op", "set", "pca", "--compat", "minor", set_compat=op) == (
        0,
        "pca has the compatibility minor\n",
        "",
    )


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
    assert opstore("pipeline", "show", "churn", "-q", pipeline=pipeline) == (0, "pca\nforest\nalone\n", "")
    assert opstore("pipeline", "remove", "churn", remove_pipeline=None) == (0, "", "removed the pipeline churn\n")
    assert opstore("pipeline", "remove", "churn", "--json", remove_pipeline=None)[1] == '{"removed":"churn"}\n'
