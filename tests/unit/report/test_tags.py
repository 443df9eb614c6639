from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.memory import digest_of
from support.runs import SHOP, A, B, C, commit, service

from feastflow_registry.model.history import Revision
from feastflow_registry.model.images import ListedTag, Platform
from feastflow_registry.model.marks import NOTHING
from feastflow_registry.model.references import Commit, RegistryHost, Repository, Tag
from feastflow_registry.model.services import Service
from feastflow_registry.report import tags as report
from feastflow_registry.report.summary import EMPTY
from feastflow_registry.tags.catalog import Catalog, compile_catalog
from unit.report.test_summary import rows
from unit.tags.test_catalog import HISTORY, ONE, START, TWO, listed, own

EVIL = "a | b <script> [x](y) `z`\x1b[2J\u202e ##[add-path]/evil \U0001f355"
ELSEWHERE = Service("shop", Repository(RegistryHost("localhost:5000"), "ada/shop"))


def sized(*sizes: int, subject: str = "Change", service: Service = SHOP) -> Catalog:
    """Commits of these sizes, the oldest first; `latest` is at the newest."""
    known: dict[str, Revision] = {}
    tags: list[ListedTag] = []
    for number, size in enumerate(sizes):
        each, at = commit(0x100 + number), START + timedelta(days=number)
        known[each.short] = Revision(each, len(sizes) - number, at, at, f"{subject} {number}")
        tags.append(ListedTag(Tag(own(each)), digest_of(str(number)), size, at))
    tags += [replace(tags[-1], name=Tag("latest"))] if tags else []
    return compile_catalog(service, tags, known)


class TestLines:
    def test_a_mark_that_was_taken_off_marks_nothing(self) -> None:
        tags = listed((own(A), ONE), (own(B), TWO), (f"withdrawn-{B.short}", NOTHING))
        catalog = compile_catalog(SHOP, tags, HISTORY)
        assert not any(each.withdrawn for each in catalog.entries)
        [line] = [each for each in report.lines([catalog]) if each.startswith("withdrawn-")]
        assert "mark taken off" in line

    def test_what_there_is_in_columns(self) -> None:
        tags = [
            *listed((own(A), ONE), (own(B), ONE), ("sprint3", ONE), ("frozen-sprint3", ONE)),
            *listed((own(C), TWO), (f"withdrawn-{C.short}", TWO), ("latest", ONE), ("odd", None)),
        ]
        title, *table = report.lines([compile_catalog(SHOP, tags, HISTORY)])
        assert title == f"ada/shop: 8 tags on 2 images, latest is commit 000000b ({ONE.short})"
        whose = {"c": "2025-12-31 00:00", "b": "2025-12-30 00:00", "a": "2025-12-29 00:00"}
        assert [re.split(r" {2,}", line) for line in table] == [
            ["TAG", "DIGEST", "COMMIT", "AUTHORED", "NOTE", "SUBJECT"],
            *(
                [tag, digest.short, f"000000{of}", whose[of], *note, f"Subject {'dcba'.index(of)}"]
                for tag, digest, of, *note in (
                    ("withdrawn-000000c", TWO, "c", "withdrawn; = commit-000000c"),
                    ("commit-000000c", TWO, "c", "withdrawn"),
                    ("frozen-sprint3", ONE, "b", "= latest, sprint3, commit-000000b and 1 more"),
                    ("latest", ONE, "b", "= sprint3, commit-000000b, commit-000000a"),
                    ("sprint3", ONE, "b", "final; = latest, commit-000000b, commit-000000a"),
                    (
                        *("commit-000000b", ONE, "b"),
                        "carried from 000000a; = latest, sprint3, commit-000000a",
                    ),
                    ("commit-000000a", ONE, "a", "= latest, sprint3, commit-000000b"),
                )
            ),
            ["odd", "?"],
        ]
        assert len({line.index("Subject") for line in table[1:-1]}) == 1

    def test_sizes_and_pushes_where_they_are_known(self) -> None:
        _, head, latest, _ = report.lines([sized(2_500_000)])
        assert re.split(r" {2,}", head)[2:4] == ["SIZE", "PUSHED"]
        assert re.split(r" {2,}", latest)[2:4] == ["2.5 MB", "2026-01-01 00:00"]
        assert head.index("SIZE") + 4 == latest.index("2.5 MB") + 6

    @pytest.mark.parametrize(
        ("tags", "said"),
        [
            ([("v1", ONE)], "1 tag on 1 image, no latest"),
            ([("latest", None)], "1 tag on 0 images, latest is an image of no commit tag"),
            (
                [("latest", ONE)],
                f"1 tag on 1 image, latest is an image of no commit tag ({ONE.short})",
            ),
        ],
    )
    def test_where_latest_points(self, tags: list[tuple[str, object]], said: str) -> None:
        head, *_ = report.lines([compile_catalog(SHOP, listed(*tags), {})])
        assert head == f"ada/shop: {said}"

    def test_services_stand_apart_and_an_empty_one_is_left_out(self) -> None:
        one = compile_catalog(SHOP, listed(("v1", ONE)), {})
        lines = report.lines([one, compile_catalog(SHOP, [], {}), one])
        assert [index for index, line in enumerate(lines) if not line] == [3]
        assert len(lines) == 7

    @pytest.mark.parametrize(("given", "shown"), [(58, f"{'x' * 58} 0"), (59, f"{'x' * 59}…")])
    def test_a_long_subject_is_cut(self, given: int, shown: str) -> None:
        *_, line = report.lines([sized(1, subject="x" * given)])
        assert line.endswith(f"  {shown}")

    def test_a_part_is_no_image(self) -> None:
        tags = listed((f"{own(A)}.linux-arm64", ONE), (own(B), TWO))
        lines = report.lines([compile_catalog(SHOP, tags, HISTORY)])
        assert ["part of an image" in line for line in lines[2:]] == [False, True]


