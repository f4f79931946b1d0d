"""Edge cases of each method that chariots calls."""

import inspect
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

import opstore_cli
from opstore_cli import BaseOpStoreClient, Version
from opstore_daemon.protocol import errors, limits
from tests.scenarios import Scene
from tests.scenarios.scene import spelt

AAA, AAB, BAA = Version.parse(spelt("aaa")), Version.parse(spelt("aab")), Version.parse(spelt("baa"))


def named(name: str) -> Any:
    return SimpleNamespace(name=name)


def test_the_verbs_have_the_arguments_of_the_contract() -> None:
    wanted = {
        "get_all_versions_of_op": ["op"],
        "get_validated_links": ["downstream_op_name", "upstream_op_name"],
        "get_op_bytes_for_version": ["op", "version"],
        "save_op_bytes": ["op", "version", "op_bytes"],
        "register_valid_link": ["downstream_op_name", "upstream_op_name", "upstream_op_version"],
        "pipeline_exists": ["name"],
        "register_new_pipeline": ["pipeline"],
    }
    for kind in (opstore_cli.BaseOpStoreClient, opstore_cli.OpStoreClient):
        for verb, arguments in wanted.items():
            assert list(inspect.signature(getattr(kind, verb)).parameters) == ["self", *arguments]


def test_a_client_needs_nothing_but_a_way_to_carry_requests() -> None:
    assert BaseOpStoreClient.__abstractmethods__ == {"request"}


# --- versions ---------------------------------------------------------------------------------------------------------


def test_an_op_without_versions_has_none(client: BaseOpStoreClient) -> None:
    assert client.get_all_versions_of_op("nobody") is None
    client.save_op_bytes("pca", AAA, b"one")
    client.register_valid_link("forest", "pca", AAA)
    assert client.get_all_versions_of_op("forest") is None


def test_stored_versions_are_returned_or_else_registered_ones(client: BaseOpStoreClient) -> None:
    client.register_valid_link(None, "pca", AAA)
    client.register_valid_link(None, "pca", AAB)
    assert client.get_all_versions_of_op("pca") == {AAA, AAB}
    client.save_op_bytes("pca", AAA, b"one")
    assert client.get_all_versions_of_op(named("pca")) == {AAA}


def test_the_newest_is_the_greatest_whatever_the_number(client: BaseOpStoreClient) -> None:
    for version in (AAA, BAA, AAB):
        client.save_op_bytes("pca", version, str(version).encode())
    versions = client.get_all_versions_of_op("pca")
    assert versions is not None
    assert max(versions) == AAB
    assert min(versions) == AAA
    assert sorted(versions) == [AAA, BAA, AAB]
    assert client.show("pca").version == "1.0.1"


def test_versions_of_different_responses_of_one_store_can_be_compared(client: BaseOpStoreClient) -> None:
    for version in (AAA, BAA):
        client.save_op_bytes("pca", version, str(version).encode())
    client.register_valid_link("forest", "pca", AAA)
    stored, linked = client.get_all_versions_of_op("pca"), client.get_validated_links("forest", "pca")
    assert stored is not None
    assert linked == {AAA}
    assert max(stored | linked) == BAA
    assert max([*linked, *stored, *linked]) == BAA
    assert linked <= stored


def test_versions_of_two_ops_cannot_be_compared(client: BaseOpStoreClient) -> None:
    client.save_op_bytes("pca", AAA, b"one")
    client.save_op_bytes("lda", BAA, b"one")
    both = (client.get_all_versions_of_op("pca") or set()) | (client.get_all_versions_of_op("lda") or set())
    with pytest.raises(TypeError, match="only versions of one op that came from the same store have an order"):
        max(both)


def test_creation_time_is_that_of_the_version_or_of_its_registration(client: BaseOpStoreClient) -> None:
    client.save_op_bytes("pca", f"{AAA}_2020-01-01 10:00:00.5", b"one")
    client.save_op_bytes("pca", AAB, b"two")
    times = {str(version): version.creation_time for version in client.get_all_versions_of_op("pca") or ()}
    assert times == {str(AAA): "2020-01-01 10:00:00.5", str(AAB): client.show("pca").registered_at}
    assert isinstance(times[str(AAB)], datetime)


