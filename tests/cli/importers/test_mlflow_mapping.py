"""What becomes what: names, subversions, labels and tags."""

import pytest

from opstore_cli.importers import mlflow_mapping as mapping
from opstore_cli.importers.mlflow_messages import ModelVersion
from opstore_daemon.protocol.limits import MAX_LABELS
from opstore_daemon.protocol.versions import Version

CREATED = 1_700_000_000_123


def version(**fields: object) -> ModelVersion:
    return ModelVersion(**{"number": 7, "created": CREATED, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "op"),
    [
        ("churn", "churn"),
        ("Churn Model", "churn_model"),
        ("RandomForest", "random_forest"),
        ("x.y-z_1", "x.y-z_1"),
        ("été", None),
        ("a@b", None),
        ("con", None),
        ("..", None),
        ("", None),
        ("a" * 129, None),
    ],
)
def test_a_model_has_its_own_name_or_the_obvious_one(model: str, op: str | None) -> None:
    assert mapping.op_name(model, {}) == op
    assert mapping.op_name(model, {model: "renamed"}) == "renamed"


def test_subversions_differ_by_number_time_of_creation_and_run_only() -> None:
    assert str(Version.parse(mapping.subversions(version()))) == mapping.subversions(version())
    assert mapping.subversions(version(description="edited", stage="Archived")) == mapping.subversions(version())
    others = [
        version(number=8),
        version(created=CREATED + 1),
        version(number=71, created=CREATED // 10),
        version(run="4711"),
    ]
    assert len({mapping.subversions(each) for each in (version(), *others)}) == 5


def test_labels_say_where_a_version_comes_from() -> None:
    found = version(run="4711", stage="Production", tags={"team": "fraud", "mlflow.source": "notebook"})
    assert mapping.labels("Churn Model", found, {"auc": "0.9", "a/b c": "nan"}) == (
        {
            "mlflow_model": "Churn Model",
            "mlflow_version": "7",
            "mlflow_run": "4711",
            "mlflow_stage": "Production",
            "mlflow_created": "2023-11-14T22:13:20.123Z",
            "team": "fraud",
            "metric.a/b c": "nan",
            "metric.auc": "0.9",
        },
        [],
    )
    assert mapping.labels("m", version(created=10**20), {})[0] == {"mlflow_model": "m", "mlflow_version": "7"}


def test_tags_and_metrics_that_cannot_be_labels_are_named() -> None:
    tags = {"a=b": "1", "long": "x" * 1025, "nul": "\0", "mlflow_run": "forged", "mlflow_alias": "x", "line\nfeed": ""}
    labels, others = mapping.labels("m", version(run="4711", tags=tags), {"f1=": "1", "x" * 122: "1"})
    assert others == [
        "a=b",
        "line\nfeed",
        "long",
        "mlflow_alias",
        "mlflow_run",
        "nul",
        "metric.f1=",
        f"metric.{'x' * 122}",
    ]
    assert labels["mlflow_run"] == "4711"
    assert mapping.some_of(others) == "a=b, line\nfeed, long and 5 more"


def test_one_label_is_left_for_the_aliases() -> None:
    labels, others = mapping.labels("m", version(tags={"team": "fraud"}), {f"m{n:03}": "1" for n in range(100)})
    assert len(labels) == MAX_LABELS - 1
    assert ("team" in labels, "metric.m000" in labels, len(labels) + len(others)) == (True, True, 104)


@pytest.mark.parametrize(
    ("alias", "tag"),
    [
        ("champion", "champion"),
        ("Champion", "champion"),
        ("v1-rc", "v1-rc"),
        ("2024", None),
        ("1", None),
        ("any", None),
        ("Latest", None),
        ("nul", None),
        ("-x-", None),
        ("été", None),
        ("a,b", None),
        ("", None),
    ],
)
def test_an_alias_becomes_a_tag_if_a_reference_reads_it_as_one(alias: str, tag: str | None) -> None:
    assert mapping.tag_name(alias) == tag
