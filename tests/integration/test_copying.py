"""Copying between real registries: the same digest, nothing that is there, any bad moment."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support.docker_hub import fails
from support.fault_scenes import KINDS
from support.images_by_hand import FilledRegistry, copy, descriptor
from support.memory import FakeLog
from support.registries import LocalRegistry, shorten
from support.servers.fault_proxy import Fault
from support.servers.images import LAYER
from support.servers.serving import Call, Server
from support.soak import chosen, one_in

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.images import INDEXES
from feastflow_registry.model.references import Digest, Reference, Repository, Tag
from feastflow_registry.model.wording import size
from feastflow_registry.registry.copy import ImageCopier

FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
LAYERS = r"blobs/uploads/[0-9a-f-]{36}"


@pytest.fixture
def here(places: Callable[..., LocalRegistry]) -> FilledRegistry:
    """Where the images are."""
    return FilledRegistry(places("htpasswd"))


@pytest.fixture
def there(places: Callable[..., LocalRegistry]) -> FilledRegistry:
    """Another registry, which wants tokens."""
    return FilledRegistry(places("token"))


def seen(depot: FilledRegistry, before: int = 0) -> list[str]:
    """What the registry was asked, sorted: copies go side by side."""
    found = [shorten(each) for each in depot.place.proxy.requests[before:]]
    found = [re.sub(r"\?.*(?= )", "", each) for each in found]
    return sorted(re.sub(r"^(\w+) .*/(blobs|manifests)/(\S+)", r"\1 \2/\3", each) for each in found)


def check_whole(depot: FilledRegistry, goal: Repository, digest: Digest) -> None:
    """Crane reads all of it by the same digest, and finds what each digest says."""
    with TemporaryDirectory() as folder:
        name = depot.place.at(str(digest), goal.path)
        depot.place.crane("pull", "--format=oci", name, folder)
        for file in Path(folder, "blobs").glob("*/*"):
            assert hashlib.new(file.parent.name, file.read_bytes()).hexdigest() == file.name
        assert Path(folder, "blobs", *digest.value.split(":")).exists()


class TestWays:
    def test_to_another_registry_goes_an_index_with_all_that_it_lists(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        digest, goal = here.put_platforms(), there.fresh()
        before = len(here.blobs())
        went = copy(here, digest, there, goal)
        assert there.blobs() == here.blobs()
        assert len(here.blobs()) == before
        assert went == there.place.proxy.uploaded(LAYERS) > 300_000
        check_whole(there, goal, digest)
        requests = seen(there)
        counts = {"HEAD": 5 + 9 + 1, "POST": 9, "PUT": 9 + 5}  # One HEAD for the token.
        assert {each: sum(one.startswith(each) for one in requests) for each in counts} == counts
        assert len(requests) == sum(counts.values())
        assert len(here.place.proxy.requests) == 1 + 5 + 9
        assert there.place.tags(goal.path) == {}, "it has no name yet"
        there.client(goal).set_tag(Reference(goal, Tag("live")), digest)
        assert there.place.digest("live", goal.path) == str(digest)

    def test_again_it_costs_one_look_a_manifest(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        digest, goal = here.put_platforms(), there.fresh()
        copy(here, digest, there, goal)
        before = len(there.place.proxy.requests)
        assert copy(here, digest, there, goal) == 0
        looks = ["HEAD manifests/sha256:… 200"] * 5 + ["HEAD manifests/sha256:… 401"]
        assert seen(there, before) == looks

    def test_within_a_registry_no_layer_travels(self, there: FilledRegistry) -> None:
        digest, goal = there.put_platforms(), there.fresh()
        assert copy(there, digest, there, goal) == 0
        assert there.place.tokens
        assert len(there.place.tokens.issued) == 1
        check_whole(there, goal, digest)
        assert there.place.proxy.uploaded("blobs/") == 0
        asked = seen(there)
        assert asked.count("POST blobs/uploads/ 201") == 9
        assert [each for each in asked if each.startswith(("GET blobs", "PUT blobs"))] == []
        assert len(asked) == 1 + 5 + 5 + 9 + 9 + 5

    def test_within_a_repository_there_is_nothing_to_do(self, here: FilledRegistry) -> None:
        digest = here.put(here.layer())
        assert copy(here, digest, here, here.repository()) == 0
        assert here.place.proxy.requests == ()

    def test_a_layer_that_could_not_be_mounted_goes_into_the_upload_begun(
        self, here: FilledRegistry
    ) -> None:
        digest, goal = here.put(here.layer()), here.fresh()
        headers = {"Location": here.begin_upload(goal.path)}
        fault = Fault("status", path="mount=", status=202, headers=headers)
        here.place.proxy.add(fault)
        assert copy(here, digest, here, goal) > 0
        check_whole(here, goal, digest)
        assert sum(each.startswith("POST") for each in seen(here)) == 2

    @pytest.mark.parametrize("status", [403, 404, 405])
    def test_a_registry_that_does_not_mount_is_sent_the_layer(
        self, here: FilledRegistry, status: int
    ) -> None:
        layer = here.layer()
        digest, goal = here.put(layer), here.fresh()
        here.place.proxy.add(Fault("status", path="mount=", times=None, status=status))
        assert copy(here, digest, here, goal) > layer["size"]
        check_whole(here, goal, digest)

    def test_layers_that_are_there_are_left_out(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        shared, goal = here.layer(), there.fresh()
        copy(here, here.put(shared), there, goal)
        new = here.layer(5_000)
        digest = here.put(shared, new)
        assert 5_000 < copy(here, digest, there, goal) < 6_000
        check_whole(there, goal, digest)

    def test_a_layer_that_is_in_storage_is_there(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        """Some registries answer the HEAD of a blob with a redirect, too."""
        layer = here.layer()
        digest, goal = here.put(layer), there.fresh()
        copy(here, here.put(layer), there, goal)
        headers = {"Location": "https://storage.example.com/signed"}
        there.place.proxy.add(
            Fault("status", method="HEAD", path=layer["digest"], status=307, headers=headers)
        )
        assert copy(here, digest, there, goal) < layer["size"]
        check_whole(there, goal, digest)

    def test_a_platform_that_is_missing_under_an_index_is_made_good(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        digest, goal = here.put_platforms(), there.fresh()
        copy(here, digest, there, goal)
        child = there.client(goal).manifest(goal, digest).children[1].digest
        folder = there.place.registry.storage / "docker/registry/v2/repositories" / goal.path
        (folder / "_manifests/revisions/sha256" / child.value[7:] / "link").unlink()
        assert copy(here, digest, there, goal) == 0
        check_whole(there, goal, digest)

    def test_what_was_written_is_read_back_from_the_target(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        digest, goal = here.put(here.layer()), there.fresh()
        ways = here.client(here.repository()), there.client(goal)
        log = FakeLog()
        sent = ImageCopier(*ways, log.working).copy(here.repository(), digest, goal)
        assert log.awaited[0] == f"copying to {goal}"
        assert log.awaited[-1] == f"copying to {goal}: {size(sent)} sent"
        before = len(there.place.proxy.requests)
        ways[1].inspect(goal, digest)
        assert seen(there, before) == ["GET blobs/sha256:… 200", "GET manifests/sha256:… 200"]

    def test_four_layers_travel_at_once(self, here: FilledRegistry, there: FilledRegistry) -> None:
        digest, goal = here.put(*(here.layer() for _ in range(8))), there.fresh()
        held = there.place.proxy.add(Fault("hold", method="PUT", path=LAYERS, times=None))
        thread = threading.Thread(target=copy, args=(here, digest, there, goal))
        thread.start()
        while held.fired < 4:
            assert thread.is_alive()
        thread.join(0.3)
        assert held.fired == 4
        held.release()
        thread.join(300)
        check_whole(there, goal, digest)


class TestKinds:
    def test_an_index_of_indexes_goes_as_it_is(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        image = here.put(here.layer())
        nested = {"mediaType": INDEXES[0]}
        inner = here.put_index((image, {}))
        digest, goal = here.put_index((inner, nested), (image, {})), there.fresh()
        copy(here, digest, there, goal)
        assert there.blobs() == here.blobs()
        check_whole(there, goal, digest)

    def test_indexes_without_end_are_refused(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        digest = here.put_index((here.put(here.layer()), {}))
        for _ in range(4):
            digest = here.put_index((digest, {"mediaType": INDEXES[0]}))
        with fails(Kind.UNVERIFIED, "lists manifests without end"):
            copy(here, digest, there, there.fresh())
        assert there.blobs() == set()

    def test_an_index_that_is_listed_as_an_image_is_refused(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        digest = here.put_index((here.put_index((here.put(here.layer()), {})), {}))
        with fails(Kind.UNVERIFIED, "lists an index as an image"):
            copy(here, digest, there, there.fresh())
        assert there.blobs() == set()

    def test_layers_of_any_type_and_size_pass_as_they_are(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        zstd = here.layer(kind="application/vnd.oci.image.layer.v1.tar+zstd")
        strange, empty = here.layer(kind="application/x-strange"), here.layer(size=0)
        digest, goal = here.put(zstd, strange, empty, zstd), there.fresh()
        went = copy(here, digest, there, goal)
        assert 200_000 < went < 201_000
        url = there.place.at(str(digest), goal.path)
        assert there.place.crane("manifest", url) == here.place.crane(
            "manifest", here.place.at(str(digest), "team/app")
        )
        assert there.blobs() == here.blobs()

    def test_a_sha512_layer_is_hashed_as_such(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        layer = here.layer(hashing="sha512")
        digest, goal = here.put(layer), there.fresh()
        assert copy(here, digest, there, goal) > layer["size"]
        assert there.blobs() == here.blobs()

    def test_what_may_not_be_distributed_stays_where_it_is(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        """A base image of Windows, say, whose layers are fetched from their maker."""
        foreign = descriptor(FOREIGN, b"not here", urls=["https://example.com/layer"])
        digest, goal = here.put(here.layer(), foreign), there.fresh()
        copy(here, digest, there, goal)
        assert there.blobs() == here.blobs()
        assert foreign["digest"] not in there.blobs()


class TestBadMoments:
    @pytest.mark.parametrize("side", chosen(["here", "there"]))
    @pytest.mark.parametrize("kind", one_in(4, KINDS))
    def test_one_at_any_request_is_survived(
        self, here: FilledRegistry, there: FilledRegistry, kind: str, side: str
    ) -> None:
        image = here.put(here.layer(300_000))
        digest = here.put_index((image, {}))
        proxy = (here if side == "here" else there).place.proxy
        for nth in range(1, 40):
            fault = proxy.add(Fault(nth=nth, **KINDS[kind]))
            goal = there.fresh()
            patience = 0.5 if kind == "stall" else 300.0
            copy(here, digest, there, goal, timeout=patience)
            proxy.clear()
            if not fault.fired:
                break
            check_whole(there, goal, digest)
        assert nth == (6 if side == "here" else 12)

    def test_a_token_that_expires_at_any_request_is_renewed(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        digest = here.put(here.layer())
        realm = f"{there.place.realm.url}/token"
        headers = {"WWW-Authenticate": f'Bearer realm="{realm}",service="test-registry"'}
        for nth in range(3, 40):
            fault = there.place.proxy.add(Fault("status", status=401, headers=headers, nth=nth))
            goal = there.fresh()
            copy(here, digest, there, goal)
            there.place.proxy.clear()
            if not fault.fired:
                break
            check_whole(there, goal, digest)
        assert nth == 10

    def test_a_wait_that_is_asked_for_in_mid_copy_is_kept(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        digest, goal = here.put(here.layer()), there.fresh()
        slept: list[float] = []
        headers = {"Retry-After": "7"}
        there.place.proxy.add(
            Fault("status", status=429, headers=headers, method="PUT", path=LAYERS)
        )
        copy(here, digest, there, goal, slept=slept)
        assert slept == [7]

    @pytest.mark.parametrize("side", ["here", "there"])
    def test_a_side_that_is_down_is_named(
        self, here: FilledRegistry, there: FilledRegistry, side: str
    ) -> None:
        digest, goal = here.put(here.layer()), there.fresh()
        depot, path = (here, "blobs/") if side == "here" else (there, LAYERS)
        depot.place.proxy.add(Fault("status", path=path, times=None))
        with fails(Kind.UNREACHABLE, depot.place.host, "answered 503, 6 times"):
            copy(here, digest, there, goal)

    def test_a_lost_answer_does_not_send_the_layer_again(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        digest, goal = here.put(here.layer()), there.fresh()
        there.place.proxy.add(Fault("reset_after", method="PUT", path=LAYERS))
        copy(here, digest, there, goal)
        assert sum(each.startswith("PUT blobs") for each in seen(there)) == 2  # Layer and config.
        check_whole(there, goal, digest)

    def test_after_a_kill_the_rest_is_copied(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        layers = [here.layer(200_000) for _ in range(3)]
        digest, goal = here.put(*layers), there.fresh()
        held = there.place.proxy.add(Fault("hold", method="PUT", path=LAYERS, nth=3))
        child = start_copy(here, digest, there, goal, at_once=1)
        assert held.arrived.wait(300)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        there.place.proxy.clear()
        assert there.client(goal).resolve(Reference(goal, digest)) is None
        assert copy(here, digest, there, goal) in (200_000, 400_000)
        check_whole(there, goal, digest)


class Elsewhere(Server):
    """Another host, which serves one blob."""

    data = b""

    def respond(self, call: Call) -> None:
        for _ in call.body:
            pass
        call.answer(200, self.data)


class TestTrust:
    def test_a_layer_in_storage_is_fetched_without_the_credential(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        layer = here.layer()
        digest, goal = here.put(layer), there.fresh()
        folder = here.place.registry.storage / "docker/registry/v2/blobs/sha256"
        hashed = layer["digest"].partition(":")[2]
        with Elsewhere() as storage:
            storage.data = (folder / hashed[:2] / hashed / "data").read_bytes()
            headers = {"Location": f"{storage.url}/signed?key=1"}
            here.place.proxy.add(
                Fault("status", path=f"GET|blobs/{layer['digest']}", status=307, headers=headers)
            )
            copy(here, digest, there, goal)
            assert [(each.method, each.auth) for each in storage.requests] == [("GET", "")]
        check_whole(there, goal, digest)

    @pytest.mark.parametrize("address", ["{url}/v2/upload/1", "//127.0.0.1:1/upload", ""])
    def test_an_upload_elsewhere_gets_nothing(
        self, here: FilledRegistry, there: FilledRegistry, address: str
    ) -> None:
        digest, goal = here.put(here.layer()), there.fresh()
        with Elsewhere() as elsewhere:
            headers = {"Location": address.format(url=elsewhere.url)}
            fault = Fault("status", method="POST", status=202, headers=headers, times=None)
            there.place.proxy.add(fault)
            with fails(Kind.UNREACHABLE, "another address", "credential"):
                copy(here, digest, there, goal)
            assert elsewhere.requests == ()

    @pytest.mark.parametrize("damage", ["corrupt", "longer", "shorter"])
    def test_bytes_that_do_not_hash_arrive_nowhere(
        self, here: FilledRegistry, there: FilledRegistry, damage: str
    ) -> None:
        layer = here.layer()
        digest, goal = here.put(layer), there.fresh()
        blob: dict[str, Any] = {"method": "GET", "path": f"blobs/{layer['digest']}", "times": None}
        body = {"longer": b"x" * 100_001, "shorter": b"x" * 99_999}.get(damage)
        kind: Any = "status" if body else damage
        here.place.proxy.add(Fault(kind, status=200, body=body, **blob))
        with fails(Kind.UNVERIFIED, "does not match that digest", "team/app@"):
            copy(here, digest, there, goal)
        assert layer["digest"] not in there.blobs()
        assert there.client(goal).resolve(Reference(goal, digest)) is None

    def test_a_target_that_refuses_says_why(
        self, here: FilledRegistry, places: Any, tmp_path: Path
    ) -> None:
        there = FilledRegistry(places("token", reader=True))
        digest, goal = here.put(here.layer()), there.fresh()
        with fails(Kind.REFUSED, "denied the upload of a layer", goal.path, "read and write"):
            copy(here, digest, there, goal)

    def test_a_layer_that_is_gone_at_the_source(
        self, here: FilledRegistry, there: FilledRegistry
    ) -> None:
        layer = here.layer()
        digest, goal = here.put(layer), there.fresh()
        here.place.proxy.add(Fault("status", path=f"blobs/{layer['digest']}", status=404))
        with fails(Kind.UNVERIFIED, "is not on the registry"):
            copy(here, digest, there, goal)


def test_a_large_layer_passes_through_little_memory(
    here: FilledRegistry, there: FilledRegistry
) -> None:
    block, count = here.random.randbytes(1_000_000), 200
    hashed = hashlib.sha256()
    for _ in range(count):
        hashed.update(block)
    size = count * len(block)
    name = f"sha256:{hashed.hexdigest()}"
    here.put_blob((block for _ in range(count)), name)
    digest = here.put({"mediaType": LAYER, "digest": name, "size": size})
    child = start_copy(here, digest, there, there.fresh(), at_once=8)
    said, _ = child.communicate(timeout=600)
    went, grown = map(int, said.split())
    assert went > size
    assert grown < 20_000, f"{grown} kB more for a layer of {size} bytes"


CHILD = """
import random, re, sys, time
from pathlib import Path
from feastflow_registry.registry.auth import Authenticator
from feastflow_registry.model.wording import size
from feastflow_registry.registry.copy import ImageCopier
from feastflow_registry.model.credentials import Credential
from feastflow_registry.transport.http import Client
from feastflow_registry.model import parallel
from feastflow_registry.model.references import Digest, RegistryHost, Repository
from feastflow_registry.registry.client import RegistryClient

def client(host, path, token):
    http = Client(clock=time.monotonic, wall=time.time, sleep=time.sleep, jitter=random.random)
    repository = Repository(RegistryHost.parse(host), path)
    auth = Authenticator(http, repository.host, Credential("feastflow", token), [repository], True)
    return RegistryClient(http, auth), repository

def peak():  # In kB, and this program's own: ru_maxrss takes over that of who started it.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

source, target, digest = sys.argv[1:4], sys.argv[4:7], sys.argv[7]
parallel.AT_ONCE = int(sys.argv[8])
(source, origin), (target, goal) = client(*source), client(*target)
source.manifest(origin, Digest(digest))
copier = ImageCopier(source, target)
before = peak()
went = copier.copy(origin, Digest(digest), goal)
print(went, peak() - before)
"""


def start_copy(
    here: FilledRegistry, digest: Digest, there: FilledRegistry, goal: Repository, *, at_once: int
) -> subprocess.Popen[str]:
    """Copy in a process of its own."""
    source = [here.place.host, here.repository().path, here.place.token]
    target = [there.place.host, goal.path, there.place.token]
    arguments = [*source, *target, str(digest), str(at_once)]
    command = [sys.executable, "-c", CHILD, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
