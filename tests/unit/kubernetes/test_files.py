from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support.failures import fails

from feastflow_registry.kubernetes import files
from feastflow_registry.kubernetes.files import ManifestFile, check_writable, every, find, replace
from feastflow_registry.kubernetes.workloads import LARGEST
from feastflow_registry.model.errors import Kind

TREE = (
    "k8s/a.yaml",
    "k8s/b.yml",
    "k8s/c.json",
    "k8s/README.md",
    "k8s/Kustomization",
    "k8s/.hidden.yaml",
    "k8s/.secret/x.yaml",
    "k8s/prod/d.yaml",
    "k8s/prod/eu/e.yaml",
    "k8s/prod/eu/e.yaml.tmpl",
    ".git/config.yaml",
    ".github/workflows/ci.yml",
    "odd/[x].yaml",
    "empty/README.md",
    "top.yaml",
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    top = tmp_path / "workspace"
    for name in TREE:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(f"# {name}\n")
    return top


def names(workspace: Path, *wanted: str) -> list[str]:
    return [each.name for each in find(workspace, wanted)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("top.yaml", "top.yaml"),
        ("./k8s/../top.yaml", "top.yaml"),
        ("k8s/README.md", "k8s/README.md"),
        ("k8s/.secret", "k8s/.secret/x.yaml"),
        (
            "k8s",
            "k8s/Kustomization k8s/a.yaml k8s/b.yml k8s/c.json k8s/prod/d.yaml k8s/prod/eu/e.yaml",
        ),
        ("k8s/prod/", "k8s/prod/d.yaml k8s/prod/eu/e.yaml"),
        ("k8s/*.yaml", "k8s/a.yaml"),
        ("k8s/?.y*ml", "k8s/a.yaml k8s/b.yml"),
        ("k8s/[bc].*", "k8s/b.yml k8s/c.json"),
        ("k8s/*", "k8s/Kustomization k8s/a.yaml k8s/b.yml k8s/c.json"),
        (
            "k8s/**",
            "k8s/Kustomization k8s/a.yaml k8s/b.yml k8s/c.json k8s/prod/d.yaml k8s/prod/eu/e.yaml",
        ),
        ("**/e.yaml", "k8s/prod/eu/e.yaml"),
        ("k8s/**/eu/**/*.yaml", "k8s/prod/eu/e.yaml"),
        ("**/*.tmpl", "k8s/prod/eu/e.yaml.tmpl"),
        ("*/.hidden.yaml", "k8s/.hidden.yaml"),
        (".github/**/*.yml", ".github/workflows/ci.yml"),
        ("odd/[x].yaml", "odd/[x].yaml"),
        ("k8s/../*.yaml", "top.yaml"),
        ("./k8s//./*.yaml", "k8s/a.yaml"),
    ],
)
def test_what_an_item_stands_for(workspace: Path, wanted: str, found: str) -> None:
    assert names(workspace, wanted) == found.split()


def test_each_file_is_found_once_in_the_order_of_the_items(workspace: Path) -> None:
    (workspace / "link.yaml").symlink_to("k8s/a.yaml")
    found = names(workspace, "top.yaml", "link.yaml", "k8s/*.yaml", str(workspace / "top.yaml"))
    assert found == ["top.yaml", "k8s/a.yaml"]
    (file, _) = find(workspace, ["link.yaml", "top.yaml"])
    assert file == ManifestFile("k8s/a.yaml", workspace / "k8s/a.yaml", b"# k8s/a.yaml\n")


def test_a_pattern_may_be_absolute(workspace: Path) -> None:
    assert names(workspace, f"{workspace}/k8s/**/d.yaml") == ["k8s/prod/d.yaml"]


