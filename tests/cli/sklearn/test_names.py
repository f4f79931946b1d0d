"""The names of steps, as names of ops."""

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from opstore_cli import OpStoreClient
from opstore_cli.sklearn import load_pipeline, save_pipeline
from opstore_daemon.protocol import errors
from tests.cli.sklearn.models import CLASSES, FEATURES
from tests.support.figures import few


@pytest.mark.parametrize(
    ("step", "op"),
    few(
        2,
        [
            ("scale", "p.scale"),
            ("Standard Scaler", "p.standard_scaler"),
            ("StandardScaler", "p.standard_scaler"),
            ("UPPER", "p.upper"),
            ("pca-1", "p.pca-1"),
            ("con", "p.con"),
            ("_private", "p._private"),
        ],
    ),
)
def test_a_step_gives_its_op_a_name(client: OpStoreClient, step: str, op: str) -> None:
    fitted = Pipeline([(step, StandardScaler()), ("last", LogisticRegression())]).fit(FEATURES, CLASSES)
    assert save_pipeline(client, "p", fitted).steps == {step: op, "last": "p.last"}
    assert [name for name, _ in load_pipeline(client, "p").steps] == [step, "last"]


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("Standard Scaler", "standard_scaler", "the step 'Standard Scaler' and the step 'standard_scaler'"),
        ("structure", "last", "the structure of the pipeline and the step 'structure'"),
    ],
)
def test_two_steps_with_one_op_are_refused(client: OpStoreClient, first: str, second: str, both: str) -> None:
    steps = [(first, StandardScaler()), (second, MinMaxScaler()), ("end", LogisticRegression())]
    with pytest.raises(errors.EstimatorRefused) as caught:
        save_pipeline(client, "p", Pipeline(steps).fit(FEATURES, CLASSES))
    assert both in caught.value.text
    assert caught.value.__notes__ == ["rename one of these steps"]
    assert client.ops() == []


def test_a_nested_step_and_a_dotted_one_are_two_steps_with_one_op(client: OpStoreClient) -> None:
    steps = [("a", make_pipeline(StandardScaler())), ("a.standardscaler", MinMaxScaler()), ("b", LogisticRegression())]
    with pytest.raises(errors.EstimatorRefused, match=r"'a__standardscaler' and the step 'a\.standardscaler'"):
        save_pipeline(client, "p", Pipeline(steps).fit(FEATURES, CLASSES))


@pytest.mark.parametrize("step", ["naïve", "a/b", "", "x" * 200, "x\n"])
def test_a_step_without_an_obvious_name_is_refused(client: OpStoreClient, step: str) -> None:
    fitted = Pipeline([(step, StandardScaler()), ("last", LogisticRegression())]).fit(FEATURES, CLASSES)
    with pytest.raises(errors.InvalidName) as caught:
        save_pipeline(client, "p", fitted)
    assert caught.value.__notes__[0].startswith("rename the step '")
    assert client.ops() == []


@pytest.mark.parametrize("name", ["Iris", "a b", "x" * 128])
def test_the_name_of_the_pipeline_is_checked_first(client: OpStoreClient, name: str) -> None:
    with pytest.raises(errors.InvalidName):
        save_pipeline(client, name, make_pipeline(LogisticRegression()))
