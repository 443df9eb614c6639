"""The first configuration of a repository, and where it is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.failures import fails
from support.memory import FakeLog
from support.runs import MOMENT, A

from feastflow_registry.commands import init
from feastflow_registry.commands.init import SCHEMA, draft
from feastflow_registry.commands.workspace import LocalWorkspace
from feastflow_registry.config import file, settings
from feastflow_registry.model.errors import Failure, Kind
from feastflow_registry.model.history import Checkout
from feastflow_registry.model.services import Service


def scratch(path: str) -> bytes:
    """A Dockerfile that copies nothing."""
    return b"FROM scratch\n"


def services(text: str) -> list[Service]:
    found = file.read("feastflow.yml", text.encode())
    return list(found.build(settings.parse({}), "feastflow"))


def drafted(*paths: str, repository: str = "feastflow/feastflow") -> dict[str, tuple[str, ...]]:
    """Each service's image, context and dockerfile, as they are read again."""
    return {
        each.name: (each.repository.name, each.context, each.dockerfile)
        for each in services(draft(repository, paths, scratch))
    }


def test_a_single_service_is_the_repository() -> None:
    assert draft("feastflow/Shop", ["Dockerfile", "README.md"], scratch) == (
        f"# yaml-language-server: $schema={SCHEMA}\n"
        "# The services of this repository: look over the names and the contexts, and take out "
        "what is not\n# to be published. The policy of the action (milestone, reuse, branches) can "
        "be said here, too.\nservices:\n  shop:\n    image: shop\n    context: .\n"
    )


@pytest.mark.parametrize("name", ["compose.yaml", "docker-compose.yml", "docker-bake.hcl"])
def test_a_file_that_describes_services_already_is_named(name: str) -> None:
    text = draft("feastflow/shop", ["Dockerfile", name], scratch)
    assert f"\n# services-from: {name}\nservices:\n" in text
    assert "services-from" not in draft("feastflow/shop", ["Dockerfile", f"old/{name}"], scratch)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["app/Dockerfile"], {"feastflow": ("feastflow", "app", "Dockerfile")}),
        (
            ["frontend/app/Dockerfile", "services/pricing/Dockerfile"],
            {
                "frontend": ("feastflow-frontend", "frontend/app", "Dockerfile"),
                "pricing": ("feastflow-pricing", "services/pricing", "Dockerfile"),
            },
        ),
        (
            ["Dockerfile", "Dockerfile.worker", "jobs/mail.Dockerfile", "Dockerfile.dockerignore"],
            {
                "feastflow": ("feastflow", ".", "Dockerfile"),
                "worker": ("feastflow-worker", ".", "Dockerfile.worker"),
                "mail": ("feastflow-mail", "jobs", "mail.Dockerfile"),
            },
        ),
        (
            ["a/web/Dockerfile", "b/web/Dockerfile", "web/Dockerfile"],
            {
                "a-web": ("feastflow-a-web", "a/web", "Dockerfile"),
                "b-web": ("feastflow-b-web", "b/web", "Dockerfile"),
                "web": ("feastflow-web", "web", "Dockerfile"),
            },
        ),
        # open-telemetry/opentelemetry-demo
        (
            ["src/cart/genproto/Dockerfile", "src/checkout/genproto/Dockerfile"],
            {
                "cart-genproto": ("feastflow-cart-genproto", "src/cart/genproto", "Dockerfile"),
                "checkout-genproto": (
                    *("feastflow-checkout-genproto", "src/checkout/genproto"),
                    "Dockerfile",
                ),
            },
        ),
        # docker-library/python
        (
            ["3.13/slim/Dockerfile", "3.13/alpine/Dockerfile", "3.14/slim/Dockerfile"],
            {
                "alpine": ("feastflow-alpine", "3.13/alpine", "Dockerfile"),
                "3-13-slim": ("feastflow-3-13-slim", "3.13/slim", "Dockerfile"),
                "3-14-slim": ("feastflow-3-14-slim", "3.14/slim", "Dockerfile"),
            },
        ),
        (
            [
                "web/app/Dockerfile",
                "web/src/Dockerfile",
                "web/Web!/Dockerfile",
                "web/web/Dockerfile",
            ],
            {
                "web-app": ("feastflow-web-app", "web/app", "Dockerfile"),
                "web-src": ("feastflow-web-src", "web/src", "Dockerfile"),
                "web-web": ("feastflow-web-web", "web/Web!", "Dockerfile"),
                "web-web-2": ("feastflow-web-web-2", "web/web", "Dockerfile"),
            },
        ),
        (
            ["Dockerfile", "feastflow/Dockerfile", "feastflow-2/Dockerfile"],
            {
                "feastflow": ("feastflow", ".", "Dockerfile"),
                "feastflow-3": ("feastflow-feastflow-3", "feastflow", "Dockerfile"),
                "feastflow-2": ("feastflow-feastflow-2", "feastflow-2", "Dockerfile"),
            },
        ),
        (
            [
                *("Dockerfile-minimal", "Containerfile", "a/dockerfile", "a/Containerfile.dev"),
                *("b/web.Containerfile", "b/dockerfile.go", "b/Dockerfiles", "b/Dockerfile-"),
            ],
            {
                "feastflow": ("feastflow", ".", "Containerfile"),
                "minimal": ("feastflow-minimal", ".", "Dockerfile-minimal"),
                "a": ("feastflow-a", "a", "dockerfile"),
                "dev": ("feastflow-dev", "a", "Containerfile.dev"),
                "web": ("feastflow-web", "b", "web.Containerfile"),
            },
        ),
        (
            ["no/Dockerfile", "0012/Dockerfile", 'a "b\\ü/Dockerfile', "x\ny/Dockerfile"],
            {
                "no": ("feastflow-no", "no", "Dockerfile"),
                "0012": ("feastflow-0012", "0012", "Dockerfile"),
                "a-b": ("feastflow-a-b", 'a "b\\ü', "Dockerfile"),
            },
        ),
    ],
)
def test_services_are_named_after_their_folders(
    paths: list[str], expected: dict[str, tuple[str, ...]]
) -> None:
    assert drafted(*paths) == expected