def test_rows_fit_a_terminal() -> None:
    whole = report.lines([sized(1000, 2000, subject="Show the prices of all that is on the menu")])
    for width in (40, 60, 80, 100, 120):
        lines = report.lines(
            [sized(1000, 2000, subject="Show the prices of all that is on the menu")], width
        )
        assert max(map(len, lines[1:4])) < width
        assert lines[2].split()[:2] == whole[2].split()[:2]


def test_what_is_worth_least_is_left_out_first() -> None:
    catalog = sized(1000, 2000, subject="Show the prices of all that is on the menu")
    heads = {width: report.lines([catalog], width)[1].split() for width in (40, 60, 80, 120, 160)}
    assert heads == {
        40: ["TAG", "DIGEST", "COMMIT"],
        60: ["TAG", "DIGEST", "COMMIT", "NOTE"],
        80: ["TAG", "DIGEST", "PUSHED", "COMMIT", "NOTE"],
        120: ["TAG", "DIGEST", "SIZE", "PUSHED", "COMMIT", "AUTHORED", "NOTE"],
        160: ["TAG", "DIGEST", "SIZE", "PUSHED", "COMMIT", "AUTHORED", "NOTE", "SUBJECT"],
    }


def test_where_no_digest_is_known_none_is_shown() -> None:
    catalog = compile_catalog(SHOP, listed(("latest", None)), {})
    assert report.lines([catalog], whole=True)[2].split() == ["latest", "?"]
    assert json.loads(report.json([catalog]))["services"][0]["latest"] is None


@pytest.mark.parametrize("width", [0, 30, 80, 200])
def test_a_whole_digest_is_never_cut(width: int) -> None:
    catalog = sized(1000, 2000)
    rows = report.lines([catalog], width, whole=True)[2:4]
    found = [row.split()[1] for row in rows]
    assert found == [str(each.digest) for each in catalog.entries[:2]]


