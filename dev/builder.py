"""A BuildKit for `docker buildx create --driver remote`, with nothing to pull.

Every engine carries BuildKit and speaks its protocol after `POST /grpc`; a process of ours joins
each connection on a plain socket to one such conversation. With the engine of the containerd store
behind it, that builder can do what the docker driver cannot: push by digest, export caches.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

import engine
from places import RUNTIME, STATE, StackError, give_back, say
from processes import Process

SOCKET = RUNTIME / "buildkit.sock"
HANDSHAKE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


def address() -> str | None:
    """The address that `docker buildx create --driver remote` takes, if the builder is up."""
    return f"unix://{SOCKET}" if _process().pid() and SOCKET.exists() else None


def start() -> None:
    """Open the socket, bringing up the engine behind it if need be."""
    if address():
        return
    behind = engine.find("containerd") or engine.start("containerd")
    if not behind.host.startswith("unix://"):
        raise StackError(
            f"The engine at {behind.host} has no local socket for the builder to join.",
            "Unset DOCKER_HOST, or choose a local docker context, then run this again.",
        )
    RUNTIME.mkdir(parents=True, exist_ok=True)
    SOCKET.unlink(missing_ok=True)
    _process().start(ready=SOCKET.exists, seconds=10, environ={"ENGINE": behind.host})
    give_back(SOCKET)
    say(f"opened BuildKit for remote builders, {address()}")


def stop() -> None:
    """Close the socket; the engine behind it stays."""
    if _process().stop():
        say("closed BuildKit for remote builders")
    SOCKET.unlink(missing_ok=True)


def _process() -> Process:
    return Process([sys.executable, __file__, str(SOCKET)], STATE / "buildkit.log")


async def _serve(path: str, engine_path: str) -> None:
    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            from_engine, to_engine = await asyncio.open_unix_connection(engine_path)
            to_engine.write(HANDSHAKE)
            answer = await from_engine.readuntil(b"\r\n\r\n")
            if b" 101 " in answer.split(b"\r\n")[0]:
                await asyncio.gather(_copy(reader, to_engine), _copy(from_engine, writer))
            to_engine.close()
        writer.close()

    os.umask(0o177)
    server = await asyncio.start_unix_server(join, path)
    await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], os.environ["ENGINE"].removeprefix("unix://")))