def test_a_repository_without_a_name_of_its_own() -> None:
    assert drafted("Dockerfile", repository="feastflow/___")["image"][0] == "image"


@pytest.mark.parametrize("paths", [[], ["README.md"], ["a/Dockerfile.dockerignore"]])
def test_a_repository_without_a_dockerfile(paths: list[str]) -> None:
    with fails("no Dockerfile among the files that git tracks", "git add"):
        draft("feastflow/shop", paths, scratch)


def laid_out(**files: str) -> str:
    """Draft from files; two underscores in a name are a slash, one is a dot."""
    paths = {key.replace("__", "/").replace("_", "."): text for key, text in files.items()}
    return draft("feastflow/shop", paths, lambda path: paths[path].encode())


def context_of(text: str, dockerfile: str = "src/ad/Dockerfile", *more: str) -> tuple[str, str]:
    """The context and the dockerfile of a Dockerfile among other files, and no word of a guess."""
    paths = [dockerfile, *more, "src/ad/main.go", "src/ad/lib/a.go", "pb/demo.proto"]
    found = draft("feastflow/shop", paths, lambda _: f"FROM scratch\n{text}\n".encode())
    assert found.count("#") == 3
    [service] = services(found)
    return service.context, service.dockerfile


@pytest.mark.parametrize(
    ("text", "context"),
    [
        # open-telemetry/opentelemetry-demo, goharbor/harbor
        ("COPY src/ad/main.go /", "."),
        ("COPY ./src/ad/ ./pb/ /", "."),
        ("COPY main.go /", "src/ad"),
        ("FROM\tx\nCOPY\tsrc/ad/main.go\t/", "."),
        ("COPY\t--chmod=755\tsrc/ad/main.go /", "."),
        ("COPY . .", "src/ad"),
        ("COPY *.go ./lib/?.go /", "src/ad"),
        ("COPY ad/*.go /", "src"),
        ("ADD --chown=1:1 --link /pb/*.proto /", "."),
        ('COPY ["src/ad/main.go", "/a b"]', "."),
        ("RUN --network=none --mount=type=bind,source=pb,target=/pb make", "."),
        ("RUN --mount=type=cache,source=pb,target=/x make", "src/ad"),
        ("RUN --mount=src=pb,target=/pb make", "."),
        ("COPY ../../pb/demo.proto /", "."),
        ("COPY pb \\\n  # why\n\n  src/ad/main.go \\\n  /", "."),
        ("# a note\nRUN <<EOF cat\nCOPY gone /\nEOF\nCOPY pb /", "."),
        ("COPY <<EOF <<'END' main.go /\ngone\nEOF\nCOPY gone /\nEND", "src/ad"),
        ("copy --parents pb/**/x /", "."),
        ("ADD https://example.com/x git@example.com:a.git main.go /", "src/ad"),
        ("FROM x AS Build\nCOPY --from=build gone /\nCOPY --from=0 gone /\nCOPY pb /", "."),
        ("COPY --from=nginx:1 /gone /\nCOPY --from=nginx /gone /", "src/ad"),
        ("COPY [broken\nCOPY\nRUN true\nENV X y", "src/ad"),
    ],
)
def test_the_context_is_where_what_is_copied_is_found(text: str, context: str) -> None:
    assert context_of(text) == (context, str(Path("src/ad/Dockerfile").relative_to(context)))


