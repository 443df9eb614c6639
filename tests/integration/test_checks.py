"""A check is a command beside the image: what it sees, how it ends, and what it cannot leave."""

from __future__ import annotations

import io
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from support.memory import FakeLog
from support.registries import USER, LocalRegistry
from support.servers.faults import Fault
from support.soak import chosen
from support.token_search import forms, in_text
from support.web_images import WAYS, Images, MakeImages, make_images

from feastflow_registry.model.credentials import Credential
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.ports import BuiltImage
from feastflow_registry.model.references import Digest
from feastflow_registry.report.runner import RunnerLog
from integration.conftest import Builder
from integration.test_shell import wait_until_gone


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
def engineless(make: MakeImages) -> Images:
    """Images that no engine holds, for checks that ask for none."""
    images = make("classic")

    def nowhere() -> NoReturn:
        raise Failure(Kind.BUILD, "Cannot connect to the Docker daemon.", "Start it.")

    images.nowhere = nowhere
    return images


IMAGE = BuiltImage("", Digest("sha256:" + "0" * 64))


def run(images: Images, command: str, **changes: object) -> Failure | None:
    """Run a check where there is no engine: nothing but the command matters."""
    return images.judge(images.service(command), IMAGE, client=images.nowhere, **changes)


def test_a_check_reaches_the_image_without_a_credential(images: Images) -> None:
    image = images.build()
    check = (
        'echo "image $IMAGE of $SERVICE"; docker image inspect --format "{{.Id}}" "$IMAGE"\n'
        'docker run --rm --entrypoint /bin/busybox "$IMAGE" echo from inside'
    )
    assert images.judge(images.service(check), image) is None
    first, image_id, said = images.quoted()
    name = f"{images.repository}@{image.digest}" if images.by_digest else str(images.reference)
    assert first == f"image {name} of pricing"
    assert said == "from inside"
    assert image_id.startswith("sha256:")
    assert images.by_digest or image_id == image.image_id
    assert ("group", "Checking pricing") in images.log.lines


def test_a_check_comes_after_the_smoke_test(images: Images) -> None:
    image = images.build("/bin/busybox", "sleep", "100")
    assert images.judge(images.service("echo checked", path="/"), image, patience=0.5)
    assert "checked" not in images.quoted()


def test_a_check_judges_the_very_image(make: MakeImages) -> None:
    images = make("classic")
    ours, other = images.build(), images.build("/bin/busybox", "true")
    assert ours.image_id != other.image_id
    check = 'docker image inspect --format "{{.Id}}" "$IMAGE"'
    assert images.judge(images.service(check), ours) is None
    assert images.quoted() == [ours.image_id]


def test_an_image_that_is_gone(make: MakeImages) -> None:
    images = make("classic")
    failure = images.judge(images.service("true", path="/"), BuiltImage("sha256:" + "0" * 64))
    assert failure
    assert "is no longer in the engine" in str(failure)


def test_a_check_alone_needs_no_engine(engineless: Images) -> None:
    assert run(engineless, 'echo "$IMAGE"') is None
    assert engineless.quoted() == [f"{engineless.repository}@{IMAGE.digest}"]
    assert "the check of pricing finds no copy here" in engineless.said()


def test_no_child_sees_the_token(
    make: MakeImages, place: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make("remote to classic")
    monkeypatch.setenv("FEASTFLOW_TOKEN", place.token)
    check = "env; tr '\\0' '\\n' < /proc/self/environ"
    assert images.judge(images.service(check), images.build()) is None
    seen = "\n".join(images.quoted())
    assert f"DOCKER_HOST={images.host}" in seen, "it did look"
    assert in_text(seen.encode(), forms(place.token, USER)) == []
    names = set(re.findall(r"^(\w+)=", seen, re.MULTILINE)) - {"_", "OLDPWD", "PWD", "SHLVL"}
    assert names == {*images.environ, "IMAGE", "SERVICE"}


@pytest.mark.parametrize("times", chosen([1, 4]))
def test_a_pull_survives_a_bad_moment(make: MakeImages, place: LocalRegistry, times: int) -> None:
    images = make("remote to classic")
    image = images.build()
    slept: list[float] = []
    place.proxy.add(
        Fault("status", status=503, method="GET", path=f"manifests/{image.digest}", times=times)
    )
    failure = images.judge(images.service(path="/"), image, sleep=slept.append, patience=30.0)
    if times == 1:
        assert failure is None
        assert slept[0] == 1.0
    else:
        assert failure
        assert failure.kind is Kind.UNREACHABLE


def test_a_pull_that_is_denied_is_not_tried_again(make: MakeImages, place: LocalRegistry) -> None:
    images = make("remote to classic")
    image = images.build()
    slept: list[float] = []
    wrong = Credential(USER, "dckr_pat_of_somebody_else")
    wrong_login = {images.repository.host: wrong}
    service = images.service(path="/")
    failure = images.judge(service, image, sleep=slept.append, credentials=wrong_login)
    assert failure
    assert failure.kind is Kind.REFUSED
    assert slept == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 3", 3),
        ("false\necho on", 1),
        ("false | tee /dev/null", 1),
        ("kill -9 $$", 137),
    ],
)
def test_a_check_fails_with_its_own_code(engineless: Images, command: str, code: int) -> None:
    failure = run(engineless, command)
    assert failure
    assert failure.kind is Kind.BUILD
    assert failure.problems[0].cause == f"the check of pricing exited with {code}."
    assert "on" not in engineless.quoted()