def test_a_workspace_may_be_a_link(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(workspace)
    assert names(tmp_path / "link", "top.yaml", "k8s/*.json") == ["top.yaml", "k8s/c.json"]


def test_links_to_folders_are_followed_where_they_are_named(workspace: Path) -> None:
    (workspace / "k8s/loop").symlink_to(".")
    (workspace / "current").symlink_to("k8s/prod")
    assert "k8s/prod/d.yaml" in names(workspace, "current")
    assert names(workspace, "current/*.yaml") == ["k8s/prod/d.yaml"]
    assert len(names(workspace, "**/d.yaml")) == 1


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("topp.yaml", ("there is no 'topp.yaml'", 'Perhaps you meant "top.yaml"')),
        ("k8s/a.yml", ("there is no 'k8s/a.yml'", 'Perhaps you meant "k8s/a.yaml"')),
        ("nowhere/a.yaml", ("there is no 'nowhere/a.yaml'", "relative to the top folder")),
        ("void/a.yaml", ("there is no 'void/a.yaml'", "relative to the top folder")),
        ("k8s/*.txt", ("no file matches 'k8s/*.txt'", "** for folders")),
        ("nowhere/**", ("no file matches 'nowhere/**'",)),
        ("**/.git/*", ("no file matches",)),
        ("k8s/*/**/a.yaml", ("no file matches",)),
        ("empty", ("there is no manifest in the folder 'empty'", ".yaml, .yml, .json")),
        ("..", ("'..' lies outside", "must not lead out")),
        ("../*.yaml", ("'..' lies outside",)),
        ("../elsewhere.yaml", ("'../elsewhere.yaml' lies outside",)),
        ("../missing.yaml", ("'..' lies outside",)),
        ("/etc/passwd", ("lies outside",)),
        ("out.yaml", ("'out.yaml' lies outside",)),
        ("out/elsewhere.yaml", ("'out/elsewhere.yaml' lies outside",)),
        ("out", ("'out' lies outside",)),
        ("out/*.yaml", ("'out' lies outside",)),
        ("links/*.yaml", ("'links/out.yaml' lies outside",)),
        ("links", ("'links/out.yaml' lies outside",)),
        ("loop", ("'loop' ",)),
        (".git", ("'.git' lies outside the repository",)),
        (".git/*.yaml", ("'.git' lies outside the repository",)),
        ("k8s/*/../a.yaml", ("no file matches",)),
        ("*/..", ("no file matches",)),
        ("broken.yaml", ("'missing.yaml' is not a file",)),
        ("pipe.yaml", ("'pipe.yaml' is not a file", "Name files, folders")),
    ],
)
def test_what_cannot_be_read_is_refused(workspace: Path, item: str, words: tuple[str, ...]) -> None:
    outside = workspace.parent / "elsewhere.yaml"
    outside.write_text("a: b\n")
    (workspace / "out.yaml").symlink_to(outside)
    (workspace / "out").symlink_to(workspace.parent)
    (workspace / "loop").symlink_to("loop")
    (workspace / "broken.yaml").symlink_to("missing.yaml")
    (workspace / "links").mkdir()
    (workspace / "links/out.yaml").symlink_to(outside)
    (workspace / "void").mkdir()
    os.mkfifo(workspace / "pipe.yaml")
    with fails('input "manifests": ', *words) as caught:
        find(workspace, ["top.yaml", item, "none.yaml"])
    assert len(caught.value.problems) == 2


def test_a_file_is_read_to_the_limit_and_no_further(workspace: Path) -> None:
    (workspace / "top.yaml").write_bytes(b"#" * (LARGEST + 9))
    (file,) = find(workspace, ["top.yaml"])
    assert len(file.content) == LARGEST + 1


def test_more_files_than_a_person_means_are_refused(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MOST", 3)
    with fails("'k8s' stands for more than 3 files", "Name the folders"):
        find(workspace, ["k8s"])


def changed(workspace: Path, *wanted: str) -> list[tuple[ManifestFile, bytes]]:
    return [(each, each.content + b"new\n") for each in find(workspace, wanted)]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_files_are_replaced_with_their_modes_and_through_links(workspace: Path) -> None:
    (workspace / "k8s/a.yaml").chmod(0o640)
    (workspace / "top.yaml").chmod(0o755)
    (workspace / "link.yaml").symlink_to("k8s/a.yaml")
    before = contents(workspace)
    replace(changed(workspace, "link.yaml", "top.yaml"))
    assert (workspace / "link.yaml").is_symlink()
    wanted = {"link.yaml", "k8s/a.yaml", "top.yaml"}
    assert contents(workspace) == {
        name: each + b"new\n" * (name in wanted) for name, each in before.items()
    }
    modes = [stat.S_IMODE((workspace / each).stat().st_mode) for each in ("k8s/a.yaml", "top.yaml")]
    assert modes == [0o640, 0o755]
    replace([])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_stays_with_its_owner(workspace: Path) -> None:
    os.chown(workspace / "top.yaml", 12345, 23456)
    (workspace / "top.yaml").chmod(0o2664)
    replace(changed(workspace, "top.yaml"))
    found = (workspace / "top.yaml").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 23456, 0o2664)