@pytest.mark.parametrize(
    ("dockerfile", "text", "others", "context"),
    [
        # https://github.com/colophon-group/jobseek/pull/2786
        (
            "apps/murmur-shim/Dockerfile",
            "COPY pnpm-lock.yaml ./\nCOPY packages packages\nCOPY apps/web/src/db/schema.ts apps/",
            ["pnpm-lock.yaml", "pnpm-workspace.yaml", "packages/a", "apps/web/src/db/schema.ts"],
            ".",
        ),
        # https://github.com/slashacom/slasha/pull/32
        (
            "apps/api/Dockerfile",
            "COPY pnpm-lock.yaml pnpm-workspace.yaml ./\nCOPY apps/api/package.json apps/api/",
            ["pnpm-lock.yaml", "pnpm-workspace.yaml", "apps/api/package.json"],
            ".",
        ),
        # https://github.com/docker/build-push-action/issues/537
        (
            "server/Dockerfile",
            "COPY ./package.json ./\nCOPY ./src ./src\nCOPY ./tsconfig.json ./",
            ["package.json", "server/package.json", "server/src/a.ts", "server/tsconfig.json"],
            "server",
        ),
    ],
)
def test_the_contexts_of_others(
    dockerfile: str, text: str, others: list[str], context: str
) -> None:
    files = [dockerfile, *others]
    found = draft("feastflow/shop", files, lambda _: f"FROM node:24\n{text}\n".encode())
    [service] = services(found)
    assert (service.context, service.dockerfile) == (
        context,
        str(Path(dockerfile).relative_to(context)),
    )
    assert found.count("#") == 3, "nothing is guessed"


def test_the_character_that_continues_a_line() -> None:
    text = "# escape=`\nFROM scratch\nCOPY pb `\n src /\n"
    paths = ["a/Dockerfile", "pb/x", "src/y"]
    [service] = services(draft("feastflow/shop", paths, lambda _: text.encode()))
    assert service.context == "."


def test_a_context_beside_the_dockerfile() -> None:
    found = context_of("COPY package.json ./", "docker/Dockerfile", "frontend/package.json")
    assert found == ("frontend", "../docker/Dockerfile")


@pytest.mark.parametrize(
    ("text", "context", "note"),
    [
        (
            "COPY target/app.jar /",
            "a",
            "# A guess, as git does not track all of it: target/app.jar",
        ),
        ("COPY b.txt pb/x dist /", ".", "# A guess, as git does not track all of it: b.txt, dist"),
        ("COPY twice.txt /", "a", "twice.txt"),
        ("COPY 1 2 3 4 5 /", "a", "1, 2, 3 and 2 more"),
        ("COPY ${JAR} pb /", ".", "# Only the build knows where this is: ${JAR}"),
    ],
)
def test_what_is_guessed_is_said(text: str, context: str, note: str) -> None:
    paths = ["a/Dockerfile", "b/twice.txt", "c/twice.txt", "pb/x"]
    found = draft("feastflow/shop", paths, lambda _: f"FROM scratch\n{text}".encode())
    assert note in found
    assert services(found)[0].context == context


def test_a_folder_that_is_named_as_a_stage_is_a_context() -> None:
    found = laid_out(
        shared__x="",
        web__Dockerfile="FROM busybox\nCOPY --from=shared x /\nCOPY --from=common y /\n"
        "RUN --mount=from=deep,target=/x true\nCOPY --from=file z /\nCOPY main /\n",
        web__main="",
        web__deep__x="",
        web__common__x="",
        common__x="",
        file="",
    )
    [service] = services(found)
    assert service.context == "web"
    assert dict(service.contexts) == {
        "shared": "shared",
        "common": "web/common",
        "deep": "web/deep",
    }
    assert "# A folder, if shared is no image: shared" in found


def test_a_stage_is_no_context_though_a_folder_is_called_so() -> None:
    text = b"FROM x AS Build\nFROM x\nCOPY --from=build x /\nCOPY --from=0 x /\n"
    [service] = services(draft("feastflow/shop", ["Dockerfile", "build/x", "0/x"], lambda _: text))
    assert service.contexts == ()


def test_a_number_that_another_has_is_passed_over() -> None:
    found = drafted("Dockerfile", "feastflow/Dockerfile", "x/feastflow-2/Dockerfile")
    assert list(found) == ["feastflow", "feastflow-3", "feastflow-2"]