class TestChart:
    def test_the_oldest_first_with_the_least_and_the_most(self) -> None:
        *_, line = report.lines([sized(10_000, 11_000, 15_000, 17_000)])
        assert line == "size of 4 commits, oldest first: ▅▅▇█ 10.0 kB to 17.0 kB"

    def test_where_it_doubled(self) -> None:
        *_, chart, line = report.lines([sized(1000, 1999, 3998, 4000)])
        assert chart == "size of 4 commits, oldest first: ▂▄██ 1.0 kB to 4.0 kB"
        assert line == "commit 0000102 made it 2.0 times as large: 2.0 kB to 4.0 kB"

    @pytest.mark.parametrize("sizes", [(1000,), (1000, 1000), (1000, 1199, 1100)])
    def test_none_where_the_size_hardly_changed(self, sizes: tuple[int, ...]) -> None:
        assert not any("size of" in line for line in report.lines([sized(*sizes)]))

    def test_history_orders_them_and_not_the_last_push(self) -> None:
        tags = [
            ListedTag(Tag(own(A)), ONE, 1000, START + timedelta(days=1)),
            ListedTag(Tag(own(B)), TWO, 8000, START),
        ]
        assert any("▁█" in line for line in report.lines([compile_catalog(SHOP, tags, HISTORY)]))
        assert any("█▁" in line for line in report.lines([compile_catalog(SHOP, tags, {})]))

    def test_what_has_no_place_in_time_is_not_in_it(self) -> None:
        tags = [ListedTag(Tag(own(A)), ONE, 1000), ListedTag(Tag(own(B)), TWO, 8000)]
        assert not any(
            "size of" in line for line in report.lines([compile_catalog(SHOP, tags, {})])
        )

    def test_only_the_newest_fit(self) -> None:
        *_, line = report.lines([sized(1, *[1000] * 59, 1200)])
        assert line == f"size of 60 commits, oldest first: {'▇' * 59}█ 1.0 kB to 1.2 kB"

    @pytest.mark.parametrize("sizes", [(), (1,), (1, 0)])
    def test_none_of_less_than_two(self, sizes: tuple[int, ...]) -> None:
        assert not any("oldest first" in line for line in report.lines([sized(*sizes)]))
        assert "mermaid" not in report.markdown([sized(*sizes)])


class TestJson:
    def test_all_that_is_known(self) -> None:
        moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        platform = (Platform("linux", "arm64", "v8"),)
        tags = [
            *listed((own(A), ONE), days=[-9]),
            ListedTag(Tag(own(B)), ONE, 7, moment, platforms=platform),
            ListedTag(Tag("v1"), None),
        ]
        found = json.loads(report.json([compile_catalog(SHOP, tags, HISTORY)]))
        (service,) = found["services"]
        assert {**service, "tags": []} == {
            "service": "shop",
            "repository": "ada/shop",
            "latest": None,
            "tags": [],
            "images": {str(ONE): ["commit-000000b", "commit-000000a"]},
        }
        assert found["command"] == "tags"
        assert service["tags"][0] == {
            "tag": "commit-000000b",
            "digest": str(ONE),
            "size": 7,
            "pushed": "2026-01-02T03:04:05Z",
            "platforms": ["linux/arm64/v8"],
            "commit": B.sha,
            "subject": "Subject 2",
            "authored": "2025-12-30T00:00:00Z",
            "withdrawn": False,
            "carried_from": "000000a",
            "final": False,
            "part": False,
        }
        empty = {"size", "pushed", "digest", "commit", "subject", "authored", "carried_from"}
        assert {key for key, value in service["tags"][2].items() if value is None} == empty

    def test_where_latest_points(self) -> None:
        (service,) = json.loads(report.json([sized(1, 2)]))["services"]
        assert service["latest"] == str(digest_of("1"))


