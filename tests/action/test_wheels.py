"""The packages by their addresses, and by uv or pip where that cannot be or is not wanted."""

from __future__ import annotations

import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.act import ROOT
from support.installing import FAKE_UV, Runner
from support.servers.certificates import Authority
from support.servers.serving import Call, Server
from support.servers.wheel_host import WheelHost, wheel
from support.soak import one_in, soak

FIRST = "package-1-py3-none-any.whl"
PYTHON = f"cp3{sys.version_info[1]}"
WAIT = 30


def test_the_table_is_what_is_locked() -> None:
    argv = [sys.executable, str(ROOT / "dev/wheels"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_fetched_and_unzipped_with_nothing_but_python(runner: Runner, host: WheelHost) -> None:
    runner.path = []
    answer = runner.call("install", python=runner.python())
    found = [str(path.relative_to(answer.site)) for path in answer.site.rglob("*.*")]
    expected = ["folder/__init__.py", "folder/deep/a.so", "package-1.dist-info", "package.py"]
    assert sorted(found) == [*expected, "third.py"]
    assert host.asked == sorted(host.files)
    assert sorted(path.name for path in answer.site.parent.iterdir()) == ["complete", "site"]
    assert len(answer.said.splitlines()) == 1
    assert list(runner.action.glob("__pycache__")) == []


def test_all_are_asked_for_at_once(runner: Runner, host: WheelHost) -> None:
    together = threading.Barrier(len(host.files), timeout=WAIT)

    def send(call: Call) -> None:
        together.wait()
        call.answer(200, host.files[call.path.rpartition("/")[2]])

    host.answers = dict.fromkeys(host.files, send)
    runner.install()


def test_a_file_that_somebody_changed_is_refused_for_good(
    runner: Runner, host: WheelHost, uv: None
) -> None:
    host.answers[FIRST] = lambda call: call.answer(200, bytes(len(host.files[FIRST])))
    answer = runner.call("install")
    assert answer.code == 5
    [error] = answer.errors
    assert f"localhost:{host.port} gave as {FIRST} is not what this action is locked to" in error
    assert "find out who changes" in error
    assert runner.kept == []


def short(call: Call) -> None:
    call.wfile.write(call.head(200, [("Content-Length", "1000000")]) + b"PK")
    call.close_connection = True


def unmeasured(call: Call) -> None:
    call.wfile.write(call.head(200, [("Connection", "close")]) + b"PK")
    call.close_connection = True


def drip(call: Call) -> None:
    call.wfile.write(call.head(200, [("Content-Length", "1000000")]))
    while not call.server.owner.closing.wait(0.01):
        call.wfile.write(b"P")


def drip_headers(call: Call) -> None:
    call.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while not call.server.owner.closing.wait(0.01):
        call.wfile.write(b"P")


def no_http(call: Call) -> None:
    call.wfile.write(b"SSH-2.0-x\r\n\r\n")


def forge(call: Call) -> None:
    call.wfile.write(call.head(404, [("Content-Length", "0")], "Gone\r::error::forged"))


def silent(call: Call) -> None:
    call.server.owner.closing.wait()


Given = Callable[[Call], None]
NOT_GIVEN: dict[str, tuple[Given, str]] = {
    "a command": (forge, "(HTTP Error 404: Gone ::error::forged)"),
    "not there": (lambda call: call.answer(404), "HTTP Error 404"),
    "a failure": (lambda call: call.answer(500, b"later"), "HTTP Error 500"),
    "empty": (lambda call: call.answer(200), "in another size"),
    "a page of a proxy": (lambda call: call.answer(200, b"<p>Log in</p>" * 99), "another size"),
    "cut off": (short, "another size"),
    "cut off, of no known length": (unmeasured, "another size"),
    "reset": (lambda call: call.reset(), "did not give"),
    "no HTTP": (no_http, "did not give"),
    "byte by byte": (drip, "did not arrive within 1 s"),
    "headers byte by byte": (drip_headers, "did not arrive within 1 s"),
    "silent": (silent, "timed out"),
}


@pytest.mark.parametrize(("answer", "reason"), one_in(4, NOT_GIVEN.values()), ids=NOT_GIVEN)
def test_what_is_not_given_is_left_to_uv(
    runner: Runner, host: WheelHost, uv: None, answer: Given, reason: str
) -> None:
    if answer is silent:
        runner.edit("wheels.py", "SILENT_FOR = 10", "SILENT_FOR = 0.1")
    else:
        runner.edit("wheels.py", "ALL_WITHIN = 60", "ALL_WITHIN = 1")
    host.answers[FIRST] = answer
    done = runner.call("install")
    assert done.made_by == "uv"
    assert not (done.site / "third.py").exists(), "of what was fetched, nothing is left"
    assert reason in done.said
    assert "uv or pip installs this action's packages." in done.said
    assert not done.errors


class Bait(Server):
    """Where a redirect leads."""

    def respond(self, call: Call) -> None:
        call.answer(200, b"x")


@pytest.mark.parametrize("tls", [False, True])
def test_no_redirect_is_followed(
    runner: Runner, host: WheelHost, authority: Authority, uv: None, *, tls: bool
) -> None:
    with Bait() as bait:
        bait.tls = authority.server() if tls else None
        headers = [("Location", f"{bait.url}/{FIRST}")]
        host.answers[FIRST] = lambda call: call.answer(302, headers=headers)
        assert runner.call("install").made_by == "uv"
        assert not bait.requests


def test_no_address_is_asked_in_plain_http(runner: Runner, uv: None) -> None:
    with Bait() as bait:
        runner.edit("wheels.txt", f"https://localhost:{host_port(runner)}", bait.url)
        answer = runner.call("install")
        assert answer.made_by == "uv"
        assert "unknown url type: http" in answer.said
        assert not bait.requests


def host_port(runner: Runner) -> str:
    table = (runner.action / "wheels.txt").read_text()
    return table.partition("localhost:")[2].partition("/")[0]


def test_nothing_is_written_beside_the_folder(runner: Runner, host: WheelHost) -> None:
    outside = runner.folder / "outside.py"
    files = {"../../../../outside.py": "", str(outside): "", "a/../../b.py": "", "/c.py": ""}
    host.files[FIRST] = wheel(files)
    (runner.action / "wheels.txt").write_text(host.row(FIRST))
    site = runner.install()
    assert not list(runner.folder.glob("*.py"))
    assert sorted(path.name for path in site.parent.iterdir()) == ["complete", "site"]
    assert len([path for path in site.rglob("*.py") if path.is_file()]) == len(files)


# Whose certificates count.


@pytest.mark.parametrize(
    "name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"]
)
def test_the_first_variable_that_is_set_names_who_is_trusted(
    runner: Runner, authority: Authority, tmp_path: Path, name: str
) -> None:
    other = Authority.create(tmp_path / "other")
    order = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
    runner.environ |= dict.fromkeys(order, str(other.file))
    runner.environ |= dict.fromkeys(order[: order.index(name)], "")
    runner.environ[name] = str(authority.file)
    runner.install()


def test_a_folder_of_certificates_is_trusted(
    runner: Runner, authority: Authority, tmp_path: Path
) -> None:
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / f"{authority.hash}.0").write_bytes(authority.file.read_bytes())
    runner.environ["SSL_CERT_FILE"] = ""
    runner.environ["SSL_CERT_DIR"] = str(folder)
    runner.install()


