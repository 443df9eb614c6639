"""The four scenarios and the troubleshooting of FeastFlow's registry guide, on real parts.

Each test has the name that the guide gives its section.
"""

from __future__ import annotations

import re

from support.feastflow import DEPLOYMENT, IMAGE, MANIFEST, FeastFlow
from support.many_tags import docker_hub


def test_scenario_1_standard_development_workflow(feastflow: FeastFlow) -> None:
    """Publish main with its three tags, deploy to staging, promote the same image later."""
    own = feastflow.change("a new feature")
    feastflow.run("publish", "--milestone", "sprint3")
    tags = feastflow.tags()
    assert tags.keys() == {own, "sprint3", "latest"}
    assert len(set(tags.values())) == 1
    ran = feastflow.run("deploy", "--manifests", "k8s")
    image = f"{feastflow.repository}:{own}@{tags[own]}"
    assert feastflow.manifest() == DEPLOYMENT.format(image=image)
    assert MANIFEST in ran.log
    # It passes QA: the same image goes to production, and nothing is built again.
    feastflow.run("promote", "--tag", "production")
    assert feastflow.tags()["production"] == tags[own]


def test_scenario_2_rollback_after_failed_deployment(feastflow: FeastFlow) -> None:
    """Back to the last known good version in one command, which prints those for the cluster."""
    good = feastflow.change("works")
    feastflow.run("publish")
    bad = feastflow.change("answers 500")
    feastflow.run("publish")
    listed = feastflow.run("tags").log
    assert good in listed
    assert bad in listed

    ran = feastflow.run("rollback")
    tags = feastflow.tags()
    assert tags["latest"] == tags[good]
    assert tags[bad.replace("commit-", "withdrawn-")] == tags[bad]
    image = f"{feastflow.repository}:{good}@{tags[good]}"
    [line] = re.findall(r"kubectl set image .*", ran.log)
    assert f"image: {image}\n" in feastflow.kubectl(line)
    assert "kubectl rollout status deployment/feastflow-frontend" in ran.log
    with feastflow.running(f"{feastflow.repository}:latest") as page:
        assert page == "<h1>works</h1>\n"

    # The manifest can be taken back with it.
    feastflow.run("rollback", "--to", bad)
    feastflow.run("rollback", "--to", good, "--manifests", MANIFEST)
    assert feastflow.manifest() == DEPLOYMENT.format(image=image)


def test_scenario_3_running_teammates_branch_locally(feastflow: FeastFlow) -> None:
    """A branch publishes its commit tag and nothing that others share; anybody can run it."""
    feastflow.run("publish")
    before = feastflow.tags()
    feastflow.machine.project.git("switch", "--quiet", "--create", "pricing")
    own = feastflow.change("a new pricing algorithm")
    feastflow.run("publish")
    assert feastflow.tags().keys() - before.keys() == {own}
    assert feastflow.tags()["latest"] == before["latest"]
    with feastflow.running(f"{feastflow.repository}:{own}") as page:
        assert page == "<h1>a new pricing algorithm</h1>\n"


def test_scenario_4_kubernetes_pulls_from_registry_during_deployment(feastflow: FeastFlow) -> None:
    """What the manifest names is what every node pulls, by its digest, whatever moves later."""
    own = feastflow.change("first")
    feastflow.run("publish")
    feastflow.run("deploy", "--manifests", MANIFEST)
    [image] = re.findall(r"image: (\S+) # what runs", feastflow.manifest())
    assert image == f"{feastflow.repository}:{own}@{feastflow.tags()[own]}"
    feastflow.change("second")
    feastflow.run("publish")
    with feastflow.running(image) as page:
        assert page == "<h1>first</h1>\n"


def test_error_denied_requested_access_to_the_resource_is_denied(feastflow: FeastFlow) -> None:
    """Not logged in, or as somebody else."""
    ran = feastflow.run("publish", code=3, DOCKERHUB_TOKEN="dckr_pat_of_somebody_else")
    assert "does not accept the user name and token" in ran.log
    assert "create a new one with read and write scope" in ran.log
    environ = feastflow.machine.laptop(credentials=False, FEASTFLOW_REGISTRY=feastflow.place.host)
    environ["DOCKER_CONFIG"] = str(feastflow.machine.home)
    ran = feastflow.machine.run(environ, "publish")
    assert ran.code == 2
    assert "run `docker login " in ran.log
    assert feastflow.tags() == {}


def test_error_cannot_connect_to_the_docker_daemon(feastflow: FeastFlow) -> None:
    """Docker is not running."""
    ran = feastflow.run("publish", code=4, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert "Cannot connect to the Docker daemon at unix:///nowhere/docker.sock." in ran.log
    assert "sudo systemctl start docker" in ran.log


def test_error_repository_name_must_be_lowercase(feastflow: FeastFlow) -> None:
    """A file with capitals is refused; a user may have them, and repositories are lowered."""
    file = feastflow.machine.project.folder / "feastflow.yml"
    services = file.read_text()
    file.write_text(services.replace("image: feastflow", "image: FeastFlow"))
    ran = feastflow.run("publish", code=2)
    assert "repository name 'FeastFlow-frontend' must be lowercase." in ran.log
    assert "Write it as 'feastflow-frontend'." in ran.log
    assert feastflow.place.requests() == []

    file.write_text(services)
    feastflow.place.registry.admit({"YourUsername": feastflow.place.token})
    feastflow.run("publish", DOCKERHUB_USERNAME="YourUsername")
    assert "latest" in feastflow.place.tags("yourusername/feastflow-frontend")


def test_images_pushed_but_not_visible_on_docker_hub(feastflow: FeastFlow) -> None:
    """The repository is private, which doctor tells with what to press."""
    feastflow.run("publish")
    with docker_hub(feastflow.place) as hub:
        hub.private.add(IMAGE)
        ran = feastflow.run("doctor", FEASTFLOW_HUB_URL=hub.url)
    assert "private" in ran.log
    assert "Make public" in ran.log