def test_a_program_that_is_missing(engineless: Images) -> None:
    failure = run(engineless, "no-such-scanner $IMAGE")
    assert failure
    assert "exited with 127: a program was not found" in str(failure)
    assert failure.problems[0].fix == "Install it in a step before this one."


def test_without_bash_there_is_sh(engineless: Images, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    sh = shutil.which("dash") or shutil.which("sh")
    assert sh
    (folder / "sh").symlink_to(sh)
    found = run(
        engineless, 'echo "${BASH_VERSION:-none}"\nfalse\necho on', environ={"PATH": str(folder)}
    )
    assert found
    assert engineless.quoted() == ["none"]


def test_a_forged_command_is_quoted(engineless: Images) -> None:
    stream = io.StringIO()
    log = RunnerLog(stream, lambda: "a-random-word", str)
    command = "echo '::error::forged'; printf '\\r::add-mask::x\\nbye'; exit 1"
    assert run(engineless, command, log=log)
    lines = stream.getvalue().splitlines()
    stopped = lines.index("::stop-commands::a-random-word")
    resumed = lines.index("::a-random-word::")
    assert stopped < lines.index("::error::forged") < resumed
    assert stopped < lines.index(" ::add-mask::x") < lines.index("bye") < resumed
    assert lines[resumed + 1] == "::endgroup::"


def test_output_comes_as_it_is_written(engineless: Images) -> None:
    seen = engineless.folder / "seen"

    class Answering(FakeLog):
        def quote(self, line: str) -> None:
            super().quote(line)
            seen.touch()

    log = Answering()
    command = f"echo early; until [ -e '{seen}' ]; do sleep 0.1; done; echo late >&2"
    assert run(engineless, command, log=log) is None
    assert [line for kind, line in log.lines if kind == "quote"] == ["early", "late"]


def test_any_bytes_are_taken(engineless: Images) -> None:
    command = "printf 'a\\377b\\n'; head -c 200000 /dev/zero | tr '\\0' x; printf '\\nend'"
    assert run(engineless, command) is None
    first, *middle, last = engineless.quoted()
    assert (first, last) == ("a�b", "end")
    assert sum(map(len, middle)) == 200_000


def test_it_runs_in_the_workspace(engineless: Images) -> None:
    assert run(engineless, "pwd") is None
    assert engineless.quoted() == [str(engineless.folder)]


def test_a_check_that_does_not_end(engineless: Images) -> None:
    failure = run(engineless, "echo $$; sleep 987", limit=6.0)
    assert failure
    assert "did not end within 6.0 s, and was stopped" in str(failure)
    wait_until_gone(int(engineless.quoted()[0]))


def test_a_check_that_will_not_be_ended(engineless: Images) -> None:
    failure = run(engineless, "trap 'echo no' TERM; echo $$; sleep 987; sleep 988", limit=6.0)
    assert failure
    assert "did not end" in str(failure)
    wait_until_gone(int(engineless.quoted()[0]))


def test_what_it_leaves_in_the_background_is_ended(engineless: Images) -> None:
    assert run(engineless, "echo $$; sleep 987 & (trap '' TERM; sleep 988) & exit 0") is None
    wait_until_gone(int(engineless.quoted()[0]))


@pytest.mark.parametrize("path", ["", "/"])
def test_an_end_from_another_thread_is_soon_and_leaves_nothing(make: MakeImages, path: str) -> None:
    images = make("classic")
    silent = ["/bin/busybox", "sleep", "987"]
    image = images.build(*silent)
    checks = images.checks(patience=987.0)
    service = images.service("" if path else "echo $$; sleep 987", path=path)
    found: list[Failure] = []

    def judge() -> None:
        try:
            checks.check(service, image, images.reference)
        except Failure as failure:
            found.append(failure)

    thread = threading.Thread(target=judge)
    thread.start()
    while not (images.containers() if path else images.quoted()):
        assert thread.is_alive()
        time.sleep(0.05)
    checks.end()
    thread.join(300)
    assert not thread.is_alive()
    assert len(found) == 1
    assert images.containers() == []
    if not path:
        wait_until_gone(int(images.quoted()[0]))