def test_what_is_left_out_is_said() -> None:
    files = {
        "a/Dockerfile.j2": "FROM {{ base }}\n",
        "b/Dockerfile.erb": "FROM <%= base %>\n",
        "c/Dockerfile.md": "# How to\n",
        "d:e/Dockerfile": "FROM scratch\n",
        "x\ny/Dockerfile": "FROM scratch\n",
        "z/Dockerfile": "FROM scratch\n",
    }
    found = draft("feastflow/shop", files, lambda path: files[path].encode())
    assert [each.name for each in services(found)] == ["z"]
    assert found.splitlines()[-5:] == [
        "# Left out: a/Dockerfile.j2, a template.",
        "# Left out: b/Dockerfile.erb, a template.",
        "# Left out: c/Dockerfile.md, which has no FROM.",
        "# Left out: d:e/Dockerfile, which no configuration can name or read.",
        "# Left out: x y/Dockerfile, which no configuration can name or read.",
    ]


def test_what_is_left_out_is_not_listed_without_end() -> None:
    paths = ["Dockerfile", *(f"{n}:/Dockerfile" for n in range(25))]
    assert draft("feastflow/shop", paths, scratch).endswith("# Left out, too: 5 more.\n")


def test_a_file_that_is_gone_or_leads_out_is_left_out() -> None:
    def read(path: str) -> bytes | None:
        if path == "a/Dockerfile":
            raise Failure(Kind.INPUT, "it leads out.", "Remove it.")
        return None if path == "b/Dockerfile" else b"FROM scratch\n"

    found = draft("feastflow/shop", ["Dockerfile", "a/Dockerfile", "b/Dockerfile"], read)
    assert len(services(found)) == 1
    assert found.count("# Left out: ") == 2


@pytest.mark.no_cover
def test_ten_thousand_folders() -> None:
    paths = [f"{n // 100}/{n}/package.json" for n in range(10_000)]
    paths += ["0/7/Dockerfile", "docker/Dockerfile"]
    text = b"FROM scratch\nCOPY package.json */x /\n"
    assert len(services(draft("feastflow/shop", paths, lambda _: text))) == 2


def test_more_services_than_a_file_may_have() -> None:
    text = b"FROM scratch\nCOPY package.json */x /\n"
    paths = [f"{n // 100}/{n}/app/Dockerfile" for n in range(2_000)]
    with fails("there are 2000 Dockerfiles, more than one feastflow.yml may describe"):
        draft("feastflow/shop", paths, lambda _: text)


FOLDERS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/:"), min_size=1)
FOLDERS |= st.sampled_from(["app", "src", "no", "null", "web", "a b", "1.10", "web-2", "~", "y"])
FOLDERS = FOLDERS.filter(lambda each: each not in (".", "..") and not each.startswith("git@"))
FILES = st.sampled_from(["Dockerfile", "Dockerfile.web", "web.Dockerfile", "Dockerfile.1"])


@given(
    st.text(max_size=9),
    st.sets(st.tuples(st.lists(FOLDERS, max_size=3).map("/".join), FILES), min_size=1, max_size=9),
)
def test_every_dockerfile_is_found_again(repository: str, places: set[tuple[str, str]]) -> None:
    paths = [f"{folder}/{file}".lstrip("/") for folder, file in places]
    found = drafted(*paths, repository=repository)
    assert {(context, dockerfile) for _, context, dockerfile in found.values()} == {
        (folder or ".", file) for folder, file in places
    }
    assert len(found) == len(places)
    assert len({image for image, _, _ in found.values()}) == len(places)


@dataclass(frozen=True)
class Tracked(LocalWorkspace):
    """A working copy with one Dockerfile, and nothing else that git knows."""

    remote: str = ""

    def checkout(self, main: str) -> Checkout:
        default = "trunk" if self.remote else ""
        return Checkout(A, MOMENT, "main", (self.remote,), default_branch=default)

    def tracked(self) -> Iterable[str]:
        return ["Dockerfile"]

    def read(self, path: str, *, most: int) -> bytes | None:
        return scratch(path)


@pytest.mark.parametrize(
    ("remote", "name"), [("git@github.com:feastflow/Shop.git", "shop"), ("", "my-folder")]
)
def test_the_file_is_written_once(tmp_path: Path, remote: str, name: str) -> None:
    folder = tmp_path / "My folder"
    folder.mkdir()
    log = FakeLog()
    init.run(Tracked(folder, {}, remote), log)
    written = (folder / "feastflow.yml").read_text()
    assert written == draft(name, ["Dockerfile"], scratch)
    assert log.lines[0][1].startswith("✅ Wrote feastflow.yml.")
    branch = "trunk" if remote else "main"
    assert f"push from {branch} and from git tags: `branches` names other" in log.lines[1][1]
    with fails("there is a feastflow.yml already", "delete it"):
        init.run(Tracked(folder, {}, remote), log)
    assert (folder / "feastflow.yml").read_text() == written
