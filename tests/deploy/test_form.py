"""The files of deploy/: each is of its form, and what they name exists and is the same everywhere."""

import json
import re
import shlex
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from opstore_cli.commands.serve import serve
from opstore_daemon.http_server import channel
from opstore_daemon.http_server.listener import GRACE
from opstore_daemon.protocol import routes
from opstore_daemon.protocol._version import __version__
from tests.support.haproxy import CONFIGURATION
from tests.support.markdown import ROOT, blocks, read

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.stem != "kustomization")
PORT = 8100
OPERATIONS = read(ROOT / "docs" / "operations.md")
# Of other programs: libpq's, and those of AWS's libraries.
FOREIGN = re.compile(r"PG(PASSWORD|SSLMODE|SSLROOTCERT)|AWS_(REGION|ENDPOINT_URL_S3|ACCESS_KEY_ID|SECRET_ACCESS_KEY)")


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


COMPOSE = loaded(DEPLOY / "compose.yaml")
DAEMON = COMPOSE["services"]["opstore"]
KUBERNETES = {path.stem: loaded(path) for path in MANIFESTS}
POD = KUBERNETES["deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


# --- the forms --------------------------------------------------------------------------------------------------------


def test_the_compose_file_has_the_form_of_the_compose_specification() -> None:
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema_rs.validator_for(schema).validate(COMPOSE)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.stem))
@pytest.mark.parametrize("release", ["1.30", kubernetes_validate.latest_version()])
def test_a_manifest_has_the_form_of_kubernetes(path: Path, release: str) -> None:
    kubernetes_validate.validate(loaded(path), release, strict=True)


def test_the_kustomization_has_all_manifests() -> None:
    listed = loaded(DEPLOY / "kubernetes" / "kustomization.yaml")["resources"]
    assert sorted(listed) == [path.name for path in MANIFESTS]


# --- the daemon -------------------------------------------------------------------------------------------------------


def image_command() -> list[str]:
    """Return the arguments of the daemon in the image."""
    (command,) = re.findall(r"^CMD (\[.*\])$", read(DEPLOY / "Containerfile"), re.MULTILINE)
    (entry,) = re.findall(r"^ENTRYPOINT (\[.*\])$", read(DEPLOY / "Containerfile"), re.MULTILINE)
    return [*json.loads(entry), *json.loads(command)]


@pytest.mark.parametrize(
    "words", [image_command(), ["opstore", *DAEMON["command"]], ["opstore", *CONTAINER["args"]]], ids=str
)
def test_the_daemon_knows_its_options(words: list[str]) -> None:
    assert words[:2] == ["opstore", "serve"]
    given = serve.make_context("serve", words[2:]).params
    assert (given["host"], given["port"], given["behind_proxy"]) == ("0.0.0.0", PORT, True)  # noqa: S104


