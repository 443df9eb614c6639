"""Which platforms are known, each written in one way."""

from __future__ import annotations

import pytest
from support.failures import fails

from feastflow_registry.config import file, settings
from feastflow_registry.config.platforms import parse_platform


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/arm/v7", "linux/arm/v7"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/riscv64", "linux/riscv64"),
        ("windows/amd64", "windows/amd64"),
        ("wasip1/wasm", "wasip1/wasm"),
        ("wasi/wasm", "wasi/wasm"),
        # https://github.com/containerd/platforms/blob/main/database.go
        ("Linux/AMD64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/i386", "linux/386"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("macos/arm64", "darwin/arm64"),
    ],
)
def test_what_is_known_has_one_name(text: str, expected: str) -> None:
    assert parse_platform(text) == expected
    assert parse_platform(expected) == expected


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("linux/amd46", "Perhaps you meant linux/amd64."),
        ("linux/amd6", "Perhaps you meant linux/amd64."),
        # https://github.com/estesp/manifest-tool/issues/185
        ("linux/amd64/v8", "Perhaps you meant linux/arm64/v8."),
        # https://github.com/docker/build-push-action/issues/913 has it in a name
        ("linux/arm64v8", "Perhaps you meant linux/arm64"),
        ("linux/armv7", "Perhaps you meant linux/arm/v7."),
        # https://github.com/aws/amazon-mwaa-docker-images/pull/175
        ("linux/x86", "Perhaps you meant linux/386."),
        ("linx/arm64", "Perhaps you meant linux/arm64."),
        ("linux/s390x/v1", "Perhaps you meant linux/s390x."),
        ("linux", "such as linux/amd64"),
        ("arm64/linux/", "linux/"),
        ("linux/", "linux/"),
        ("linux/amd64/v1/x", "linux/amd64"),
        ("windows(10.0.17763)/amd64", "windows/amd64"),
        ("*", "Write os/architecture[/variant], such as linux/amd64."),
        ("x" * 10_000, "Write os/architecture"),
    ],
)
def test_what_nobody_knows_is_refused(text: str, fix: str) -> None:
    with fails("is not a platform that Go or a builder knows", fix):
        parse_platform(text)


def test_wherever_a_platform_is_named() -> None:
    with fails('input "platforms"', "'linux/amd46'", "linux/amd64"):
        settings.parse({"platforms": "linux/amd46"})
    assert settings.parse({"platforms": "linux/x86_64"}).platforms == ("linux/amd64",)
    with fails("services.web.platforms.item 2", "'linux/amd46'", "linux/amd64"):
        file.read("f.yml", b"services: {web: {platforms: [linux/arm64, linux/amd46]}}")