def test_whom_nobody_trusts_is_not_believed(
    runner: Runner, host: WheelHost, uv: None, tmp_path: Path
) -> None:
    runner.environ["SSL_CERT_FILE"] = str(Authority.create(tmp_path / "other").file)
    answer = runner.call("install")
    assert answer.made_by == "uv"
    assert "CERTIFICATE_VERIFY_FAILED" in answer.said
    assert not host.requests


@pytest.mark.parametrize("place", ["/nowhere.pem", "/dev/null", "/bin/sh"])
def test_a_variable_that_names_no_certificate(runner: Runner, uv: None, place: str) -> None:
    runner.environ["REQUESTS_CA_BUNDLE"] = place
    answer = runner.call("install")
    assert answer.code == 2
    [error] = answer.errors
    assert f"REQUESTS_CA_BUNDLE names {place!r}, which holds no certificate." in error


class Tunnel(socketserver.ThreadingTCPServer):
    """A proxy that knows CONNECT."""

    daemon_threads = True
    asked: list[str]

    class RequestHandlerClass(socketserver.StreamRequestHandler):
        server: Tunnel

        def handle(self) -> None:
            _, target, _ = self.rfile.readline().decode().split()
            self.server.asked.append(target)
            while self.rfile.readline().strip():
                pass
            name, port = target.split(":")
            with socket.create_connection((name, int(port))) as far:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                threading.Thread(target=pour, args=(self.connection, far), daemon=True).start()
                pour(far, self.connection)


def pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    ("variables", "used"),
    [
        (["HTTPS_PROXY"], True),
        (["https_proxy"], True),
        (["HTTP_PROXY"], False),
        (["HTTPS_PROXY", "NO_PROXY"], False),
        (["https_proxy", "no_proxy"], False),
    ],
)
def test_the_job_s_proxy_is_used(
    runner: Runner, host: WheelHost, variables: list[str], *, used: bool
) -> None:
    with Tunnel(("127.0.0.1", 0), Tunnel.RequestHandlerClass) as tunnel:
        tunnel.asked = []
        threading.Thread(target=tunnel.serve_forever, args=[0.01], daemon=True).start()
        address = f"http://127.0.0.1:{tunnel.server_address[1]}"
        no = ("NO_PROXY", "no_proxy")
        runner.environ |= {each: "localhost" if each in no else address for each in variables}
        runner.install()
        tunnel.shutdown()
        assert tunnel.asked == [f"localhost:{host.port}"] * (3 if used else 0)


@pytest.mark.parametrize("address", ["http://ada:top#secret@127.0.0.1:1", "http://a:top:secret"])
def test_a_proxy_s_password_is_not_shown(runner: Runner, uv: None, address: str) -> None:
    runner.environ["HTTPS_PROXY"] = address
    answer = runner.call("install")
    assert answer.made_by == "uv"
    assert "top" not in answer.said
    assert "secret" not in answer.said


# Which wheel.


def table(host: WheelHost, *rows: str) -> str:
    """A table of one package, a wheel for each row."""
    names = [f"package-{number}-py3-none-any.whl" for number in range(len(rows))]
    for number, name in enumerate(names):
        host.files[name] = wheel({f"row_{number}.py": ""})
    return "".join(map(host.row, names, rows))


HERE = os.uname().machine
OTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}[HERE]
LIBC = "os.confstr = lambda name: {}"
CACHE_TAG = "sys.implementation.cache_tag = {!r}; sys.version_info = {}"
MUSL = "pass\ndef confstr(name): raise {}\nos.confstr = confstr"


@pytest.mark.parametrize(
    ("patch", "rows", "chosen"),
    one_in(
        3,
        [
            ("", ["any any any", f"{PYTHON} {HERE} musl"], 0),
            ("", [f"{PYTHON} {OTHER} glibc2.17", f"{PYTHON} {HERE} glibc2.17"], 1),
            ("", [f"cp310 {HERE} glibc2.17", f"{PYTHON} {HERE} glibc2.17"], 1),
            (LIBC.format("'glibc 2.28'"), [f"{PYTHON} {HERE} glibc2.{n}" for n in (39, 28, 17)], 1),
            (LIBC.format("'glibc 2.27'"), [f"{PYTHON} {HERE} glibc2.{n}" for n in (39, 28, 17)], 2),
            (LIBC.format("None"), [f"{PYTHON} {HERE} glibc2.17", f"{PYTHON} {HERE} musl"], 1),
            (MUSL.format("OSError"), [f"{PYTHON} {HERE} glibc2.17", f"{PYTHON} {HERE} musl"], 1),
            (MUSL.format("ValueError"), [f"{PYTHON} {HERE} glibc2.17", f"{PYTHON} {HERE} musl"], 1),
            (
                CACHE_TAG.format("cpython-315", (3, 15, 0)),
                [f"cp314 {HERE} glibc2.17", f"cp315 {HERE} glibc2.17"],
                1,
            ),
        ],
    ),
)
def test_the_wheel_is_for_this_python_machine_and_libc(
    runner: Runner, host: WheelHost, patch: str, rows: list[str], chosen: int
) -> None:
    (runner.action / "wheels.txt").write_text(table(host, *rows))
    site = runner.simulate(patch).site
    assert [path.stem for path in site.iterdir()] == [f"row_{chosen}"]


@pytest.mark.parametrize(
    "patch",
    [
        "sys.abiflags = 't'",
        "sys.implementation.cache_tag = 'pypy311'",
        LIBC.format("'glibc 2.12'"),
    ],
)
def test_without_a_wheel_for_this_python_uv_or_pip_looks_for_one(
    runner: Runner, host: WheelHost, uv: None, patch: str
) -> None:
    (runner.action / "wheels.txt").write_text(table(host, f"{PYTHON} {HERE} glibc2.17"))
    answer = runner.simulate(patch)
    assert answer.made_by == "uv"
    assert "package has no locked wheel for" in answer.said
    assert not host.requests


# Where somebody has configured an index.


INDEX = "https://index.example/simple"


@pytest.mark.parametrize(
    "name", ["UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"]
)
def test_a_variable_tells_uv_where_packages_come_from(
    runner: Runner, host: WheelHost, uv: None, name: str
) -> None:
    runner.environ[name] = INDEX
    answer = runner.call("install", python=runner.python(pip=True))
    assert answer.made_by == "uv"
    assert answer.said.startswith(f"{name} is set: uv or pip installs")
    assert not host.requests