class TestMarkdown:
    def test_the_table_first_and_then_a_small_chart(self) -> None:
        found = report.markdown([sized(1_000_000, 3_000_000)])
        head, *lines = found.split("\n")
        assert head == f"### ✅ {report.lines([sized(1_000_000, 3_000_000)])[0]}"
        assert lines[1] == "| tag | digest | size | date | commit | note |"
        page = "https://hub.docker.com/r/ada/shop/tags?name=commit-0000100"
        assert lines[5] == (
            f"| [<code>commit-0000100</code>]({page}) | <code>{digest_of('0').short}</code> "
            f"| 1.0&nbsp;MB | 2026-01-01 00:00 | <code>0000100</code> Change 0 | {EMPTY} |"
        )
        assert lines[7].startswith("- ⚠️ shop: commit 0000101 made it 3.0 times as large")
        chart = found.partition("```mermaid\n")[2].partition("\n```")[0].split("\n")
        assert chart[1:] == [
            "xychart-beta",
            '    title "shop"',
            '    x-axis ["0000100", "0000101"]',
            '    y-axis "MB" 0 --> 3.300000',
            "    bar [1.000000, 3.000000]",
        ]
        look = json.loads(chart[0].removeprefix("%%{init: ").removesuffix("}%%"))["xyChart"]
        assert (look["width"], look["height"]) == (700, 200)

    @pytest.mark.parametrize(
        ("sizes", "charted"),
        [((1000, 1199), False), ((1000, 1200), True), ((1200, 1000), True), ((1000,), False)],
    )
    def test_a_chart_only_where_the_size_changed_by_a_fifth(
        self, sizes: tuple[int, ...], charted: bool
    ) -> None:
        assert ("mermaid" in report.markdown([sized(*sizes)])) is charted

    def test_the_chart_shows_the_newest_thirty(self) -> None:
        found = report.markdown([sized(*range(1000, 6000, 100))])
        assert "x-axis [" in found
        assert found.partition("x-axis ")[2].partition("]")[0].count(",") == 29
        assert '["0000114", ' in found

    def test_one_chart_for_all_services_that_changed(self) -> None:
        """They share the commits that all of them have."""
        names = ("one", "two", "same")
        sizes = ((1000, 2000, 3000), (9000, 5000), (7, 7, 7))
        each = [sized(*of, service=service(name)) for name, of in zip(names, sizes, strict=True)]
        found = report.markdown(each)
        assert found.count("```mermaid") == 1
        assert 'title "one blue, two orange"' in found
        assert 'x-axis ["0000100", "0000101"]' in found
        assert "line [0.001000, 0.002000]\n    line [0.009000, 0.005000]" in found

    @pytest.mark.parametrize("one", [A, commit(0x101)])
    def test_services_without_two_commits_in_common_have_no_chart(self, one: Commit) -> None:
        other = listed((own(one), ONE), (own(B), TWO), days=[0, 1])
        tags = [replace(e, size=s) for e, s in zip(other, (1000, 5000), strict=True)]
        found = report.markdown([sized(1000, 2000), compile_catalog(service("two"), tags, HISTORY)])
        assert "mermaid" not in found

    def test_where_no_push_is_told_the_date_is_its_commits(self) -> None:
        found = report.markdown([compile_catalog(SHOP, listed((own(A), ONE)), HISTORY)])
        assert rows(found)[0][2] == "2025-12-29 00:00"
        pushed = compile_catalog(SHOP, listed((own(A), ONE), days=[9]), HISTORY)
        assert rows(report.markdown([pushed]))[0][2] == "2026-01-10 00:00"

    def test_several_services_have_an_overview_first(self) -> None:
        none = compile_catalog(service("none"), [], {})
        odd = compile_catalog(service("odd"), listed(("latest", None)), {})
        plain = compile_catalog(service("plain"), listed(("v1", ONE)), {})
        alone = compile_catalog(service("alone"), listed(("latest", ONE)), {})
        found = report.markdown([sized(1000, 2000), none, odd, plain, alone])
        assert found.startswith("### ✅ 6 tags of 4 services\n\n| service | tags | images |")
        page = "https://hub.docker.com/r/ada"
        assert rows(found) == [
            [f"[shop]({page}/shop)", "3", "2", "<code>0000101</code>", "2.0&nbsp;kB"],
            [f"[odd]({page}/odd)", "1", "0", EMPTY, EMPTY],
            [f"[plain]({page}/plain)", "1", "1", EMPTY, EMPTY],
            [f"[alone]({page}/alone)", "1", "1", f"<code>{ONE.short}</code>", EMPTY],
        ]
        assert found.count("<details>") == 5
        assert "- ada/none holds no tags" in found

    def test_where_there_is_no_page(self) -> None:
        assert "| <code>latest</code> |" in report.markdown([sized(1, service=ELSEWHERE)])

    def test_what_is_known_of_a_tag_of_no_commit(self) -> None:
        found = report.markdown([compile_catalog(SHOP, listed(("odd", None)), {})])
        assert "| tag | digest |\n" in found
        assert found.endswith("| <code>?</code> |\n\n")

    def test_an_empty_repository(self) -> None:
        found = report.markdown([compile_catalog(SHOP, [], {})])
        nothing = report.nothing(compile_catalog(SHOP, [], {}))
        assert found == f"### ✅ No tags\n\n- {nothing}\n\n"
        assert "ada/shop holds no tags" in found

    def test_a_hostile_subject_breaks_nothing(self) -> None:
        *_, row = report.markdown([sized(1, subject=EVIL)]).strip().split("\n")
        assert re.sub(r"</?code>|\[<code>.*?\)", "", row).count("|") == 7
        assert not set("\x1b\u202e`") & set(row)
        assert "<script>" not in row

    @pytest.mark.no_cover
    def test_it_fits_into_a_summary(self) -> None:
        each = [sized(*[1000] * 1000, subject="|" * 500, service=service(name)) for name in "abcd"]
        found = report.markdown(each)
        assert len(found.encode()) < 1024 * 1024
        rows = found.count("| [<code>commit-")
        (more,) = {int(each) for each in re.findall(r"and (\d+) more, in the log", found)}
        assert rows + 4 + 4 * more == 4 * 1001
