"""Docker Hub's API as a run uses it: listings, facts, deletions, refusals and bad moments."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest
import requests
from support.docker_hub import APP, USER, Hub, fails, hub_fixture, registry_fixture, tags
from support.servers.fault_proxy import Fault

from feastflow_registry.model.errors import Kind
from feastflow_registry.model.images import Deleted, Platform, Verdict
from feastflow_registry.model.references import RegistryHost, Repository

__all__ = ["hub_fixture", "registry_fixture"]

ONE, TWO, NONE = tags("one", "two", "none")
ELSEWHERE = Repository(RegistryHost.parse("docker.io"), "feastflow/none")


class TestTags:
    def test_what_is_listed(self, hub: Hub) -> None:
        before = datetime.now(UTC).timestamp()
        digest = hub.fill("one", "two")
        one, two = hub.client().tags(APP)
        assert (one.name, two.name) == (ONE, TWO)
        assert one.digest == two.digest == digest
        assert (one.size, one.platforms) == (len(b"a layer"), (Platform("linux", "amd64"),))
        assert one.pushed
        assert abs(one.pushed.timestamp() - before) < 60

    def test_of_a_repository_that_is_not_there(self, hub: Hub) -> None:
        assert list(hub.client().tags(ELSEWHERE)) == []

    def test_public_ones_need_no_credential(self, hub: Hub) -> None:
        hub.fill("one")
        assert [each.name for each in hub.client(anonymous=True).tags(APP)] == [ONE]
        assert {each.auth for each in hub.proxy.requests} == {""}

    def test_private_ones_are_not_there_for_others(self, hub: Hub) -> None:
        hub.fill("one")
        hub.server.private.add(APP.path)
        assert list(hub.client(anonymous=True).tags(APP)) == []
        assert len(list(hub.client().tags(APP))) == 1
        with fails(Kind.REFUSED, "insufficient scope", "read scope"):
            list(hub.client(scope="repo:public_read").tags(APP))

    def test_a_token_that_expires_on_the_way_is_renewed(self, hub: Hub) -> None:
        hub.fill(*(f"t{number}" for number in range(250)))
        listing = hub.client().tags(APP)
        found = [next(listing).name]
        hub.server.expire()
        found += [each.name for each in listing]
        assert len(set(found)) == 250
        assert hub.server.logins == [USER, USER]
        assert [each.status for each in hub.proxy.requests] == [200, 200, 401, 200, 200, 200]

    def test_a_token_that_is_never_good_is_refused(self, hub: Hub) -> None:
        hub.proxy.add(Fault("status", status=401, path="/tags", times=None))
        with fails(Kind.REFUSED, "user name and token", "expired nor revoked"):
            list(hub.client().tags(APP))
        assert len(hub.proxy.requests) == 4

    def test_a_page_that_is_gone_meanwhile_ends_it(self, hub: Hub) -> None:
        hub.fill(*(f"t{number}" for number in range(101)))
        listing = hub.client().tags(APP)
        next(listing)
        shutil.rmtree(hub.server.shapes.folder(APP.path, "t0"))
        assert len(list(listing)) == 99
        assert hub.proxy.requests[-1].status == 404


class TestAbout:
    def test_a_repository(self, hub: Hub) -> None:
        hub.fill("one")
        found = hub.client().about(APP)
        assert found
        assert not found.private
        assert found.rights == {"read", "write", "admin"}
        assert found.immutable.judge("latest") == (Verdict.NO, "")
        hub.server.private.add(APP.path)
        hub.server.immutable[APP.path] = ["^latest$"]
        found = hub.client().about(APP)
        assert found
        assert found.private
        assert found.immutable.judge("latest") == (Verdict.YES, "^latest$")

    def test_one_that_is_not_there_or_not_ours(self, hub: Hub) -> None:
        hub.fill("one")
        hub.server.private.add(APP.path)
        assert hub.client().about(ELSEWHERE) is None
        assert hub.client(anonymous=True).about(APP) is None

    def test_whether_a_tag_exists(self, hub: Hub) -> None:
        hub.fill("one")
        client = hub.client()
        assert [client.exists(APP, each) for each in (ONE, NONE)] == [True, False]
        assert {each.method for each in hub.proxy.requests} == {"POST", "HEAD"}

    def test_a_wrong_password(self, hub: Hub) -> None:
        client = hub.client()
        hub.server.accounts.clear()
        with fails(Kind.REFUSED, "user name and token"):
            client.about(APP)
        assert len(hub.proxy.requests) == 1


class TestDelete:
    def test_takes_the_tag_alone(self, hub: Hub) -> None:
        digest = hub.fill("one", "two")
        client = hub.client()
        assert client.delete_tag(APP, ONE) is Deleted.DONE
        assert hub.left() == {"two"}
        url = f"{hub.registry.url}/v2/{APP.path}"
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        for target, status in (("one", 404), ("two", 200), (str(digest), 200)):
            assert (
                requests.get(f"{url}/manifests/{target}", headers=accept, timeout=9).status_code
                == status
            )
        assert client.delete_tag(APP, ONE) is Deleted.GONE
        assert hub.sent == ["POST token 200", "DELETE one 204", "DELETE one 404"]

    def test_a_token_without_the_scope(self, hub: Hub) -> None:
        hub.fill("one")
        with fails(Kind.REFUSED, "insufficient scope", "Read, Write & Delete", "feastflow/app:one"):
            hub.client(scope="repo:write").delete_tag(APP, ONE)
        with fails(Kind.REFUSED, "answers only with credentials"):
            hub.client(anonymous=True).delete_tag(APP, ONE)
        assert hub.left() == {"one"}

    def test_the_right_is_proven_without_deleting(self, hub: Hub) -> None:
        hub.fill("one")
        hub.client().check_delete(APP, NONE)
        with fails(Kind.REFUSED, "insufficient scope"):
            hub.client(scope="repo:write").check_delete(APP, NONE)
        with fails(Kind.CONFLICT, "feastflow/app:one exists"):
            hub.client().check_delete(APP, ONE)
        assert hub.left() == {"one"}

    @pytest.mark.parametrize("status", [400, 403, 409, 422])
    @pytest.mark.parametrize("rule", ["^one$", "(?i)ONE"])
    def test_an_immutable_tag(self, hub: Hub, status: int, rule: str) -> None:
        hub.fill("one", "two")
        hub.server.immutable[APP.path] = ["v.*", rule]
        hub.server.immutable_status = status
        client = hub.client()
        with fails(Kind.CONFLICT, "immutable", f"{rule!r}", "settings on Docker Hub"):
            client.delete_tag(APP, ONE)
        assert client.delete_tag(APP, TWO) is Deleted.DONE
        assert hub.left() == {"one"}

    def test_an_immutable_tag_is_known_without_words(self, hub: Hub) -> None:
        hub.fill("one")
        hub.server.immutable[APP.path] = ["one"]
        hub.proxy.add(Fault("status", status=403, method="DELETE", body=b"{}"))
        with fails(Kind.CONFLICT, "immutable", "'one'"):
            hub.client().delete_tag(APP, ONE)

    def test_an_answer_that_nobody_expects(self, hub: Hub) -> None:
        body = b'{"detail": "\\u001b[31mno\\nway"}'
        hub.proxy.add(Fault("status", status=418, method="DELETE", body=body))
        with fails(Kind.UNREACHABLE, "418", '(" [31mno way")'):
            hub.client().delete_tag(APP, ONE)