@pytest.mark.parametrize(
    "name", one_in(4, ["PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_PROXY"])
)
@pytest.mark.parametrize("more", [{}, {"PIP_INDEX_URL": INDEX}])
def test_a_variable_tells_pip_alone_where_packages_come_from(
    runner: Runner, host: WheelHost, uv: None, name: str, more: dict[str, str]
) -> None:
    runner.environ |= {name: INDEX, **more}
    answer = runner.call("install", python=runner.python(pip=True))
    assert answer.made_by == "pip"
    assert answer.said.startswith(f"{next(iter(more), name)} is set")
    assert not host.requests


@pytest.mark.parametrize("file", [False, True])
def test_the_index_of_pip_is_told_to_uv(
    runner: Runner, host: WheelHost, uv: None, *, file: bool
) -> None:
    if file:
        path = runner.folder / "home/.pip/pip.conf"
        path.parent.mkdir()
        path.write_text(f"[global]\nindex-url = {INDEX}\ntimeout = 9\ncert = /ca.pem\n")
        del runner.environ["PIP_CONFIG_FILE"]
    else:
        runner.environ["PIP_INDEX_URL"] = INDEX
    answer = runner.call("install")
    assert answer.made_by == "uv"
    environ = (answer.site / "environ").read_text().splitlines()
    assert f"UV_DEFAULT_INDEX={INDEX}" in environ
    assert ("SSL_CERT_FILE=/ca.pem" in environ) is file
    assert not host.requests


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "PIP_FIND_LINKS"])
def test_what_uv_is_told_itself_counts_more(runner: Runner, uv: None, name: str) -> None:
    runner.environ |= {name: "https://other.example/simple", "UV_INDEX_URL": INDEX}
    answer = runner.call("install")
    assert answer.made_by == "uv"
    assert "UV_DEFAULT_INDEX" not in (answer.site / "environ").read_text()


FILES = {
    "home/.config/pip/pip.conf": ("[global]\nindex-url = x\n", "uv"),
    "home/.pip/pip.conf": ("[install]\nextra_index_url = x\n", "pip"),
    "python1/pip.conf": ("[global]\nno-index = true\n", "pip"),
    "site/pip/pip.conf": ("[global]\nfind-links =\n  /wheels\n", "pip"),
    "given/pip.conf": ("[install]\nindex_url = x\n", "uv"),
    "home/.config/uv/uv.toml": ('[[index]]\nurl = "x"\n', "uv"),
    "site/uv/uv.toml": ('index-url = "x"\n', "uv"),
    "given/uv.toml": ('[pip]\nfind-links = ["x"]\n', "uv"),
}


@pytest.mark.parametrize("name", one_in(4, FILES))
def test_a_file_tells_a_tool_where_packages_come_from(
    runner: Runner, host: WheelHost, uv: None, name: str
) -> None:
    text, tool = FILES[name]
    given = str(runner.folder / name) if name.startswith("given/") else "/nowhere"
    runner.environ |= {"XDG_CONFIG_DIRS": f"/nowhere:{runner.folder / 'site'}"}
    runner.environ |= {"PIP_CONFIG_FILE": given}
    del runner.environ["UV_CONFIG_FILE"]
    if name == "given/uv.toml":
        runner.environ |= {"UV_CONFIG_FILE": given}
    python = runner.python(pip=True)
    path = runner.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    answer = runner.call("install", python=python)
    assert answer.made_by == tool
    assert answer.said.startswith(f"{path} is set")
    assert not host.requests
    if path.suffix == ".toml":
        assert f"--config-file {path}" in (runner.folder / "bin/uv.argv").read_text()


@pytest.mark.parametrize(
    ("name", "text"),
    one_in(
        5,
        [
            ("home/.pip/pip.conf", "[global]\ncert = /ca.pem\ntimeout = 9\n"),
            ("home/.pip/pip.conf", "[download]\nindex-url = x\n"),
            ("home/.pip/pip.conf", "[global]\nindex-url =\n"),
            ("home/.pip/pip.conf", "no section"),
            ("home/.config/uv/uv.toml", "[pip]\nstrict = true\n"),
            ("home/.config/uv/uv.toml", "["),
            ("home/.config/uv/uv.toml", "pip = 3"),
            ("home/.config/uv/uv.toml/folder", ""),
            ("home/.pip/pip.conf/folder", ""),
            ("home/.pip/pip.conf", "[global]\nindex-url = \udcff\n"),
        ],
    ),
)
def test_a_file_that_names_no_place_changes_nothing(
    runner: Runner, host: WheelHost, uv: None, name: str, text: str
) -> None:
    runner.environ |= {"PIP_CONFIG_FILE": "", "UV_CONFIG_FILE": "", "PIP_INDEX_URL": ""}
    path = runner.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, errors="surrogateescape")
    assert runner.call("install").made_by == ""
    assert host.requests


