"""What docs/deploy.md gives to be installed is right: units, manifests, image, settings."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from dqm.settings import Settings
from tests.conftest import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
DOCUMENT = (REPOSITORY / "docs/deploy.md").read_text(encoding="utf-8")
UNITS = sorted(DEPLOY.glob("*.service"))
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
CONTAINER = (REPOSITORY / "Containerfile").read_text(encoding="utf-8")


def test_the_document_names_every_file_to_be_installed() -> None:
    for path in (*DEPLOY.iterdir(), REPOSITORY / "Containerfile"):
        assert path.name in DOCUMENT


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_units_and_finds_them_closed(unit: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    assert program, "no systemd-analyze: Debian's package systemd has it"
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/opt/larboard/bin/larboard", sys.executable))
    checked = subprocess.run([program, "verify", here], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    rated = subprocess.run(
        [program, "security", "--offline=true", "--threshold=25", here], capture_output=True, text=True
    )
    assert rated.returncode == 0, rated.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_that_there_is(unit: Path) -> None:
    from dqm.cli import app

    found = re.search(r"ExecStart=/opt/larboard/bin/larboard (\w+)$", unit.read_text(), re.MULTILINE)
    assert found
    assert found[1] in {one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: one["kind"])
def test_kubernetes_takes_the_manifests(manifest: dict) -> None:
    import kubernetes_validate

    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_pod_has_no_rights_and_is_asked_how_it_is() -> None:
    (deployment,) = (one for one in MANIFESTS if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert written == {"/tmp", "/var/lib/larboard"}


def test_the_settings_of_the_document_and_of_the_manifest_are_settings() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    (config,) = (one for one in MANIFESTS if one["kind"] == "ConfigMap")
    for text in (block, config["data"]["larboard.toml"]):
        Settings(**tomllib.loads(text))
    for name in re.findall(r"LARBOARD_(\w+?)__(\w+)", DOCUMENT + CONTAINER + (DEPLOY / "kubernetes.yaml").read_text()):
        section = Settings.model_fields[name[0].lower()].annotation
        assert name[1].lower() in section.model_fields  # type: ignore[union-attr]


def test_the_image_takes_what_the_package_is_made_of_and_runs_without_rights() -> None:
    built = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINER, re.MULTILINE))
    taken = {name for line in copied for name in line.split()}
    assert set(built["only-include"]) <= taken
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= taken
    ignored = (REPOSITORY / ".containerignore").read_text().split()
    assert {f"!{name}" for name in taken} <= set(ignored)
    assert re.search(r"^USER 10001:10001$", CONTAINER, re.MULTILINE)
    assert "HEALTHCHECK" in CONTAINER
    for word in ("password", "secret=", "token", "ARG ", "index-url"):
        assert word not in CONTAINER.lower().replace("nothing in it is secret", "")
    bases = re.findall(r"^FROM (\S+)", CONTAINER, re.MULTILINE)
    assert bases
    assert all(re.search(r":[\d.]+", base) for base in bases)  # by a version, not by what is latest


def test_a_linter_finds_nothing_in_the_containerfile() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program, "no hadolint: `make setup-dev` installs it"
    linted = subprocess.run([program, "--no-color", REPOSITORY / "Containerfile"], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, "")
