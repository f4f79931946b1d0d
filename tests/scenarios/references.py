"""What a reference selects (docs/references.md)."""

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene, numbers, sha256, spelt

SCENARIOS: list[Scenario] = []

# The digests of these two begin with the same 8 digits.
TWINS = (b"69235", b"95303")
DECIMAL = b"72"  # its digest begins with eleven decimal digits

PICKED = {
    "": "1.0.2",
    "@latest": "1.0.2",
    "@1.0.0": "1.0.0",
    "@2.0.0": "2.0.0",
    "@1": "1.0.2",
    "@1.0": "1.0.2",
    "@1.1": "1.1.0",
    "@2": "2.0.0",
    "@aaaa.aaaa.bbbb": "1.0.1",
    "@aaaa.bbbb.aaaa_2020-01-01": "1.1.0",
    "@>=1.1": "2.0.0",
    "@>=1,<2": "1.0.2",
    "@>1.0.2,<2": "1.1.0",
    "@>1.0.2": "2.0.0",
    "@> 1.0.2 , < 2": "1.1.0",
    "@~=1.1": "1.1.0",
    "@~=1.0.1": "1.0.2",
    "@==1.1.*": "1.1.0",
    "@==1.*": "1.0.2",
    "@!=1.0.*": "2.0.0",
    "@==2": "2.0.0",
    "@!=1.0.2": "2.0.0",
    "@<1.0.1": "1.0.0",
    "@<=1.0.1": "1.0.1",
}

REFUSED: dict[str, type[errors.OpStoreError]] = {
    "": errors.InvalidReference,
    "01.0.0": errors.InvalidVersion,
    "1.00": errors.InvalidVersion,
    "١.٢.٣": errors.InvalidVersion,
    "2147483648": errors.InvalidVersion,
    "1.0.2147483648": errors.InvalidVersion,
    "sha256:abc": errors.InvalidReference,
    "sha256:" + "A" * 64: errors.InvalidReference,
    ">=1.2.3.4": errors.InvalidReference,
    ">=1,,<2": errors.InvalidReference,
    "~=1": errors.InvalidReference,
    ">=1.0a1": errors.InvalidReference,
    "==": errors.InvalidReference,
    "Prod": errors.InvalidReference,
    "a b": errors.InvalidReference,
    "../x": errors.InvalidReference,
    "prod": errors.TagNotFound,
    "1.2.3.4": errors.TagNotFound,
    "9.9.9": errors.VersionNotFound,
    "9": errors.VersionNotFound,
    "1.9": errors.VersionNotFound,
    "1000.2000.3000": errors.VersionNotFound,
    "eeee.aaaa.aaaa": errors.VersionNotFound,
    ">=9": errors.VersionNotFound,
    "sha256:00000000": errors.VersionNotFound,
}


@SCENARIOS.append
def each_selector_selects_what_the_contract_says(scene: Scene) -> None:
    scene.numbered("pca")
    picked = {selector: scene.store.show(f"pca{selector}").version for selector in PICKED}
    assert picked == PICKED
    assert scene.store.pull("pca@~=1.1") == b"pca aba"


@SCENARIOS.append
def each_malformed_selector_is_refused_with_its_own_error(scene: Scene) -> None:
    scene.numbered("pca")
    for selector, error in REFUSED.items():
        with pytest.raises(errors.OpStoreError) as refused:
            scene.store.show(f"pca@{selector}")
        assert type(refused.value) is error, selector


@SCENARIOS.append
def an_op_that_is_missing_or_has_no_version_is_not_found(scene: Scene) -> None:
    with pytest.raises(errors.OpNotFound):
        scene.store.show("pca")
    with pytest.raises(errors.OpNotFound):
        scene.store.versions("pca")
    scene.store.register_pipeline("p", ["pca"])
    with pytest.raises(errors.VersionNotFound):
        scene.store.show("pca")
    assert scene.store.versions("pca").versions == ()


@SCENARIOS.append
def subversions_with_leading_zeros_are_not_read_as_a_number(scene: Scene) -> None:
    scene.store.push("pca", b"one", subversions="0001.0002.0003")
    assert scene.store.show("pca@0001.0002.0003").version == "1.0.0"