def test_pip_is_told_to_read_no_file(runner: Runner, host: WheelHost) -> None:
    path = runner.folder / "home/.pip/pip.conf"
    path.parent.mkdir()
    path.write_text("[global]\nindex-url = x\n")
    runner.install()
    assert host.requests


@pytest.mark.parametrize("more", ["trusted-host = y", "client-cert = /c.pem"])
def test_an_index_that_only_pip_can_reach_is_left_to_pip(runner: Runner, more: str) -> None:
    path = runner.folder / "home/.config/pip/pip.conf"
    path.parent.mkdir(parents=True)
    path.write_text(f"[global]\nindex-url = x\n{more}\n")
    del runner.environ["PIP_CONFIG_FILE"]
    runner.put("uv", FAKE_UV)
    answer = runner.call("install", python=runner.python(pip=True))
    assert answer.made_by == "pip"


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_pip_brings_uv_from_the_index_that_uv_is_told_of(runner: Runner, variable: str) -> None:
    runner.environ[variable] = "https://index.example/simple"
    assert runner.call("install", python=runner.python(pip=True)).made_by == "uv"
    assert (runner.folder / "pip-index").read_text() == "https://index.example/simple"


def test_without_uv_pip_brings_one_for_this_once(runner: Runner) -> None:
    runner.environ["UV_INDEX"] = INDEX
    answer = runner.call("install", python=runner.python(pip=True))
    assert answer.made_by == "uv"
    assert sorted(path.name for path in answer.site.parent.iterdir()) == ["complete", "site"]
    cache = next(
        line
        for line in (answer.site / "environ").read_text().splitlines()
        if line.startswith("UV_CACHE_DIR=")
    )
    assert cache.endswith("/tools/cache")


@pytest.mark.parametrize(
    ("variable", "has_uv"), [("PIP_INDEX_URL", False), ("PIP_FIND_LINKS", True), ("", False)]
)
def test_pip_is_needed_and_absent(
    runner: Runner, host: WheelHost, variable: str, *, has_uv: bool
) -> None:
    if has_uv:
        runner.put("uv", FAKE_UV)
    host.answers[FIRST] = lambda call: call.answer(404)
    runner.environ |= {variable: INDEX} if variable else {}
    python = runner.python()
    answer = runner.call("install", python=python)
    assert answer.code == 2
    [error] = answer.errors
    assert f"but {python} has no pip to install this action's packages with." in error
    assert (f"{variable} is set" if variable else "did not give") in error
    assert runner.kept == []


def test_an_index_that_drips_ends_the_step(runner: Runner, host: WheelHost) -> None:
    """uv and pip bound one read alone, and an index may answer them byte by byte."""
    runner.put("uv", "#!/bin/sh\nexec sleep 600\n")
    runner.edit("wheels.py", "TOOL_WITHIN = 600", "TOOL_WITHIN = 0.1")
    host.answers[FIRST] = lambda call: call.answer(404)
    answer = runner.call("install")
    assert answer.code == 5
    [error] = answer.errors
    assert "uv did not install this action's packages within 0.1 s." in error
    assert runner.kept == []


# The real packages.


@soak
def test_the_real_packages_are_what_uv_installs(
    tmp_path: Path, authority: Authority, real_wheels: dict[str, bytes]
) -> None:
    runner = Runner(tmp_path)
    runner.environ = {"SSL_CERT_FILE": str(authority.file), "PIP_CONFIG_FILE": "/dev/null"}
    with WheelHost(authority, real_wheels) as host:
        text = (runner.action / "wheels.txt").read_text()
        (runner.action / "wheels.txt").write_text(host.move(text))
        site = runner.install()
        assert host.asked == sorted(real_wheels)
    by_uv = tmp_path / "by-uv"
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps"),
            *("--python", sys.executable, "--target", by_uv),
            *(tmp_path / "wheels" / name for name in real_wheels),
        ],
        check=True,
    )
    assert contents(site) == contents(by_uv)


def contents(site: Path) -> dict[str, bytes]:
    """The files that count: not a program, nor what an installer says of itself."""
    files = {str(path.relative_to(site)): path for path in site.rglob("*") if path.is_file()}
    own = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json", ".lock")
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if not name.startswith("bin/") and not name.endswith(own)
    }
