from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.failures import fails
from support.runs import service

from feastflow_registry.config import build_options, grammar
from feastflow_registry.model.plan import Command
from feastflow_registry.model.services import BuildOptions, Service

Parse = Callable[[object], object]


@pytest.mark.parametrize(
    ("parse", "given", "value"),
    [
        (build_options.network, "default", ""),
        (build_options.network, "none", "none"),
        (build_options.network, "host", "host"),
        (build_options.shm_size, 67108864, 67108864),
        (build_options.shm_size, "64", 64),
        (build_options.shm_size, "64b", 64),
        (build_options.shm_size, "64m", 64 * 1024**2),
        (build_options.shm_size, "1.5 GB", 3 * 1024**3 // 2),
        (build_options.shm_size, "32MiB", 32 * 1024**2),
        (build_options.shm_size, "1k", 1024),
        (build_options.shm_size, "2tb", 2 * 1024**4),
        (build_options.ulimits, "", ()),
        (build_options.ulimits, "nofile=1024", ("nofile=1024:1024",)),
        (
            build_options.ulimits,
            "nproc=1:2, core=0\nmemlock=-1",
            ("core=0:0", "memlock=-1:-1", "nproc=1:2"),
        ),
        (build_options.ulimits, "memlock=5:-1", ("memlock=5:-1",)),
        (build_options.ulimits, ["nofile=1:2"], ("nofile=1:2",)),
        (
            build_options.ulimits,
            {"nproc": 65535, "nofile": {"soft": 2, "hard": 4}},
            ("nofile=2:4", "nproc=65535:65535"),
        ),
        (build_options.ulimits, {"nofile": "1:2"}, ("nofile=1:2",)),
        (
            build_options.extra_hosts,
            "a.b:10.0.0.1\nc=10.0.0.2",
            (("a.b", "10.0.0.1"), ("c", "10.0.0.2")),
        ),
        (build_options.extra_hosts, "my:::1", (("my", "::1"),)),
        (build_options.extra_hosts, "my=::1", (("my", "::1"),)),
        (build_options.extra_hosts, "my:[2001:DB8::1]", (("my", "2001:db8::1"),)),
        (build_options.extra_hosts, "my=[::1],my=10.0.0.1,my=::1", (("my", "::1,10.0.0.1"),)),
        (build_options.extra_hosts, "gate=host-gateway", (("gate", "host-gateway"),)),
        (build_options.extra_hosts, ["a=10.0.0.1"], (("a", "10.0.0.1"),)),
        (
            build_options.extra_hosts,
            {"a": "10.0.0.1,::1", "b": ["10.0.0.2", "::2"]},
            (("a", "10.0.0.1,::1"), ("b", "10.0.0.2,::2")),
        ),
        (build_options.entitlement, "network.host", "network.host"),
        (build_options.entitlement, "device=vendor.com/gpu=all", "device=vendor.com/gpu=all"),
        (build_options.output, "type=local,dest=out", "type=local,dest=out"),
        (
            build_options.output,
            "type=oci,dest=a/b.tar,compression=zstd",
            ("type=oci,dest=a/b.tar,compression=zstd"),
        ),
        (grammar.context, "app", "app"),
    ],
)
def test_what_is_read(parse: Parse, given: object, value: object) -> None:
    assert parse(given) == value


@pytest.mark.parametrize(
    ("parse", "given", "words"),
    [
        (build_options.network, "bridge", ["'bridge' is not a network", "driver-opts"]),
        (build_options.network, "container:db", ["is not a network"]),
        (build_options.network, "", ["is not a network"]),
        (build_options.shm_size, "0", ["'0' is not a size", "64m"]),
        (build_options.shm_size, 0, ["'0' is not a size"]),
        (build_options.shm_size, "999999999999t", ["is not a size"]),
        (build_options.shm_size, "-1", ["is not a size"]),
        (build_options.shm_size, "0.1", ["is not a size"]),
        (build_options.shm_size, True, ["'True' is not a size"]),
        (build_options.shm_size, None, ["is not a size"]),
        (build_options.shm_size, "2gigs", ["is not a size"]),
        (build_options.shm_size, "2g\n", ["is not a size"]),
        (build_options.ulimits, "nofiles=1", ["'nofiles' is not a limit", '"nofile"']),
        (build_options.ulimits, "nofile", ["'nofile' is not of the form NAME=VALUE"]),
        (build_options.ulimits, "=1", ["is not of the form"]),
        (build_options.ulimits, "nofile=many", ["'nofile=many' is not of the form LIMIT=NUMBER"]),
        (build_options.ulimits, "nofile=", ["is not of the form"]),
        (build_options.ulimits, "nofile=2:1", ["is not of the form", "nofile=1024:2048"]),
        (build_options.ulimits, "nofile=-1:5", ["is not of the form"]),
        (build_options.ulimits, "nofile=-2", ["is not of the form"]),
        (build_options.ulimits, "nofile=1:2:3", ["is not of the form"]),
        (build_options.ulimits, "nofile=1,nofile=2", ["'nofile' is given twice"]),
        (build_options.ulimits, {"nofile": {"soft": 1}}, ["is not of the form"]),
        (build_options.ulimits, {"nofile": {"soft": 1, "hard": True}}, ["is not of the form"]),
        (build_options.ulimits, {"nofile": None}, ["is not of the form"]),
        (build_options.ulimits, 5, ["is not of the form NAME=VALUE"]),
        (build_options.ulimits, [5], ["'5' is not of the form NAME=VALUE"]),
        (build_options.extra_hosts, "a", ["'a' is not of the form NAME=VALUE"]),
        (build_options.extra_hosts, "a=b", ["'b' is not the address of a host", "IPv6"]),
        (build_options.extra_hosts, "a=10.0.0.256", ["is not the address of a host"]),
        (build_options.extra_hosts, "a=fe80::1%eth0", ["is not the address of a host"]),
        (build_options.extra_hosts, "a=[::1", ["'[::1' is not the address"]),
        (build_options.extra_hosts, "::1=a", ["is not of the form"]),
        (build_options.extra_hosts, "[::1]:a", ["'[' is not the name of a host", "brackets"]),
        (build_options.extra_hosts, "a b=10.0.0.1", ["'a b' is not the name of a host"]),
        (build_options.extra_hosts, {"a": None}, ["'None' is not the address"]),
        (build_options.entitlement, "network", ["is not an entitlement", "network.host"]),
        (build_options.entitlement, "fs.read=/", ["is not an entitlement"]),
        (build_options.entitlement, "device=a,b", ["is not an entitlement"]),
        (build_options.output, "out", ["is not an output that"]),
        (build_options.output, "type=local", ["is not an output", "dest=PATH"]),
        (build_options.output, "type=registry,dest=x", ["is not an output"]),
        (build_options.output, "type=image,push=true,dest=x", ["is not an output"]),
        (build_options.output, "type=local,dest=x,mode=delete", ["is not an output"]),
        (build_options.output, 'type=local,"dest=x"', ["is not an output"]),
        (build_options.output, "type=local,dest=-\n", ["is not an output"]),
        (build_options.output, "type=tar,dest=-", ["is not an output"]),
        (build_options.output, "type=local,dest=/etc", ["'/etc' is not a relative path"]),
        (build_options.output, "type=local,dest=a/../../b", ["leads out of the workspace"]),
        (build_options.output, "type=local,dest=.", ["write over the repository itself"]),
        (build_options.output, "type=local,dest=.git/hooks", ["over the repository itself"]),
        (build_options.output, "type=tar,dest=sub/.GIT/config", ["over the repository itself"]),
        (
            grammar.context,
            "https://ada:pw@github.com/a/b",
            [
                "'https://github.com/a/b' is an address",
                "the commit that is checked out",
                "actions/checkout",
            ],
        ),
        (grammar.context, "git@github.com:a/b.git", ["is an address"]),
        (grammar.context, "github.com/a/b", ["is an address"]),
        (grammar.context, "git://x/y", ["is an address"]),
        (grammar.context, "a:b", ["'a:b' is not a relative path"]),
    ],
)
def test_what_is_refused(parse: Parse, given: object, words: list[str]) -> None:
    with fails(*words):
        parse(given)


def _where(name: str, key: str) -> str:
    return f"feastflow.yml: services.{name}.{key}"


def problems(command: Command, one: Service) -> list[str]:
    return [str(each) for each in build_options.check([service("b"), one], command, _where)]


def test_the_network_of_the_host_needs_its_entitlement() -> None:
    one = replace(service("a"), options=BuildOptions(network="host", entitlements=("device",)))
    [problem] = problems(Command.PUBLISH, one)
    assert problem.startswith("feastflow.yml: services.a.network: the network host needs the ent")
    assert 'the input "allow", or in entitlements of feastflow.yml' in problem
    granted = replace(one, options=replace(one.options, entitlements=("network.host",)))
    assert problems(Command.PUBLISH, granted) == []
    assert problems(Command.PUBLISH, replace(one, options=BuildOptions(network="none"))) == []


def test_only_a_build_that_is_not_pushed_leaves_outputs() -> None:
    one = replace(service("a"), outputs=("type=local,dest=out",))
    [problem] = problems(Command.PUBLISH, one)
    assert "services.a.outputs: publish pushes what it builds" in problem
    assert "Use the command build" in problem
    assert problems(Command.BUILD, one) == []