def test_all_pages_of_an_op_with_many_versions_are_read(
    client: BaseOpStoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_LIMIT", 3)
    versions = [Version("aaaa", "aaaa", f"{number:04x}") for number in range(10)]
    for version in versions:
        client.register_valid_link("forest", "pca", version)
    found = client.get_all_versions_of_op("pca")
    assert found == set(versions) == client.get_validated_links("forest", "pca")
    assert found is not None
    assert max(found) == versions[-1]


# --- links ------------------------------------------------------------------------------------------------------------


def test_links_count_for_the_latest_downstream_version_or_for_any(client: BaseOpStoreClient) -> None:
    for version in (AAA, AAB, BAA):
        client.save_op_bytes("pca", version, str(version).encode())
    for version in (AAA, AAB):
        client.save_op_bytes("forest", version, str(version).encode())
    client.link("pca@1.0.0", "forest@1.0.0")
    assert client.get_validated_links("forest", "pca") == set(), "it is for an older forest"
    client.link("pca@1.0.1", "forest@1.0.1")
    client.link("pca@2.0.0", "forest@any")
    assert client.get_validated_links("forest", "pca") == {AAB, BAA}
    client.link("pca@2.0.0", "forest@1.0.1", valid=False)
    assert client.get_validated_links("forest", "pca") == {AAB}, "known not to be valid for this one"
    client.link("pca@1.0.1", "forest@any", valid=False)
    assert client.get_validated_links("forest", "pca") == {AAB}, "the link to exactly this version decides"


def test_ops_that_the_verbs_create_have_the_level_major(client: BaseOpStoreClient) -> None:
    client.save_op_bytes("pca", AAA, b"one")
    client.register_valid_link("forest", "scaler", AAA)
    client.push("knn", b"one")
    assert {op.name: op.compat for op in client.ops()} == {
        "forest": "major",
        "knn": "exact",
        "pca": "major",
        "scaler": "major",
    }


def test_validated_links_are_none_only_for_ops_that_were_never_linked(client: BaseOpStoreClient) -> None:
    assert client.get_validated_links("forest", "pca") is None
    for version in (AAA, AAB):
        client.save_op_bytes("pca", version, str(version).encode())
    client.save_op_bytes("forest", AAA, b"trees")
    assert client.get_validated_links("forest", "pca") is None
    client.link("pca@1.0.0", "forest@any", valid=False)
    assert client.get_validated_links("forest", "pca") == set()
    client.unlink("pca@1.0.0", "forest@any")
    assert client.get_validated_links("forest", "pca") == set()
    client.link("pca@1.0.1", "forest@any")
    assert client.get_validated_links("forest", "pca") == {AAB}
    client.link("pca@1.0.0", "forest@1.0.0")
    assert client.get_validated_links(named("forest"), named("pca")) == {AAA, AAB}
    client.link("pca@1.0.1", "forest@any", valid=False)
    assert client.get_validated_links("forest", "pca") == {AAA}
    assert client.get_validated_links("pca", "forest") is None


def test_a_link_registers_unknown_ops_and_versions(client: BaseOpStoreClient, scene: Scene) -> None:
    client.register_valid_link("forest", named("pca"), AAA)
    rows = scene.rows()
    assert (rows["op"], rows["version"], rows["link"], rows["position"]) == (2, 1, 1, 2)
    client.register_valid_link("forest", "pca", str(AAA))
    client.register_valid_link("forest", "pca", f"{AAA}_2030-01-01 00:00:00")
    client.register_valid_link(None, "pca", AAA)
    assert scene.rows() == rows
    client.register_valid_link(None, "pca", BAA)
    assert client.get_all_versions_of_op("pca") == {AAA, BAA}
    assert client.get_validated_links("forest", "pca") == {AAA}


def test_a_refused_link_registers_nothing(client: BaseOpStoreClient, scene: Scene) -> None:
    before = scene.has()
    attempts: list[tuple[type[errors.OpStoreError], Any, Any, Any]] = [
        (errors.InvalidName, "Forest", "pca", AAA),
        (errors.InvalidName, "forest", "P C A", AAA),
        (errors.InvalidRequest, "pca", "pca", AAA),
        (errors.InvalidRequest, "forest", None, AAA),
        (errors.InvalidRequest, "forest", named(7), AAA),  # type: ignore[arg-type]
        (errors.InvalidSubversions, "forest", "pca", "1.0.0"),
        (errors.InvalidSubversions, "forest", "pca", "AAAA.aaaa.aaaa"),
        (errors.InvalidSubversions, "forest", "pca", None),
        (errors.InvalidSubversions, "forest", "pca", SimpleNamespace(major="aaaa", minor="aaaa", patch=None)),
        (errors.InvalidSubversions, "forest", "pca", SimpleNamespace(major="aaaa", minor="aaaa", patch="aaaa_b")),
        (errors.InvalidSubversions, "forest", "pca", f"{AAA}_{'x' * 65}"),
        (errors.InvalidSubversions, "forest", "pca", f"{AAA}_a\nb"),
    ]
    for error, downstream, upstream, version in attempts:
        with pytest.raises(errors.OpStoreError) as refused:
            client.register_valid_link(downstream, upstream, version)
        assert type(refused.value) is error, (downstream, upstream, version)
        if error is errors.InvalidSubversions:
            with pytest.raises(errors.InvalidSubversions):
                client.save_op_bytes("pca", version, b"bytes")
            with pytest.raises(errors.InvalidSubversions):
                client.get_op_bytes_for_version("pca", version)
    for name in ("Forest", "", "../pca"):
        with pytest.raises(errors.InvalidName):
            client.get_all_versions_of_op(name)
        with pytest.raises(errors.InvalidName):
            client.get_validated_links("pca", name)
        with pytest.raises(errors.InvalidName):
            client.pipeline_exists(name)
    assert scene.has() == before


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_the_bytes_are_found_by_a_version_object_or_its_text(client: BaseOpStoreClient) -> None:
    client.save_op_bytes(named("pca"), AAA, b"one")
    foreign = SimpleNamespace(major=AAA.major, minor=AAA.minor, patch=AAA.patch, creation_time="a/b @c")
    stored = max(client.get_all_versions_of_op("pca") or ())
    for version in (AAA, stored, foreign, str(AAA), f"{AAA}_2020-01-01 10:00:00", f"{AAA}_a/b@c"):
        assert client.get_op_bytes_for_version("pca", version) == b"one"


def test_an_unknown_op_or_version_raises_not_found(client: BaseOpStoreClient) -> None:
    with pytest.raises(errors.OpNotFound):
        client.get_op_bytes_for_version("pca", AAA)
    client.register_valid_link(None, "pca", AAA)
    with pytest.raises(errors.NotStored):
        client.get_op_bytes_for_version("pca", AAA)
    with pytest.raises(errors.VersionNotFound):
        client.get_op_bytes_for_version("pca", AAB)


def test_subversions_of_decimal_digits_are_not_a_version_number(client: BaseOpStoreClient) -> None:
    client.save_op_bytes("pca", "1234.1234.1234", b"digits")
    client.save_op_bytes("pca", "0001.0002.0003", b"zeros")
    assert client.get_op_bytes_for_version("pca", "1234.1234.1234") == b"digits"
    assert client.get_op_bytes_for_version("pca", Version("1234", "1234", "1234")) == b"digits"
    assert client.get_op_bytes_for_version("pca", "0001.0002.0003") == b"zeros"
    assert client.show("pca@1234.1234.1234_").version == "1.0.0"
    assert [found.version for found in client.versions("pca@1234.1234.1234_").versions] == ["1.0.0"]


def test_only_bytes_are_stored(client: BaseOpStoreClient) -> None:
    client.save_op_bytes("pca", AAA, b"")
    assert client.get_op_bytes_for_version("pca", AAA) == b""
    for number, data in enumerate((bytearray(b"one"), memoryview(b"one")[:2])):
        client.save_op_bytes("lda", Version("aaaa", "aaaa", f"000{number}"), data)  # type: ignore[arg-type]
        assert client.get_op_bytes_for_version("lda", f"aaaa.aaaa.000{number}") == bytes(data)
    for wrong in (__file__, None, 3):
        with pytest.raises(TypeError):
            client.save_op_bytes("pca", AAB, wrong)  # type: ignore[arg-type]
    assert client.get_all_versions_of_op("pca") == {AAA}


def test_other_bytes_make_a_patch_version_and_its_own_bytes_stay(client: BaseOpStoreClient) -> None:
    client.register_valid_link("forest", "pca", AAA)
    for data in (b"one", b"two", b"two", b"three"):
        client.save_op_bytes("pca", AAA, data)
    versions = client.get_all_versions_of_op("pca")
    assert versions is not None
    assert len(versions) == 3
    assert {(version.major, version.minor) for version in versions} == {(AAA.major, AAA.minor)}
    assert client.get_op_bytes_for_version("pca", max(versions)) == b"three"
    assert client.get_op_bytes_for_version("pca", AAA) == b"one"
    assert client.get_validated_links("forest", "pca") == versions


def test_bytes_of_a_removed_version_make_a_patch_version(client: BaseOpStoreClient) -> None:
    client.save_op_bytes("pca", AAA, b"one")
    client.register_valid_link("forest", "pca", AAA)
    client.remove("pca@1.0.0", force=True)
    assert client.get_all_versions_of_op("pca") is None
    assert client.get_validated_links("forest", "pca") == set()
    for data in (b"one", b"one", b"two"):
        client.save_op_bytes("pca", AAA, data)
    versions = client.get_all_versions_of_op("pca")
    assert versions is not None
    assert [version.version for version in client.versions("pca")] == ["1.0.2", "1.0.1"]
    assert client.get_op_bytes_for_version("pca", max(versions)) == b"two"
    with pytest.raises(errors.VersionRemoved):
        client.get_op_bytes_for_version("pca", AAA)
    with pytest.raises(errors.SubversionsRemoved):
        client.register_valid_link("forest", "pca", AAA)


# --- pipelines --------------------------------------------------------------------------------------------------------


def pipeline(name: str, *links: tuple[str, str | None]) -> Any:
    pairs = [(named(up), None if down is None else named(down)) for up, down in links]
    return SimpleNamespace(name=name, get_all_op_links=lambda: pairs)


def test_a_pipeline_is_registered_with_its_ops_once(client: BaseOpStoreClient, scene: Scene) -> None:
    churn = pipeline(
        "churn", ("load", "pca"), ("pca", "forest"), ("load", "report"), ("forest", None), ("report", None)
    )
    assert client.pipeline_exists("churn") is False
    client.register_new_pipeline(churn)
    assert client.pipeline_exists("churn") is True
    assert client.pipeline("churn").edges == (("load", "pca"), ("load", "report"), ("pca", "forest"))
    assert [op.name for op in client.ops()] == ["forest", "load", "pca", "report"]
    rows = scene.rows()
    client.register_new_pipeline(churn)
    assert scene.rows() == rows
    with pytest.raises(errors.PipelineConflict):
        client.register_new_pipeline(pipeline("churn", ("load", None)))
    assert scene.rows() == rows


def test_a_pipeline_of_one_op_has_no_edge(client: BaseOpStoreClient) -> None:
    client.register_new_pipeline(pipeline("alone", ("pca", None)))
    assert (client.pipeline("alone").ops, client.pipeline("alone").edges) == (("pca",), ())


def test_an_invalid_pipeline_is_refused(client: BaseOpStoreClient, scene: Scene) -> None:
    before = scene.has()
    for wrong in (pipeline("empty"), pipeline("round", ("a", "b"), ("b", "a")), pipeline("self", ("a", "a"))):
        with pytest.raises(errors.InvalidGraph):
            client.register_new_pipeline(wrong)
    with pytest.raises(errors.InvalidName):
        client.register_new_pipeline(pipeline("Iris", ("a", None)))
    with pytest.raises(errors.InvalidName):
        client.register_new_pipeline(pipeline("iris", ("a", "__pipeline_output__")))
    assert scene.has() == before