def test_all_files_name_one_port_and_routes_of_the_daemon() -> None:
    image = read(DEPLOY / "Containerfile")
    assert f"EXPOSE {PORT}\n" in image
    check = f"http://127.0.0.1:{PORT}{routes.READY}"
    assert check in image
    assert check in DAEMON["healthcheck"]["test"][-1]
    balancer = CONFIGURATION.read_text()
    assert f"uri {routes.READY} ver HTTP/1.1 hdr Host 127.0.0.1:{PORT}" in balancer
    assert f"opstore:{PORT}" in balancer
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": PORT}]
    probes = {kind: CONTAINER[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    paths = {kind: probe["path"] for kind, probe in probes.items()}
    assert paths == {"startup": routes.HEALTH, "readiness": routes.READY, "liveness": routes.HEALTH}
    for probe in probes.values():
        assert probe["httpHeaders"] == [{"name": "Host", "value": f"127.0.0.1:{PORT}"}]
    (port,) = KUBERNETES["service"]["spec"]["ports"]
    assert port["targetPort"] == "http"


def variables() -> Iterator[str]:
    """Yield the variables that the containers get."""
    yield from re.findall(r"^(?:ENV| )\s+([A-Z_]+)=", read(DEPLOY / "Containerfile"), re.MULTILINE)
    yield from DAEMON["environment"]
    yield from (each["name"] for each in CONTAINER["env"])


def test_each_variable_is_one_of_ours_or_of_a_library_that_we_use() -> None:
    documented = set(re.findall(r"`(OPSTORE_[A-Z_]+)`", read(ROOT / "docs" / "settings.md")))
    others = {name for name in variables() if name not in documented and not FOREIGN.fullmatch(name)}
    assert others == {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    used = set(re.findall(r"\$\(([A-Z_]+)\)", " ".join(CONTAINER["args"])))
    configured = set(KUBERNETES["configmap"]["data"])
    assert used <= configured
    assert all(FOREIGN.fullmatch(name) for name in configured - used)


def test_everything_that_compose_takes_from_the_operator_is_in_the_guide() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", read(DEPLOY / "compose.yaml")))
    required = set(re.findall(r"\$\{([A-Z_]+):\?", read(DEPLOY / "compose.yaml")))
    written = "\n".join(block.text for block in blocks(OPERATIONS, "text", "sh", "console"))
    assert required == {name for name in required if re.search(rf"\b{name}=", written)}
    assert {name for name in asked if f"`{name}`" in OPERATIONS or name in written} == asked
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].removeprefix("./") in written


def test_the_secrets_of_kubernetes_are_created_in_the_guide() -> None:
    wanted = {
        (each["valueFrom"]["secretKeyRef"]["name"], each["valueFrom"]["secretKeyRef"]["key"])
        for each in CONTAINER["env"]
        if "valueFrom" in each
    }
    (token,) = (each["secret"]["secretName"] for each in POD["volumes"] if "secret" in each)
    (mount,) = (each["mountPath"] for each in CONTAINER["volumeMounts"] if each["name"] == "token")
    (path,) = (each["value"] for each in CONTAINER["env"] if each["name"] == "OPSTORE_TOKEN_FILE")
    wanted.add((token, path.removeprefix(f"{mount}/")))
    created: set[tuple[str, str]] = set()
    for block in blocks(OPERATIONS, "text", "console", "sh"):
        for line in re.sub(r"\\\n", " ", block.text).splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if "create secret generic" in line else []
            name = words[words.index("generic") + 1] if words else ""
            created |= {(name, found[1]) for word in words if (found := re.match(r"--from-[a-z]+=([a-z-]+)=", word))}
    assert created == wanted
    assert KUBERNETES["ingress"]["spec"]["tls"][0]["secretName"] in OPERATIONS


def test_images_are_pinned_and_ours_is_this_release() -> None:
    named = [each["image"] for each in COMPOSE["services"].values()] + [CONTAINER["image"]]
    named += re.findall(r"^FROM (\S+)", read(DEPLOY / "Containerfile"), re.MULTILINE)
    for image in named:
        name, _, tag = image.partition(":")
        assert re.search(r"\d+\.\d+", tag), image
        assert name.count("/") <= 1, f"{image} is on a registry of somebody else"
        if name == "opstore":
            assert tag == __version__


# --- what they may do -------------------------------------------------------------------------------------------------


def test_the_daemon_has_no_rights_and_writes_nowhere_else() -> None:
    image = read(DEPLOY / "Containerfile")
    (home,) = re.findall(r"OPSTORE_HOME=(\S+)", image)
    written = [str(Path(home).parent), "/tmp"]  # noqa: S108 - Python's default, for bodies of medium size
    assert "USER 10001:10001" in image
    assert DAEMON["read_only"] is True
    assert DAEMON["cap_drop"] == ["ALL"]
    assert DAEMON["security_opt"] == ["no-new-privileges:true"]
    assert [each.partition(":")[0] for each in DAEMON["tmpfs"]] == written
    assert "ports" not in DAEMON
    pod, own = POD["securityContext"], CONTAINER["securityContext"]
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["seccompProfile"]) == (True, 10001, {"type": "RuntimeDefault"})
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {each["name"]: each["mountPath"] for each in CONTAINER["volumeMounts"]}
    assert [mounts[each["name"]] for each in POD["volumes"] if "emptyDir" in each] == written
    assert "memory" in CONTAINER["resources"]["limits"]


def test_only_the_balancer_reaches_the_daemons() -> None:
    inside = [name for name, each in COMPOSE["services"].items() if each["networks"] == ["inside"]]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert set(COMPOSE["services"]) - set(inside) == {"balancer"}
    assert [name for name, each in COMPOSE["services"].items() if "ports" in each] == ["balancer"]
    policy, labels = KUBERNETES["networkpolicy"]["spec"], POD_LABELS
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["policyTypes"] == ["Ingress"]
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
    assert len(rule["from"]) == 1


POD_LABELS = KUBERNETES["deployment"]["spec"]["template"]["metadata"]["labels"]


def test_the_manifests_select_the_pods() -> None:
    selectors = [
        KUBERNETES["deployment"]["spec"]["selector"]["matchLabels"],
        KUBERNETES["service"]["spec"]["selector"],
        KUBERNETES["poddisruptionbudget"]["spec"]["selector"]["matchLabels"],
        POD["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert all(each.items() <= POD_LABELS.items() for each in selectors)
    ((path,),) = (rule["http"]["paths"] for rule in KUBERNETES["ingress"]["spec"]["rules"])
    assert path["backend"]["service"] == {"name": KUBERNETES["service"]["metadata"]["name"], "port": {"name": "http"}}


# --- times ------------------------------------------------------------------------------------------------------------


def seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def test_an_update_stops_no_daemon_before_another_is_ready_and_lets_its_requests_finish() -> None:
    spec = KUBERNETES["deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]) == (3, {"maxUnavailable": 0, "maxSurge": 1})
    (drain,) = (seconds(each["value"]) for each in CONTAINER["env"] if each["name"] == "OPSTORE_DRAIN")
    assert POD["terminationGracePeriodSeconds"] >= drain + GRACE + 5
    drain = seconds(DAEMON["environment"]["OPSTORE_DRAIN"])
    assert seconds(DAEMON["stop_grace_period"]) >= drain + GRACE + 5
    check = re.search(r"check inter (\w+) .*fall (\d+)", CONFIGURATION.read_text())
    assert check is not None
    assert drain > seconds(check[1]) * int(check[2])


def test_the_balancer_waits_longer_for_bytes_than_a_daemon_and_keeps_idle_connections_shorter() -> None:
    found = dict(re.findall(r"^    timeout (\S+) (\w+)", CONFIGURATION.read_text(), re.MULTILINE))
    assert seconds(found["http-keep-alive"]) < channel.STALLED_SECONDS <= seconds(found["client"])
    assert seconds(found["server"]) >= 3600
    assert "option http-buffer-request" not in re.sub(r"#.*", "", CONFIGURATION.read_text())


# --- permissions ------------------------------------------------------------------------------------------------------

# What AWS asks for each request: "Actions, resources, and condition keys for Amazon S3".
PERMISSIONS = {
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "create_multipart_upload": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "complete_multipart_upload": "s3:PutObject",
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "list_parts": "s3:ListMultipartUploadParts",
    "delete_object": "s3:DeleteObject",
    "list_objects_v2": "s3:ListBucket",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
}


def test_the_policy_of_the_bucket_allows_what_the_saver_sends_and_nothing_else() -> None:
    sources = (ROOT / "opstore_daemon" / "savers" / "object_store").glob("*.py")
    sent = {name for path in sources for name in re.findall(r"\b(?:s3|_patient|\(?client)\.([a-z0-9_]+)\(", read(path))}
    (policy,) = (json.loads(block.text) for block in blocks(OPERATIONS, "json") if "Statement" in block.text)
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert {PERMISSIONS[name] for name in sent} == allowed
    objects, bucket = (statement["Resource"] for statement in policy["Statement"])
    assert objects.startswith(f"{bucket}/")
