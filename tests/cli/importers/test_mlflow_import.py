"""The import of an MLflow registry, which a stand-in replaces here."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opstore_cli.importers.mlflow import MlflowImport, RegistryReport, check_uri
from opstore_cli.importers.mlflow_messages import Model, ModelVersion
from opstore_cli.importers.mlflow_registry import FilesUnreadable
from opstore_cli.output.document import Output
from opstore_cli.transfer.progress import Progress
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from tests.support.in_process import InProcessClient

CHURN = "Churn Model"
UNKNOWN = "the registry has no model of that name; it has Churn Model, other"
MEANT = "did you mean 'Churn Model'?"


class StandInRegistry:
    """A registry in memory. `gone` are versions whose files can't be downloaded, `lost` runs that can't be read."""

    def __init__(self, folder: Path) -> None:
        self.content: dict[str, Model] = {}
        self.runs: dict[str, dict[str, str]] = {}
        self.gone: set[tuple[str, int]] = set()
        self.downloads: list[tuple[str, int]] = []
        self._folder = folder

    def add(self, model: str, number: int, **fields: Any) -> None:
        """Add a version to a model, which is created if it does not exist."""
        found = self.content.get(model, Model())
        created = fields.pop("created", 1_700_000_000_000 + 1000 * len(model) + number)
        version = ModelVersion(number=number, created=created, **fields)
        others = tuple(each for each in found.versions if each.number != number)
        versions = tuple(sorted((*others, version), key=lambda each: each.number))
        self.content[model] = msgspec.structs.replace(found, versions=versions)

    def set(self, model: str, **fields: Any) -> None:
        self.content[model] = msgspec.structs.replace(self.content[model], **fields)

    def models(self) -> tuple[str, ...]:
        return tuple(sorted(self.content))

    def model(self, name: str) -> Model:
        return self.content[name]

    def metrics(self, model: str, run: str) -> dict[str, str]:
        if run not in self.runs:
            raise FilesUnreadable("Run not found")
        return self.runs[run]

    @contextmanager
    def files(self, model: str, number: int, progress: Progress) -> Iterator[Path]:
        self.downloads.append((model, number))
        if (model, number) in self.gone:
            raise FilesUnreadable("its files are gone")
        path = Path(tempfile.mkdtemp(dir=self._folder))
        (path / "weights.bin").write_bytes(f"{model} {number}".encode())
        progress(1, None)
        yield path


@pytest.fixture
def registry(tmp_path: Path) -> StandInRegistry:
    """Return a registry with a model of three versions."""
    made = StandInRegistry(tmp_path)
    made.add(CHURN, 1, description="round 1", run="r1", tags={"team": "fraud"})
    made.add(CHURN, 2, stage="Production")
    made.add(CHURN, 10)
    made.runs["r1"] = {"auc": "0.9"}
    made.set(CHURN, description="who leaves", aliases={"champion": 1})
    return made


@pytest.fixture
def client(memory_server: OpStoreServer) -> InProcessClient:
    return InProcessClient(memory_server)


def run(
    client: InProcessClient, registry: StandInRegistry, names: Sequence[str] = (), **renames: str
) -> RegistryReport:
    return MlflowImport(client, registry, renames, Output(json=True)).run(names)  # type: ignore[arg-type]


def skipped(report: RegistryReport) -> list[tuple[str, str, str, str | None]]:
    return [(each.what, each.name, each.reason, each.hint) for each in report.skipped]


def created(report: RegistryReport) -> list[str]:
    return [f"{each.op}@{each.version}" for each in report.created]


def test_versions_keep_their_order_and_are_imported_once(client: InProcessClient, registry: StandInRegistry) -> None:
    report = run(client, registry)
    assert created(report) == ["churn_model@1.0.0", "churn_model@1.0.1", "churn_model@1.0.2"]
    assert (report.unchanged, report.skipped) == (0, [])
    assert [each.labels["mlflow_version"] for each in client.versions("churn_model").versions] == ["10", "2", "1"]
    first = client.show("churn_model@champion")
    assert (first.version, first.message, first.format) == ("1.0.0", "round 1", "folder")
    assert {key: first.labels[key] for key in ("mlflow_run", "team", "metric.auc")} == {
        "mlflow_run": "r1",
        "team": "fraud",
        "metric.auc": "0.9",
    }
    assert client.show("churn_model@1.0.1").labels["mlflow_stage"] == "Production"
    assert client.op("churn_model").description == "who leaves"
    before, registry.downloads = client.log(), []
    again = run(client, registry)
    assert (again.created, again.unchanged, again.tags, again.skipped) == ([], 3, [], [])
    assert (client.log(), registry.downloads) == (before, []), "what is there is not downloaded again"
    registry.add(CHURN, 11)
    assert created(run(client, registry)) == ["churn_model@1.0.3"]
    assert registry.downloads == [(CHURN, 11)]


def test_labels_that_were_edited_do_not_make_an_import_repeat(
    client: InProcessClient, registry: StandInRegistry
) -> None:
    run(client, registry)
    client.edit("churn_model@1.0.0", message="mine", labels={"team": "us"}, unlabel=["mlflow_version", "mlflow_model"])
    assert run(client, registry).unchanged == 3
    assert client.show("churn_model@1.0.0").labels["team"] == "us"
    assert client.show("churn_model@1.0.0").message == "mine"


def test_versions_that_were_pushed_by_hand_stay(client: InProcessClient, registry: StandInRegistry) -> None:
    client.push("churn_model", b"mine", message="mine", tags=["champion", "mine"])
    client.set_op("churn_model", description="ours")
    mine = client.show("churn_model")
    report = run(client, registry)
    assert created(report) == ["churn_model@2.0.0", "churn_model@2.0.1", "churn_model@2.0.2"]
    assert skipped(report) == [
        (
            "alias",
            "Churn Model@champion",
            "the tag champion is on churn_model@1.0.0 by a change in this store",
            "opstore tag churn_model@2.0.0 champion",
        )
    ]
    assert client.show("churn_model@mine") == mine
    assert client.op("churn_model").description == "ours"
    client.tag("churn_model@2.0.0", "champion")
    assert run(client, registry).skipped == []


# --- versions without files -------------------------------------------------------------------------------------------


def test_a_version_without_files_keeps_its_place_and_gets_them_later(
    client: InProcessClient, registry: StandInRegistry
) -> None:
    registry.gone = {(CHURN, 1)}
    registry.add(CHURN, 2, status="PENDING_REGISTRATION")
    report = run(client, registry)
    assert created(report) == ["churn_model@1.0.0", "churn_model@1.0.1", "churn_model@1.0.2"]
    without = "the version was imported without them"
    assert skipped(report) == [
        ("files", "Churn Model version 1", f"its files are gone; {without}", None),
        ("files", "Churn Model version 2", f"its status in MLflow is PENDING_REGISTRATION; {without}", None),
    ]
    assert [each.digest is None for each in client.versions("churn_model").versions] == [False, True, True]
    again = run(client, registry)
    assert (again.created, again.unchanged) == ([], 3)
    assert [reason for _, _, reason, _ in skipped(again)] == [
        reason.replace(without, "the version has none yet") for _, _, reason, _ in skipped(report)
    ]
    registry.gone = set()
    registry.add(CHURN, 2)
    assert created(run(client, registry)) == ["churn_model@1.0.0", "churn_model@1.0.1"]
    assert client.show("churn_model").labels["mlflow_version"] == "10", "the latest is still the newest of MLflow"
    assert client.show("churn_model@1.0.0").message == "round 1"
    assert run(client, registry).unchanged == 3


def test_a_failed_version_is_skipped(client: InProcessClient, registry: StandInRegistry) -> None:
    registry.add(CHURN, 2, status="FAILED_REGISTRATION")
    report = run(client, registry)
    assert len(report.created) == 2
    assert skipped(report) == [
        ("version", "Churn Model version 2", "its status in MLflow is FAILED_REGISTRATION", None)
    ]


def test_a_run_that_is_gone_costs_only_the_metrics(client: InProcessClient, registry: StandInRegistry) -> None:
    registry.runs = {}
    report = run(client, registry)
    assert len(report.created) == 3
    assert skipped(report) == [("metrics", "Churn Model version 1", "run r1: Run not found", None)]


def test_what_does_not_fit_is_reported_once_a_version(client: InProcessClient, registry: StandInRegistry) -> None:
    registry.add(CHURN, 1, description="x" * 65537, tags={"a=b": "1", "c": "x" * 1025})
    registry.set(CHURN, description="nul \0")
    report = run(client, registry)
    assert [(what, name, reason.partition(";")[0]) for what, name, reason, _ in skipped(report)] == [
        ("labels", "Churn Model version 1", "2 can't be labels: a=b, c"),
        ("description", "Churn Model version 1", "it is longer than a message, or has a NUL"),
        ("description", "Churn Model", "it is longer than the description of an op, or has a NUL"),
    ]
    assert len(report.created) == 3


def test_a_model_that_was_registered_again_has_new_versions(client: InProcessClient, registry: StandInRegistry) -> None:
    run(client, registry)
    del registry.content[CHURN]
    registry.add(CHURN, 1, created=1_800_000_000_000)
    report = run(client, registry)
    assert (created(report), report.unchanged) == (["churn_model@1.0.3"], 0)


def test_an_import_whose_daemon_fails_is_not_a_skipped_item(
    client: InProcessClient, registry: StandInRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise errors.StorageFull(reason="no space left on device")

    monkeypatch.setattr(client, "push", full)
    with pytest.raises(errors.StorageFull):
        run(client, registry)


# --- names ------------------------------------------------------------------------------------------------------------


def test_models_that_would_share_an_op_are_skipped_until_one_is_renamed(
    client: InProcessClient, registry: StandInRegistry
) -> None:
    registry.add("ChurnModel", 1)
    registry.add("été", 1)
    report = run(client, registry)
    assert report.created == []
    assert skipped(report) == [
        ("model", "été", "this is not a valid name of an op, and there is no obvious one", "--rename 'été=NAME'"),
        ("model", CHURN, "its op would be churn_model, like that of ChurnModel", "--rename 'Churn Model=NAME'"),
        ("model", "ChurnModel", "its op would be churn_model, like that of Churn Model", "--rename ChurnModel=NAME"),
    ]
    assert len(run(client, registry, ChurnModel="other", été="ete").created) == 5
    registry.add("churn_model", 1)
    report = run(client, registry, été="ete")
    assert report.unchanged == 4, "the model that was imported earlier keeps the op"
    assert [name for _, name, *_ in skipped(report)] == ["ChurnModel", "churn_model"]


def test_a_model_whose_name_is_that_of_an_op_keeps_it(client: InProcessClient, registry: StandInRegistry) -> None:
    registry.add("churn_model", 1)
    report = run(client, registry)
    assert created(report) == ["churn_model@1.0.0"]
    assert [name for _, name, *_ in skipped(report)] == [CHURN]


def test_a_model_is_not_imported_into_the_op_of_another_one(client: InProcessClient, registry: StandInRegistry) -> None:
    run(client, registry)
    registry.add("ChurnModel", 1)
    report = run(client, registry, ["ChurnModel"])
    assert skipped(report) == [
        (
            "model",
            "ChurnModel",
            "its op churn_model has versions of the model Churn Model",
            "--rename ChurnModel=NAME",
        )
    ]
    assert report.created == []


def test_a_model_that_mlflow_renamed_is_the_same(client: InProcessClient, registry: StandInRegistry) -> None:
    run(client, registry)
    registry.content = {"Churn": registry.content[CHURN]}
    report = run(client, registry, Churn="churn_model")
    assert (report.created, report.unchanged, report.skipped) == ([], 3, [])


def test_only_the_named_models_are_imported(client: InProcessClient, registry: StandInRegistry) -> None:
    registry.add("other", 1)
    assert created(run(client, registry, ["other"])) == ["other@1.0.0"]
    assert [op.name for op in client.ops()] == ["other"]


@pytest.mark.parametrize(
    ("names", "renames", "said", "hint"),
    [
        (["nobody"], {}, f"--model nobody: {UNKNOWN}", ""),
        (["CHURNMODEL"], {}, f"--model CHURNMODEL: {UNKNOWN}", MEANT),
        ([], {"nobody": "x"}, f"--rename nobody=x: {UNKNOWN}", ""),
        ([], {"other": "churn_model"}, "--rename other=churn_model: the model 'Churn Model' has that op too", ""),
        ([], {"other": "x", CHURN: "x"}, "--rename other=x: the model 'Churn Model' has that op too", ""),
    ],
)
def test_names_that_fit_no_model_are_refused_before_anything_is_imported(
    client: InProcessClient, registry: StandInRegistry, names: list[str], renames: dict[str, str], said: str, hint: str
) -> None:
    registry.add("other", 1)
    with pytest.raises(errors.InvalidSetting) as caught:
        run(client, registry, names, **renames)
    assert (caught.value.text, caught.value.advice or "", client.ops()) == (said, hint, [])


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("databricks-uc", "--uri databricks-uc: registries of Unity Catalog are not supported"),
        ("databricks-uc://profile", "--uri databricks-uc://profile: registries of Unity Catalog are not supported"),
        ("UC:http://host", "--uri UC:http://host: registries of Unity Catalog are not supported"),
        (
            "models:/churn/1",
            "--uri models:/churn/1: this is a model; --uri is the address of the registry, and --model NAME selects a "
            "model",
        ),
    ],
)
def test_an_address_other_than_that_of_a_registry_is_refused(uri: str, said: str) -> None:
    with pytest.raises(errors.InvalidSetting) as caught:
        check_uri(uri)
    assert caught.value.text == said
    check_uri("http://ann:secret@host")


# --- aliases ----------------------------------------------------------------------------------------------------------


def tags(client: InProcessClient) -> dict[str, str | None]:
    return {tag.tag: tag.version for tag in client.tags("churn_model")}


@pytest.mark.slow
def test_the_tag_of_an_alias_that_moved_moves(client: InProcessClient, registry: StandInRegistry) -> None:
    report = run(client, registry)
    assert [(each.op, each.tag, each.version) for each in report.tags] == [("churn_model", "champion", "1.0.0")]
    for number, version in ((2, "1.0.1"), (10, "1.0.2"), (2, "1.0.1"), (1, "1.0.0")):
        registry.set(CHURN, aliases={"champion": number, "Challenger": 1})
        run(client, registry)
        assert tags(client) == {"champion": version, "challenger": "1.0.0"}
        before = client.log()
        assert run(client, registry).tags == []
        assert client.log() == before
    registry.add(CHURN, 11)
    registry.set(CHURN, aliases={"champion": 11})
    run(client, registry)
    assert tags(client) == {"champion": "1.0.3", "challenger": "1.0.0"}, "a tag whose alias is gone stays"


def test_a_tag_that_was_moved_or_removed_here_stays(client: InProcessClient, registry: StandInRegistry) -> None:
    run(client, registry)
    client.tag("churn_model@1.0.1", "champion")
    assert run(client, registry).skipped == [], "the alias has not moved"
    assert tags(client) == {"champion": "1.0.1"}
    registry.set(CHURN, aliases={"champion": 10})
    moved = (
        "alias",
        "Churn Model@champion",
        "the tag champion is on churn_model@1.0.1 by a change in this store",
        "opstore tag churn_model@1.0.2 champion",
    )
    assert skipped(run(client, registry)) == skipped(run(client, registry)) == [moved]
    assert tags(client) == {"champion": "1.0.1"}
    client.untag("churn_model", "champion")
    removed = (*moved[:2], "the tag champion was removed by a change in this store", moved[3])
    assert skipped(run(client, registry)) == [removed]
    client.tag("churn_model@1.0.2", "champion")
    assert run(client, registry).skipped == []
    registry.set(CHURN, aliases={"champion": 2})
    assert len(run(client, registry).tags) == 1, "from then on it follows the alias again"
    assert tags(client) == {"champion": "1.0.1"}


@pytest.mark.parametrize("failure", range(1, 4))
def test_an_interrupted_move_is_completed(
    client: InProcessClient, registry: StandInRegistry, monkeypatch: pytest.MonkeyPatch, failure: int
) -> None:
    run(client, registry)
    registry.set(CHURN, aliases={"champion": 2})
    steps = 0

    def failing(verb: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == failure:
                raise KeyboardInterrupt
            return verb(*args, **options)

        return step

    for name in ("tag", "edit"):
        monkeypatch.setattr(client, name, failing(getattr(client, name)))
    with pytest.raises(KeyboardInterrupt):
        run(client, registry)
    assert run(client, registry).skipped == []
    assert tags(client) == {"champion": "1.0.1"}
    assert "mlflow_alias" not in client.show("churn_model@1.0.0").labels
    assert client.show("churn_model@1.0.1").labels["mlflow_alias"] == "champion"


def test_aliases_that_cannot_be_tags_are_reported(client: InProcessClient, registry: StandInRegistry) -> None:
    registry.set(CHURN, aliases={"2024": 1, "any": 1, "Champion": 2, "champion": 1, "next": 99})
    report = run(client, registry)
    assert skipped(report) == [
        ("alias", "Churn Model@next", "version 99 was not imported", None),
        ("alias", "Churn Model@2024", "a tag can't have this name", None),
        ("alias", "Churn Model@Champion", "another alias has the tag champion", None),
        ("alias", "Churn Model@any", "a tag can't have this name", None),
    ]
    assert tags(client) == {"champion": "1.0.0"}
