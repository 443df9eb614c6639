"""A repository of several services, each small but with something to build."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.project import LAYER, MARK, git

# As a compiler does, it keeps two cores busy: for two seconds or so, if nobody else needs them.
_WORK = (
    "for each in 1 2; do /busybox dd if=/dev/zero bs=1M count=500 | /busybox sha256sum & done; wait"
)
_RUN = json.dumps(["/busybox", "sh", "-c", f"({_WORK}) > /made"])
_DOCKERFILE = f"""\
FROM scratch AS make
COPY busybox source /
RUN {_RUN}

FROM scratch
LABEL {MARK}=yes
COPY busybox /bin/
COPY {LAYER} /
COPY --from=make /made /
RUN ["/bin/busybox", "mkdir", "/data"]
CMD ["/bin/busybox", "true"]
"""


@dataclass
class Monorepo:
    """A working copy on `main`; everything in it is tracked, as it has to be to be known again.

    ``cached``: whether the builder may use what it built before; a hosted runner has nothing.
    """

    folder: Path
    services: int
    megabytes: int = 0
    busybox: Path | None = None
    cached: bool = True
    commits: int = 0

    def __post_init__(self) -> None:
        words = {} if self.cached else {"no_cache": True}
        services = {name: {"context": name, **words} for name in self.names}
        self.folder.mkdir(exist_ok=True)
        # Whatever is JSON is YAML.
        (self.folder / "feastflow.yml").write_text(json.dumps({"services": services}, indent=1))
        for name in self.names:
            (self.folder / name).mkdir()
            (self.folder / name / "Dockerfile").write_text(_DOCKERFILE)
            if self.busybox:
                shutil.copy2(self.busybox, self.folder / name)
        git(self.folder, "init", "--quiet", "--initial-branch=main")
        git(self.folder, "config", "core.compression", "0")
        self.commit(fresh=self.services)

    @property
    def names(self) -> tuple[str, ...]:
        """The services."""
        return tuple(f"service-{number}" for number in range(self.services))

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return git(self.folder, "rev-parse", "HEAD")

    def commit(self, *, fresh: int) -> None:
        """Make a new commit in which all layers of the first `fresh` services are new."""
        self.commits += 1
        for name in self.names[:fresh]:
            (self.folder / name / LAYER).write_bytes(os.urandom(self.megabytes * 1_000_000))
            (self.folder / name / "source").write_text(f"{os.urandom(16).hex()}\n")
        (self.folder / "page.html").write_text(f"<h1>{self.commits}</h1>\n")
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--message", f"Page {self.commits}")
        # A runner's checkout is new, and by its times every layer of its files is a new one.
        for name in self.names:
            shutil.rmtree(self.folder / name)
        git(self.folder, "checkout", "--quiet", "--", ".")