@SCENARIOS.append
def a_number_is_tried_before_subversions(scene: Scene) -> None:
    scene.store.push("pca", b"one", subversions="1000.2000.3000")
    with pytest.raises(errors.VersionNotFound):
        scene.store.show("pca@1000.2000.3000")


@SCENARIOS.append
def a_digest_selects_the_newest_version_that_has_it(scene: Scene) -> None:
    digest = sha256(b"same")
    scene.store.push("pca", b"same")
    scene.store.push("pca", b"other")
    scene.store.push("pca", b"same")
    for digits in (digest, digest[:8], digest[:63]):
        assert scene.store.show(f"pca@sha256:{digits}").version == "1.0.2"
    with pytest.raises(errors.VersionNotFound):
        scene.store.show("pca@sha256:" + digest[:63] + ("0" if digest[63] != "0" else "1"))


@SCENARIOS.append
def a_digest_of_another_op_is_not_found(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("lda", b"two")
    with pytest.raises(errors.VersionNotFound):
        scene.store.show("pca@sha256:" + sha256(b"two"))


@SCENARIOS.append
def an_ambiguous_prefix_is_refused_with_the_candidates(scene: Scene) -> None:
    first, second = (scene.store.push("pca", twin).digest for twin in TWINS)
    assert first is not None
    assert second is not None
    prefix = first[: len("sha256:") + 8]
    with pytest.raises(errors.AmbiguousReference) as refused:
        scene.store.show(f"pca@{prefix}")
    assert first in refused.value.text
    assert second in refused.value.text
    shared = next(n for n in range(len(first)) if first[n] != second[n])
    assert scene.store.show("pca@" + first[: shared + 1]).version == "1.0.0"
    assert scene.store.show("pca@" + second[: shared + 1]).version == "1.0.1"
    scene.store.push("lda", TWINS[0])
    assert scene.store.show(f"lda@{prefix}").version == "1.0.0"


@SCENARIOS.append
def versions_lists_what_the_selector_admits(scene: Scene) -> None:
    scene.numbered("pca")
    assert numbers(scene.store.versions("pca")) == ["1.0.2", "2.0.0", "1.1.0", "1.0.1", "1.0.0"]
    assert numbers(scene.store.versions("pca@1")) == ["1.0.2", "1.1.0", "1.0.1", "1.0.0"]
    assert numbers(scene.store.versions("pca@1.0")) == ["1.0.2", "1.0.1", "1.0.0"]
    assert numbers(scene.store.versions("pca@>=1.0.2")) == ["1.0.2", "2.0.0", "1.1.0"]
    assert numbers(scene.store.versions("pca@1.1.0")) == ["1.1.0"]
    assert numbers(scene.store.versions(f"pca@{spelt('baa')}")) == ["2.0.0"]
    assert numbers(scene.store.versions("pca", limit=2)) == ["1.0.2", "2.0.0"]
    assert numbers(scene.store.versions("pca@1", limit=1)) == ["1.0.2"]
    assert numbers(scene.store.versions("pca", limit=9)) == ["1.0.2", "2.0.0", "1.1.0", "1.0.1", "1.0.0"]


@SCENARIOS.append
def a_limit_below_one_is_refused(scene: Scene) -> None:
    scene.push("pca", "aaa")
    for limit in (0, -1):
        with pytest.raises(errors.InvalidRequest):
            scene.store.versions("pca", limit=limit)
        with pytest.raises(errors.InvalidRequest):
            scene.store.versions("pca", limit=limit, valid_for=["pca"])


@SCENARIOS.append
def a_line_or_range_without_stored_versions_selects_the_newest_registered_one(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.store.register("pca", subversions=spelt("baa"))
    scene.store.register("pca", subversions=spelt("bab"))
    assert scene.store.show("pca").version == "1.0.0"
    assert scene.store.show("pca@2").version == "2.0.1"
    assert scene.store.show("pca@>=2").version == "2.0.1"
    assert scene.store.show("pca@2.0.0").version == "2.0.0"


@SCENARIOS.append
def the_digits_of_a_digest_select_a_version_if_there_is_no_such_tag(scene: Scene) -> None:
    digest = sha256(b"one")
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"two")
    for digits in (digest[:8], digest[:12], digest):
        assert scene.store.show(f"pca@{digits}").version == "1.0.0"
        assert scene.store.pull(f"pca@{digits}") == b"one"
    scene.store.tag("pca@1.0.1", digest[:12])
    assert scene.store.show(f"pca@{digest[:12]}").version == "1.0.1"
    assert scene.store.show(f"pca@{digest[:13]}").version == "1.0.0"
    with pytest.raises(errors.TagNotFound):
        scene.store.show(f"pca@{digest[:7]}")
    with pytest.raises(errors.TagNotFound):
        scene.store.show("pca@00000000abcd")


@SCENARIOS.append
def more_than_ten_decimal_digits_are_those_of_a_digest(scene: Scene) -> None:
    scene.store.push("pca", DECIMAL)
    digits = sha256(DECIMAL)[:11]
    assert digits.isdigit()
    assert scene.store.show(f"pca@{digits}").version == "1.0.0"
    with pytest.raises(errors.VersionNotFound):
        scene.store.show("pca@00000000000")


@SCENARIOS.append
def an_ambiguous_prefix_without_an_algorithm_is_refused_too(scene: Scene) -> None:
    first, second = (str(scene.store.push("pca", twin).digest) for twin in TWINS)
    with pytest.raises(errors.AmbiguousReference) as refused:
        scene.store.show(f"pca@{first.removeprefix('sha256:')[:8]}")
    assert first in refused.value.text
    assert second in refused.value.text


@SCENARIOS.append
def an_unknown_tag_suggests_the_number_or_a_tag_that_was_meant(scene: Scene) -> None:
    scene.store.push("pca", b"one", tags=["production"])
    for tag, meant in {"v1.0.0": "pca@1.0.0", "v1.0": "pca@1.0", "v1": "pca@1", "prodution": "pca@production"}.items():
        with pytest.raises(errors.TagNotFound) as missing:
            scene.store.show(f"pca@{tag}")
        assert missing.value.advice == f"did you mean {meant}?"
    for tag in ("v9.0.0", "v9", "v1.0.0.0", "vv1"):
        with pytest.raises(errors.TagNotFound) as missing:
            scene.store.show(f"pca@{tag}")
        assert "similar" not in missing.value.details


@SCENARIOS.append
def the_references_of_other_tools_are_refused_with_ours(scene: Scene) -> None:
    for text in ("pca==1.0.0", "pca:1.0.0", "pca=1.0.0", "pca/1.0.0"):
        with pytest.raises(errors.InvalidName) as refused:
            scene.store.show(text)
        assert refused.value.advice == "use pca@1.0.0"


@SCENARIOS.append
def an_error_about_a_past_state_names_the_time_or_position(scene: Scene) -> None:
    past = "2020-01-01T10:00:00Z"
    scene.store.push("pca", b"one")
    scene.store.register_pipeline("churn", ["pca", "forest"])
    with pytest.raises(errors.OpNotFound, match=r"(?m)^there was no op pca at 2020-01-01 10:00:00Z$") as missing:
        scene.store.show("pca", as_of=past)
    assert missing.value.details == {"op": "pca", "as_of": past}
    with pytest.raises(errors.OpNotFound, match=r"(?m)^there was no op pca at position 0$"):
        scene.store.versions("pca", as_of="0")
    with pytest.raises(errors.PipelineNotFound, match=r"(?m)^there was no pipeline churn at position 1$"):
        scene.store.validate_pipeline("churn", as_of="1")
    with pytest.raises(errors.VersionNotFound, match=r"(?m)^no version of pca matched 2 at position 1$"):
        scene.store.show("pca@2", as_of="1")
    with pytest.raises(errors.TagNotFound, match=r"(?m)^pca had no tag best at position 1$"):
        scene.store.show("pca@best", as_of="1")
    with pytest.raises(errors.VersionNotFound, match=r"(?m)^forest had no version at position 2$"):
        scene.store.show("forest", as_of="2")
    with pytest.raises(errors.VersionNotFound, match=r"(?m)^forest has no version yet$"):
        scene.store.show("forest")
    scene.store.yank("pca@1.0.0", reason="bad")
    with pytest.raises(errors.VersionNotFound, match=r"(?m)^every version of pca is yanked$"):
        scene.store.show("pca")