def test_read_only_files_are_refused_together_before_any_is_written(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = changed(workspace, "top.yaml", "k8s/a.yaml", "k8s/b.yml", "k8s/prod/d.yaml")
    (workspace / "k8s/a.yaml").chmod(0o444)
    may = os.access

    def access(path: Path, mode: int) -> bool:
        return may(path, mode) and path.name not in ("b.yml", "prod")

    monkeypatch.setattr(os, "access", access)
    before = contents(workspace)
    with fails("chmod u+w", "a file is replaced by another") as caught:
        replace(wanted)
    assert [each.cause for each in caught.value.problems] == [
        "input \"manifests\": 'k8s/a.yaml' is read-only.",
        "input \"manifests\": 'k8s/b.yml' is read-only.",
        "input \"manifests\": the folder of 'k8s/prod/d.yaml' is read-only.",
    ]
    with fails("'k8s/a.yaml' is read-only"):
        check_writable([each for each, _ in wanted])
    assert contents(workspace) == before


def test_a_file_that_someone_else_changed_is_not_overwritten(workspace: Path) -> None:
    wanted = changed(workspace, "top.yaml", "k8s/a.yaml")
    (workspace / "k8s/a.yaml").write_text("theirs\n")
    before = contents(workspace)
    with fails(
        "k8s/a.yaml was changed by someone else", "Run the same command again", kind=Kind.CONFLICT
    ):
        replace(wanted)
    assert contents(workspace) == before


def test_a_file_that_became_a_link_out_is_not_followed(workspace: Path) -> None:
    outside = workspace.parent / "elsewhere"
    wanted = changed(workspace, "k8s/prod/d.yaml")
    (workspace / "k8s/prod").rename(outside)
    (workspace / "k8s/prod").symlink_to(outside)
    before = contents(outside)
    with fails("was changed by someone else", kind=Kind.CONFLICT):
        replace(wanted)
    assert contents(outside) == before


def test_a_file_that_is_gone_is_told(workspace: Path) -> None:
    wanted = changed(workspace, "top.yaml")
    (workspace / "top.yaml").unlink()
    with fails("top.yaml was removed by someone else", kind=Kind.CONFLICT):
        replace(wanted)


@pytest.mark.parametrize("call", ["fchmod", "fsync", "fchown"])
def test_a_full_disk_leaves_every_file_as_it_was(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    wanted = changed(workspace, "top.yaml", "k8s/a.yaml")
    before = contents(workspace)
    calls: list[int] = []

    def full(*_: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    monkeypatch.setattr(os, "getuid", lambda: -1)
    with fails("'k8s/a.yaml': No space left on device", "space on its disk", kind=Kind.BUILD):
        replace(wanted)
    assert contents(workspace) == before


def test_a_failure_half_way_says_what_was_replaced(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = changed(workspace, "top.yaml", "k8s/a.yaml", "k8s/b.yml")
    before = contents(workspace)
    real = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if target.name == "a.yaml":
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    said = "'k8s/a.yaml': Input/output error; replaced before it: top.yaml."
    with fails(said, kind=Kind.BUILD):
        replace(wanted)
    assert contents(workspace) == before | {"top.yaml": before["top.yaml"] + b"new\n"}


def test_an_interruption_leaves_no_draft(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    before = contents(workspace)
    with pytest.raises(KeyboardInterrupt):
        replace(changed(workspace, "top.yaml"))
    assert contents(workspace) == before


class TestEvery:
    """What is only read is read whole: a file that is overlooked costs an image."""

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ("top.yaml", "top.yaml"),
            (
                "k8s",
                (
                    "k8s/.hidden.yaml k8s/Kustomization k8s/README.md k8s/a.yaml k8s/b.yml "
                    "k8s/c.json k8s/.secret/x.yaml k8s/prod/d.yaml k8s/prod/eu/e.yaml "
                    "k8s/prod/eu/e.yaml.tmpl"
                ),
            ),
            (
                "k8s/*",
                "k8s/.hidden.yaml k8s/Kustomization k8s/README.md k8s/a.yaml k8s/b.yml k8s/c.json",
            ),
            ("k8s/*.yaml", "k8s/.hidden.yaml k8s/a.yaml"),
            ("k8s/prod/**", "k8s/prod/d.yaml k8s/prod/eu/e.yaml k8s/prod/eu/e.yaml.tmpl"),
            ("empty", "empty/README.md"),
        ],
    )
    def test_what_an_item_stands_for(self, workspace: Path, wanted: str, found: str) -> None:
        assert [each.name for each in every(workspace, [wanted])] == found.split()

    def test_git_is_none_of_it(self, workspace: Path) -> None:
        (workspace / "k8s" / ".git").write_text("gitdir: elsewhere\n")
        found = [each.name for each in every(workspace, ["."])]
        assert len(found) == len(TREE) - 1
        assert not any(".git/" in each or each.endswith(".git") for each in found)

    def test_links_to_folders_are_followed_and_no_file_is_there_twice(
        self, workspace: Path
    ) -> None:
        top = workspace / "overlay"
        top.mkdir()
        (top / "base").symlink_to("../k8s/prod")
        (top / "again").symlink_to("../overlay")
        (top / "file").symlink_to("../top.yaml")
        found = [each.name for each in every(workspace, ["overlay", "top.yaml"])]
        assert sorted(found) == [
            "k8s/prod/d.yaml",
            "k8s/prod/eu/e.yaml",
            "k8s/prod/eu/e.yaml.tmpl",
            "top.yaml",
        ]

    @pytest.mark.parametrize(
        "wanted",
        ["**/prod/*.yaml", "**/live/*.yaml", "**/z/d.yaml", "**/far/d*", "k8s/**/again/**/d.yaml"],
    )
    def test_a_file_is_found_by_each_of_its_names(self, workspace: Path, wanted: str) -> None:
        for link, target in (("live", "prod"), ("z", "prod"), ("prod/again", ".")):
            (workspace / "k8s" / link).symlink_to(target)
        (workspace / "far").symlink_to("k8s/live")
        found = [each.name for each in every(workspace, [wanted])]
        assert found == ["k8s/prod/d.yaml"]

    def test_what_a_pattern_is_not_for_is_left_alone(self, workspace: Path) -> None:
        (workspace / "k8s" / "prod" / "out").symlink_to("/etc")
        assert [each.name for each in every(workspace, ["k8s/*.json"])] == ["k8s/c.json"]

    @pytest.mark.no_cover
    def test_many_links_to_one_another_are_no_more_work(self, workspace: Path) -> None:
        top = workspace / "many"
        for number in range(60):
            (top / str(number)).mkdir(parents=True)
            for other in range(number, 60):
                (top / str(number) / f"to{other}").symlink_to(f"../{other}")
        (top / "59" / "values").touch()
        assert [each.name for each in every(workspace, ["many/**/to*/**/values"])] == [
            "many/59/values"
        ]

    @pytest.mark.parametrize(
        ("link", "target", "pattern", "found"),
        [
            ("z", "k8s", "k*/prod/d.yaml", "k8s/prod/d.yaml"),
            ("a", "k8s", "k*/prod/d.yaml", "k8s/prod/d.yaml"),
            ("z", "k8s", "z*/prod/d.yaml", "k8s/prod/d.yaml"),
            ("a", "k8s/prod", "**/prod/d.yaml", "k8s/prod/d.yaml"),
            ("k8s/loop", "..", "k8s/pro[d]/d.yaml", "k8s/prod/d.yaml"),
            ("k8s/loop", "..", "k8s/loo[p]/top.yaml", "top.yaml"),
        ],
    )
    def test_a_pattern_matches_whatever_name_a_link_gives_a_folder(
        self, workspace: Path, link: str, target: str, pattern: str, found: str
    ) -> None:
        (workspace / link).symlink_to(target)
        assert [each.name for each in every(workspace, [pattern])] == [found]

    def test_two_links_to_one_folder(self, workspace: Path) -> None:
        for name in ("one", "two"):
            (workspace / name).symlink_to("k8s")
        for wanted in ("on*/a.yaml", "tw*/a.yaml"):
            assert [each.name for each in every(workspace, [wanted])] == ["k8s/a.yaml"]

    def test_links_that_lead_to_each_other_end(self, workspace: Path) -> None:
        for number in range(12):
            (workspace / "k8s" / f"loop{number}").symlink_to("..")
        assert len(every(workspace, ["."])) == len(TREE) - 1

    @pytest.mark.parametrize("target", ["/etc", "/etc/hostname", "../..", "loop"])
    def test_a_link_that_leads_out(self, workspace: Path, target: str) -> None:
        (workspace / "k8s" / "loop").symlink_to(target)
        with fails("input \"manifests\": 'k8s/loop' lies outside the repository"):
            every(workspace, ["k8s"])

    def test_a_link_to_nothing(self, workspace: Path) -> None:
        (workspace / "k8s" / "old").symlink_to("gone")
        with fails("input \"manifests\": 'k8s/gone' is not a file"):
            every(workspace, ["k8s"])

    def test_an_empty_folder(self, workspace: Path) -> None:
        (workspace / "nothing").mkdir()
        with fails("input \"manifests\": there is no file in the folder 'nothing'."):
            every(workspace, ["nothing"])

    def test_a_folder_that_cannot_be_listed(
        self, workspace: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scan = os.scandir

        def refuse(path: str) -> object:
            if str(path).endswith("prod"):
                raise PermissionError(13, "Permission denied", str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", refuse)
        with fails("input \"manifests\": 'k8s/prod': Permission denied."):
            every(workspace, ["k8s"])

    def test_more_files_than_are_edited_at_once(
        self, workspace: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_MOST", 2)
        assert len(every(workspace, ["k8s"])) == 10
        with fails("stands for more than 2 files"):
            find(workspace, ["k8s"])

    def test_its_beginning(self, workspace: Path) -> None:
        (file,) = every(workspace, ["k8s/a.yaml"])
        assert (file.is_manifest, file.beginning(3)) == (True, b"# k")
