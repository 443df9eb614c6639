from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.failures import fails

from feastflow_registry.config import grammar
from feastflow_registry.config.platforms import parse_platform
from feastflow_registry.model import tag_names
from feastflow_registry.model.errors import Failure
from feastflow_registry.model.plan import Latest
from feastflow_registry.model.references import Tag
from feastflow_registry.model.services import Secret, SmokeTest

Parse = Callable[[str], object]


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (grammar.choice(Latest), "force", Latest.FORCE),
        (grammar.flag, "true", True),
        (grammar.flag, "FALSE", False),
        (grammar.split_items, " a, b\n\n c ,,", ("a", "b", "c")),
        (grammar.list_of(grammar.flag), "true,false", (True, False)),
        (grammar.branches, "main, release/**", ("main", "release/**")),
        (grammar.patterns, "v*,!v0*", ("v*", "!v0*")),
        (grammar.patterns, "", ()),
        (
            grammar.pairs,
            "A=1\n\n B=x=y \nC=\nD.e-f_1=${A}\t%{b}",
            (("A", "1"), ("B", "x=y"), ("C", ""), ("D.e-f_1", "${A}\t%{b}")),
        ),
        (grammar.labels, "maintainer=ada", (("maintainer", "ada"),)),
        (grammar.other_name, "Old/shop", "Old/shop"),
        (grammar.other_name, "git@github.com:old/shop.git", "git@github.com:old/shop.git"),
        (grammar.relative_path, "services/./pricing/", "services/pricing"),
        (grammar.relative_path, "../outside", "../outside"),  # Refused where files can be seen.
        (grammar.milestone, "sprint3", Tag("sprint3")),
        (grammar.username, "Ada", "Ada"),
        (grammar.repository_path, "team/app", "team/app"),
        (grammar.tag_template, "{branch}-{date}", "{branch}-{date}"),
        (grammar.tag_template, "v{major}.{minor}", "v{major}.{minor}"),
        (grammar.tag_template, "{version}", "{version}"),
        (grammar.number(7, 40), "7", 7),
        (grammar.number(7, 40), "40", 40),
        (grammar.builder, "ci.builder-1", "ci.builder-1"),
        *(
            (grammar.buildkit_image, each, each)
            for each in (
                "moby/buildkit",
                "moby/buildkit:v0.32.2-rootless",
                f"localhost:5000/a.b/c__d@sha256:{'a' * 64}",
                f"Mirror.example/buildkit:v1@sha256:{'0' * 64}",
            )
        ),
        (grammar.target, "run_time", "run_time"),
        (grammar.secret, "id=npm,src=./.npmrc", Secret("npm", file=".npmrc")),
        (grammar.secret, "type=file,id=npm,source=.npmrc", Secret("npm", file=".npmrc")),
        (grammar.secret, "id=npm,env=NPM_TOKEN", Secret("npm", variable="NPM_TOKEN")),
        (grammar.secret, "type=env,id=npm,src=NPM_TOKEN", Secret("npm", variable="NPM_TOKEN")),
        (grammar.ssh, "default", "default"),
        (grammar.ssh, "github=/run/agent.sock", "github=/run/agent.sock"),
        (grammar.smoke_test, "3000", SmokeTest(3000, "/")),
        (grammar.smoke_test, "8080/health?deep=1", SmokeTest(8080, "/health?deep=1")),
        (grammar.cache, "none", ""),
        (grammar.cache, "registry", "registry"),
        (grammar.cache, "inline", "inline"),
        (grammar.cache, "type=local,src=.cache", "type=local,src=.cache"),
        (grammar.cache_source, "a/b:1", "type=registry,ref=a/b:1"),
        (grammar.cache_source, "r:5000/{service}", "type=registry,ref=r:5000/{service}"),
        (grammar.cache_source, "type=local,src=c,tag=x", "type=local,src=c,tag=x"),
        (grammar.cache_target, "a/b", "type=registry,ref=a/b"),
        (grammar.cache_target, "type=inline", "type=inline"),
        (grammar.cache_target, "type=s3,region=x,bucket=y", "type=s3,region=x,bucket=y"),
        (grammar.cache, "type=local,dest=.cache/{service}", "type=local,dest=.cache/{service}"),
        (grammar.attest, "false", ()),
        (grammar.attest, "True", ("type=provenance,mode=min", "type=sbom")),
        (
            grammar.attest,
            "type=provenance,mode=max\n\ntype=sbom,generator=localhost:5000/scanner",
            ("type=provenance,mode=max", "type=sbom,generator=localhost:5000/scanner"),
        ),
        (grammar.service_name, "api.v2", "api.v2"),
        (grammar.split_lines, " a,b \n\nc", ("a,b", "c")),
    ],
)
def test_reads(parse: Parse, text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("key", "looks"),
    [
        ("NPM_TOKEN", True),
        ("password", True),
        ("DB_PASSWD", True),
        ("aws_secret_access_key", True),
        ("API_KEY", True),
        ("GH_PAT", True),
        ("PRIVATE", True),
        ("credentials", True),
        ("BASIC_AUTH", True),
        ("NODE_VERSION", False),
        ("KEYBOARD", False),
        ("PATCH", False),
        ("AUTHOR", False),
        ("MONKEYS", False),
    ],
)
def test_a_name_that_looks_like_a_credentials(key: str, looks: bool) -> None:
    assert grammar.looks_secret(key) is looks


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (grammar.labels, f"{tag_names.INPUTS_LABEL}=x", ["proves where an image comes from"]),
        (grammar.secret, "npm", ["'npm' is not a build secret", "id=NAME,src=FILE"]),
        (grammar.secret, "id=npm", ["is not a build secret"]),
        (grammar.secret, "id=npm,src=a,env=B", ["is not a build secret"]),
        (grammar.secret, "id=npm,src=a,mode=0400", ["is not a build secret"]),
        (grammar.secret, "id=a b,src=c", ["is not a build secret"]),
        (grammar.offered, "$NPM", ["'$NPM' is not the name of a variable", "without a $"]),
        (grammar.offered, "github_token", ["is a variable of the runner itself"]),
        (
            grammar.secret,
            "id=npm,env=$NPM",
            ["'$NPM' is not the name of a variable", "without a $"],
        ),
        (grammar.secret, "id=npm,src=/etc/shadow", ["is not a relative path"]),
        (grammar.ssh, "a b", ["'a b' is not an SSH agent"]),
        (grammar.ssh, "default=/a,/b", ["is not an SSH agent"]),
        (grammar.smoke_test, "", ["'' is not a port"]),
        (grammar.smoke_test, "0/", ["is not a port"]),
        (grammar.smoke_test, "65536/", ["is not a port"]),
        (grammar.smoke_test, "3000/a b", ["is not a port"]),
        (grammar.smoke_test, "http://localhost:3000/", ["is not a port"]),
        (grammar.cache, "ghcr", ["'ghcr' is not a cache", "type=local"]),
        (grammar.cache, 'type=registry,"x', ["is not a cache"]),
        (grammar.cache, "type=local", ["names no folder", ".cache/{service}"]),
        (grammar.cache, "type=registry,ref=", ["names no image"]),
        (grammar.cache, "type=registry,ref=A", ["names no image"]),
        (grammar.cache_source, "web:", ["'web:' is not a cache", "src="]),
        (grammar.cache_source, "type=local,dest=x", ["names no folder", "src="]),
        (grammar.cache_source, "type=registri,ref=a", ["'registri' is not a type", '"registry"']),
        (grammar.cache_target, "mode=max", ["is not a cache", "dest="]),
        (grammar.cache_target, "type=local,src=x", ["names no folder", "dest="]),
        (grammar.cache_target, "type=registry,mode=max", ["names no image"]),
        (grammar.attest, "max", ["'max' is not an attestation"]),
        (grammar.attest, "type=local,dest=x", ["is not an attestation"]),
        (grammar.service_name, "a/b", ["'a/b' is not a service"]),
        (grammar.choice(Latest), "forwards", ["'forwards' is not known", '"forward"']),
        (grammar.choice(Latest), "", ["force, forward, never"]),
        (grammar.flag, "yes", ["'yes' is not a boolean", "true or false"]),
        (grammar.branches, "", ["first branch", "main, release/**"]),
        (grammar.branches, "release/**", ["without pattern characters"]),
        (grammar.branches, "!main", ["first branch"]),
        (grammar.branches, "main,a++", ["'a++'", "on.push.branches"]),
        (grammar.patterns, "v*, !v[", ["'v['"]),
        (grammar.pairs, "A=1\nB", ["starts with 'B'", "KEY=value"]),
        (grammar.pairs, "=1", ["starts with ''"]),
        (grammar.pairs, "1A=1", ["starts with '1A'"]),
        (grammar.pairs, "A B=1", ["'A B'"]),
        (grammar.pairs, "A=\x1b[31m", ["starts with 'A'"]),
        (grammar.pairs, "A=1\nA=2", ["'A' is given twice", "Remove one"]),
        (
            grammar.labels,
            "org.opencontainers.image.revision=x",
            ["revision", "proves where an image comes from", "Remove it"],
        ),
        (grammar.labels, "org.opencontainers.image.source=x", ["source", "Remove it"]),
        (grammar.other_name, "shop", ["'shop' names no repository", "owner/name"]),
        (grammar.other_name, "../shop", ["names no repository"]),
        (grammar.other_name, "https://github.com/", ["names no repository"]),
        (grammar.relative_path, "/etc", ["'/etc' is not a relative path", "inside the repository"]),
        (grammar.relative_path, "https://github.com/a/b.git", ["not a relative path"]),
        (grammar.relative_path, "git@github.com:a/b.git", ["not a relative path"]),
        # What a builder takes for an address, or for another way out of the repository.
        (grammar.relative_path, "x@h:p", ["not a relative path", "without a colon"]),
        (grammar.relative_path, "a:/../../outside", ["not a relative path"]),
        (grammar.relative_path, "b:", ["not a relative path"]),
        (grammar.relative_path, "git@/../../outside", ["not a relative path"]),
        (grammar.relative_path, f"a/{'ä' * 128}", ["not a relative path"]),
        (grammar.relative_path, "a\x00b", ["not a relative path"]),
        (grammar.relative_path, "a\u202eb", ["'a\\u202eb' is not a relative path"]),
        (grammar.relative_path, "a\u2028b", ["not a relative path"]),
        (grammar.milestone, "latest", ['"latest" is reserved', "another name"]),
        (grammar.milestone, "commit-abc", ['"commit-*"']),
        (grammar.milestone, "withdrawn-abc", ['"withdrawn-*"']),
        (grammar.milestone, "frozen-sprint3", ['"frozen-*"']),
        (grammar.milestone, f"sha256-{'0' * 64}.sig", ["reserved for signatures", "another name"]),
        (grammar.milestone, f"sha256-{'a' * 64}", ["reserved for signatures"]),
        (grammar.tag_template, f"sha512-{'a' * 64}.{{date}}", ["reserved for signatures"]),
        (grammar.milestone, "sprint 3", ['nearest valid one is "sprint-3"']),
        (grammar.username, "ada lovelace", ["a space, a colon, a line break"]),
        (grammar.username, "ada:x", ["colon"]),
        (grammar.username, "ada\n", ["pasted with it"]),
        (grammar.username, "ädä", ["beyond ASCII"]),
        (grammar.repository_path, "FeastFlow", ["must be lowercase", "'feastflow'"]),
        (grammar.tag_template, "{digest}", ["'{digest}' is not known", "{version}, {major}"]),
        (grammar.folder_below, "../other", ["leads out of the workspace"]),
        (grammar.folder_below, "a/../../b", ["leads out of the workspace"]),
        (grammar.folder_below, "/etc", ["is not a relative path"]),
        (grammar.insecure_registry, "Index.docker.io", ["is Docker Hub, which is never", "Remove"]),
        (grammar.insecure_registry, "quay.io:80", ["is Quay, which is never spoken with"]),
        (grammar.insecure_registry, "http://registry:5000", ["without https://"]),
        (grammar.tag_template, "{version", ["not a valid image tag"]),
        (grammar.tag_template, "latest", ["reserved"]),
        (grammar.tag_template, "commit-{date}", ["reserved"]),
        (grammar.milestone, "buildcache", ["reserved"]),
        (grammar.milestone, "buildcache-linux-arm64", ["reserved"]),
        (grammar.number(7, 40), "6", ["'6' is out of range", "7 to 40"]),
        (grammar.number(7, 40), "41", ["7 to 40"]),
        (grammar.number(7, 40), "9" * 5000, ["7 to 40"]),
        (grammar.number(7, 40), "-7", ["7 to 40"]),
        (grammar.number(7, 40), "\u0667\u0667", ["7 to 40"]),
        (grammar.builder, "-x", ["the name of a builder", "docker buildx ls"]),
        (grammar.builder, "a\n", ["the name of a builder"]),
        *(
            (grammar.buildkit_image, each, ["is not an image", "docker pull"])
            for each in (
                "moby/buildkit,network=host",
                "moby/buildkit:",
                "moby/buildkit@sha256:abc",
                "Moby Buildkit",
                "https://r.example/buildkit",
                "-x",
            )
        ),
        (grammar.target, "a b", ["a build stage", "AS"]),
    ],
)
def test_refuses(parse: Parse, text: str, words: list[str]) -> None:
    with fails(*words):
        parse(text)


@pytest.mark.parametrize(
    "tag", ["latest-1", "commits", "my-latest", "frozen", "Latest", "sha256-abc"]
)
def test_what_only_looks_like_a_reserved_tag_is_free(tag: str) -> None:
    assert grammar.unreserved(Tag(tag)) == Tag(tag)


KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,9}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f\x85\u2028\u2029"))


@given(st.dictionaries(KEYS, VALUES.map(str.strip)))
def test_pairs_round_trip(found: dict[str, str]) -> None:
    text = "\n".join(f"{key}={value}" for key, value in found.items())
    assert dict(grammar.pairs(text)) == found


PARSERS = [
    grammar.choice(Latest),
    grammar.flag,
    grammar.branches,
    grammar.patterns,
    grammar.pairs,
    grammar.labels,
    grammar.relative_path,
    grammar.milestone,
    grammar.username,
    grammar.repository_path,
    grammar.tag_template,
    grammar.number(7, 40),
    grammar.builder,
    grammar.buildkit_image,
    parse_platform,
]


@given(st.sampled_from(PARSERS), st.text())
def test_any_text_is_read_or_refused(parse: Parse, text: str) -> None:
    with suppress(Failure):
        parse(text)
