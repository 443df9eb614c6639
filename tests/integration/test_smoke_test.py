"""A smoke test runs the image on a real engine: what passes, what fails and why, what is left."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from docker.errors import APIError
from docker.models.containers import Container, ContainerCollection
from support.registries import LocalRegistry
from support.soak import chosen
from support.web_images import WAYS, Images, MakeImages, make_images

from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import BuiltImage
from feastflow_registry.model.references import Digest
from integration.conftest import Builder

SLEEP = ("/bin/busybox", "sleep", "100")


@pytest.fixture
def make(
    builders: Callable[[str], Builder], place: LocalRegistry, busybox: Path, tmp_path: Path
) -> Iterator[MakeImages]:
    """Images by the way they are made."""
    yield from make_images(builders, place, busybox, tmp_path)


@pytest.fixture(params=chosen(WAYS))
def images(request: pytest.FixtureRequest, make: MakeImages) -> Images:
    """Each way in turn."""
    return make(request.param)


@pytest.fixture
def classic_images(make: MakeImages) -> Images:
    """Images in the classic engine."""
    return make("classic")


@pytest.mark.parametrize("images", chosen(WAYS), indirect=True)
def test_an_image_that_answers_passes(images: Images) -> None:
    assert images.judge(images.service(path="/index.html"), images.build()) is None
    assert "pricing: port 3000, path /index.html answered 200 after" in images.said()


def test_an_image_that_answers_with_an_error_fails_with_its_log(images: Images) -> None:
    service = images.service(path="/cgi-bin/broken")
    # A busy machine may be late for the first answers.
    spent = images.spent_once("broken by design", times=5)
    failure = images.judge(service, images.build(), **spent)
    assert failure
    assert failure.kind is Kind.BUILD
    cause = failure.problems[0].cause
    assert "pricing failed: port 3000, path /cgi-bin/broken answered 500" in cause
    assert ("group", "Log of pricing") in images.log.lines
    assert "broken by design" in images.quoted()
    assert images.log.depth == 0


def test_an_image_that_ends_fails_at_once_with_its_log(images: Images) -> None:
    script = "for i in $(/bin/busybox seq 80); do echo line $i; done; echo '::error::x'; exit 3"
    image = images.build("/bin/sh", "-c", script)
    failure = images.judge(images.service(path="/"), image, patience=1e9)
    assert failure
    assert "the container exited with 3 before port 3000 answered" in str(failure)
    assert images.quoted() == [*(f"line {each}" for each in range(32, 81)), "::error::x"]


LOST = "NotFound: parent snapshot sha256:0ad11168771b does not exist: not found"
"""What an engine with the containerd store says once others have removed images just then."""


@pytest.mark.parametrize("times", chosen([1, 9]))
@pytest.mark.parametrize("where", [(ContainerCollection, "create"), (Container, "start")])
def test_a_layer_that_the_engine_has_lost_is_unpacked_again(
    classic_images: Images, monkeypatch: pytest.MonkeyPatch, where: tuple[type, str], times: int
) -> None:
    does, left = getattr(*where), itertools.count(times, -1)

    def lose(*arguments: Any, **options: Any) -> Any:
        if next(left) > 0:
            raise APIError("500", explanation=LOST)
        return does(*arguments, **options)

    images, pauses = classic_images, list[float]()
    image = images.build()
    monkeypatch.setattr(*where, lose)
    failure = images.judge(images.service(path="/"), image, sleep=pauses.append)
    assert (failure is None) == (times == 1)
    if failure:
        assert "the image does not start: NotFound: parent snapshot" in str(failure)
        assert failure.problems[0].fix == "Run again."
        assert pauses == [1, 2, 4]


def test_what_was_pulled_is_removed_unless_it_was_there(make: MakeImages) -> None:
    images = make("remote to classic")
    image = images.build()
    name = f"{images.repository}@{image.digest}"

    def there() -> bool:
        found = images.client.images.list(filters={"label": f"only={images.word}"})
        return any(name in each.attrs["RepoDigests"] for each in found)

    assert images.judge(images.service(path="/"), image) is None
    assert not there()
    host = images.repository.host
    given = images.checks().credentials[host].engine_auth(host)
    images.client.images.pull(str(images.repository), str(image.digest), auth_config=given)
    assert images.judge(images.service(path="/"), image) is None
    assert there()


@pytest.mark.parametrize("path", chosen(["/nothing-here", "/cgi-bin/moved", "/a b?ü=%20"]))
def test_any_status_below_500_passes(classic_images: Images, path: str) -> None:
    images = classic_images
    assert images.judge(images.service(path=path), images.build()) is None
    status = {"/cgi-bin/moved": 302}.get(path, 404)
    assert f"answered {status} after" in images.said()


def test_an_image_may_take_its_time(classic_images: Images) -> None:
    images = classic_images
    slow = images.build("/bin/sh", "-c", "sleep 1; exec busybox httpd -f -p 3000 -h /site")
    assert images.judge(images.service(path="/"), slow, patience=1e9) is None


def test_a_port_that_nothing_listens_on(classic_images: Images) -> None:
    images = classic_images
    failure = images.judge(images.service(path="/"), images.build(*SLEEP), patience=1.0)
    assert failure
    assert "nothing listens on port 3000 after 1 s" in str(failure)
    assert "listen on 0.0.0.0" in failure.problems[0].fix
    assert ("say", "The container wrote nothing.") in images.log.lines


def test_a_wrong_port_is_told_from_the_image(classic_images: Images) -> None:
    images = classic_images
    image = images.build(more="EXPOSE 3000 9000")
    failure = images.judge(images.service(port=4000, path="/"), image, patience=0.5)
    assert failure
    assert "nothing listens on port 4000" in str(failure)
    assert failure.problems[0].fix == "The image exposes 3000, 9000: correct the port."


def test_a_server_that_gives_no_answer(classic_images: Images) -> None:
    images = classic_images
    failure = images.judge(images.service(path="/cgi-bin/silent"), images.build(), patience=10.0)
    assert failure
    assert "port 3000, path /cgi-bin/silent gave no answer after 10 s" in str(failure)


def test_a_server_that_speaks_something_else(classic_images: Images) -> None:
    images = classic_images
    script = "while true; do echo '220 mail.example.com ESMTP' | busybox nc -l -p 3000; done"
    image = images.build("/bin/sh", "-c", script)
    failure = images.judge(images.service(path="/"), image, patience=10.0)
    assert failure
    assert "does not speak HTTP" in str(failure)


def test_a_command_that_is_not_in_the_image(classic_images: Images) -> None:
    images = classic_images
    failure = images.judge(images.service(path="/"), images.build("/no-such-program"))
    assert failure
    assert "the image does not start" in str(failure)
    assert "/no-such-program" in str(failure)
    assert "ENTRYPOINT" in failure.problems[0].fix


def test_an_image_of_another_platform(images: Images) -> None:
    garbage = "COPY --chmod=755 <<E /program\nnothing that any machine runs\nE"
    image = images.build("/program", more=garbage, platform="linux/s390x")
    service = images.service(path="/", platforms=("linux/s390x",))
    failure = images.judge(service, image)
    assert failure
    assert "the image is made for linux/s390x, and the engine runs linux/" in str(failure)
    assert "setup-qemu-action" in failure.problems[0].fix


def test_of_several_platforms_the_engines_own_is_run(make: MakeImages) -> None:
    images = make("remote to classic")
    here = images.client.version()
    platforms = ("linux/s390x", f"linux/{here['Arch']}")
    image = images.build(platform=",".join(platforms))
    check = 'docker image inspect --format "{{.Architecture}}" "$IMAGE"'
    assert images.judge(images.service(check, path="/", platforms=platforms), image) is None
    assert images.quoted() == [here["Arch"]]


def test_what_stayed_in_the_cache_is_not_checked(classic_images: Images) -> None:
    images = classic_images
    assert images.judge(images.service("exit 1", path="/"), BuiltImage("")) is None
    [(kind, text)] = images.log.lines
    assert kind == "notice"
    assert "pricing was not checked" in text


def test_without_an_engine_a_smoke_test_fails(classic_images: Images) -> None:
    def nowhere() -> NoReturn:
        raise Failure(Kind.BUILD, "Cannot connect to the Docker daemon.", "Start it.")

    images = classic_images
    image = BuiltImage("", Digest("sha256:" + "0" * 64))
    failure = images.judge(images.service(path="/"), image, client=nowhere)
    assert failure
    cause = "the smoke test of pricing cannot begin: Cannot connect to the Docker daemon."
    assert failure.problems[0].cause == cause
