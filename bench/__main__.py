"""`python -m bench`: measures, prints tables, and with --json writes every figure to a file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench import (
    cache,
    jobs,
    mirror,
    planning,
    promote,
    prune,
    publish,
    services,
    start,
    table,
    tags,
)
from bench.machine import BenchError, Machine
from bench.measure import Alternative, Result, alternate

Plans = Mapping[str, Callable[[], Sequence[Alternative]]]

ONE_IMAGE = ("first", "next", "again")
COLD = ("six-first", "six-one")
WARM = ("six-one-cached", "six-none", "six-again")
JOBS = ("job-first", "job-next", "job-again")
START, PLAN = "start", "plan"
PROMOTE, TAGS, PRUNE = "promote", "tags", "prune"
SECOND, CACHE = "second", "cache"
SCENARIOS = (*ONE_IMAGE, *COLD, *WARM, START, PLAN, CACHE, SECOND, PROMOTE, TAGS, PRUNE, *JOBS)
DELAYS = (0, 80)
"""Milliseconds that every request is made to take longer."""
ROUNDS = 5
LONG = {TAGS: 1, PRUNE: 1}
"""The rounds of what takes minutes a round, unless it is told otherwise."""
ACTIONS = "FEASTFLOW_BENCH_ACTIONS"
_ABOUT = {
    "first": "{}, all of it new",
    "next": "{}, one layer new",
    "again": "{}, published already",
    "six-first": "{}, all of it new, nothing cached",
    "six-one": "{}, one of them new, nothing cached",
    "six-one-cached": "{}, one of them new, the others cached",
    "six-none": "{}, none of them new, all cached",
    "six-again": "{}, published already",
    "cache": "{}, one layer new",
    "second": "{}, published, on a second registry",
    "start": "importing the program, Python itself not counted",
    "plan": "a dry run in memory: no start-up, no network, no engine",
}


def main() -> int:
    """Measure; 0 unless something could not be measured."""
    options = _parse()
    found: list[Result] = []
    try:
        with Machine() as machine:
            for result in _measure(machine, options):
                print("\n".join(["", *table.lines(result)]), flush=True)
                found.append(result)
            bars = table.chart([each for each in found if each.scenario in JOBS])
            print("\n".join(["", *bars]), flush=True)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if options.json:
            options.json.write_text(json.dumps(_document(options, found), indent=1) + "\n")
    return 0


def _measure(machine: Machine, options: argparse.Namespace) -> Iterator[Result]:
    size, layers = options.megabytes, options.layers
    wanted = [each for each in SCENARIOS if each in options.scenarios]
    if programs := [each for each in wanted if each in ONE_IMAGE]:
        with publish.sides(machine, size, layers) as (buildx, ours):
            ours.run()  # What is done again has to be done once.
            plans: Plans = {
                "first": lambda: publish.first(buildx, ours, layers),
                "next": lambda: publish.first(buildx, ours, 1),
                "again": lambda: publish.again(buildx, ours),
            }
            yield from _results(plans, programs, options)
    for names, cached in ((COLD, False), (WARM, True)):
        if several := [each for each in wanted if each in names]:
            with services.sides(machine, options.service_megabytes, cached=cached) as all_sides:
                plans = {
                    "six-first": lambda: services.first(all_sides),
                    "six-one": lambda: services.one(all_sides),
                    "six-one-cached": lambda: services.one(all_sides),
                    "six-none": lambda: services.none(all_sides),
                    "six-again": lambda: services.again(all_sides),
                }
                yield from _results(plans, several, options)
    if START in wanted:
        with start.starts() as importers:
            yield from _results({START: lambda: importers}, [START], options)
    if PLAN in wanted:
        with planning.plans(machine) as planners:
            yield from _results({PLAN: lambda: planners}, [PLAN], options)
    if CACHE in wanted:
        with cache.builds(machine, size, layers) as alternatives:
            yield from _results({CACHE: lambda: alternatives}, [CACHE], options)
    yield from _afterwards(machine, wanted, options)
    whole_jobs = [each for each in wanted if each in JOBS]
    reason = jobs.missing(options.docker_actions)
    if whole_jobs and reason:
        print(f"\nLeft out: {', '.join(whole_jobs)}. {reason}; see bench/README.md.", flush=True)
    elif whole_jobs:
        with jobs.sides(machine, options.docker_actions, size, layers) as sides:
            plans = {
                "job-first": lambda: jobs.first(sides, layers),
                "job-next": lambda: jobs.first(sides, 1),
                "job-again": lambda: jobs.again(sides),
            }
            yield from _results(plans, whole_jobs, options)


def _afterwards(
    machine: Machine, wanted: Sequence[str], options: argparse.Namespace
) -> Iterator[Result]:
    """What is done with images that are published."""
    if SECOND in wanted:
        with mirror.registries(machine, options.megabytes, options.layers) as alternatives:
            yield from _results({SECOND: lambda: alternatives}, [SECOND], options)
    if PROMOTE in wanted:
        size, layers = options.megabytes, options.layers
        with promote.promotions(machine, size, layers) as promotions:
            for count in promote.COUNTS:
                tagged = f"{count} {'tag' if count == 1 else 'tags'}"
                about = f"{tagged} of an image of {size} MB in {layers} layers"
                yield from _delayed(machine, PROMOTE, about, promotions(count), options)
    if TAGS in wanted:
        with tags.listings(machine) as listings:
            for about, alternatives in listings.items():
                yield from _delayed(machine, TAGS, about, alternatives, options)
    if PRUNE in wanted:
        with prune.prunings(machine) as prunings:
            about = f"{prune.COUNT:,} tags"
            yield from _delayed(machine, PRUNE, about, prunings, options, warm=True)


def _delayed(
    machine: Machine,
    name: str,
    about: str,
    alternatives: Sequence[Alternative],
    options: argparse.Namespace,
    *,
    warm: bool = False,
) -> Iterator[Result]:
    """The same beside the registry and far from it, where the memory is no other."""
    for delay in DELAYS:
        if delay:
            alternatives = [replace(each, memory=None) for each in alternatives]
        with machine.delayed(delay):
            what = f"{about}, {delay} ms a request"
            rounds = options.rounds or LONG.get(name, ROUNDS)
            found = alternate(name, what, alternatives, rounds=rounds, say=_say, warm=warm)
        yield found


def _results(plans: Plans, names: Sequence[str], options: argparse.Namespace) -> Iterator[Result]:
    for name in names:
        about, rounds = _about(name, options), options.rounds or ROUNDS
        yield alternate(name, about, plans[name](), rounds=rounds, say=_say)


def _about(name: str, options: argparse.Namespace) -> str:
    size = f"{options.megabytes} MB in {options.layers} layers"
    if name not in (*ONE_IMAGE, *JOBS, SECOND, CACHE):
        size = f"{services.SERVICES} services of {options.service_megabytes} MB"
    whole = "a whole job under act, " if name in JOBS else ""
    return whole + _ABOUT[name.removeprefix("job-")].format(size)


def _document(options: argparse.Namespace, found: Sequence[Result]) -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
        "rounds": options.rounds,
        "megabytes": options.megabytes,
        "layers": options.layers,
        "service_megabytes": options.service_megabytes,
        "results": [each.as_json() for each in found],
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        default=SCENARIOS,
        help=f"some of {', '.join(SCENARIOS)} (default: all)",
    )
    parser.add_argument(
        "--rounds", type=int, help=f"timed rounds (default: {ROUNDS}; of {' and '.join(LONG)}: 1)"
    )
    parser.add_argument("--megabytes", type=int, default=100, help="the image (default: 100)")
    parser.add_argument("--layers", type=int, default=6, help="its layers (default: 6)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where every figure goes")
    parser.add_argument(
        "--service-megabytes", type=int, default=8, help="one of six services (default: 8)"
    )
    folder = os.environ.get(ACTIONS)
    parser.add_argument(
        "--docker-actions",
        type=Path,
        metavar="FOLDER",
        default=Path(folder) if folder else None,
        help=f"checkouts of Docker's four actions (default: the variable {ACTIONS})",
    )
    options = parser.parse_args()
    unknown = [each for each in options.scenarios if each not in SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]!r}: {', '.join(SCENARIOS)}")
    if (options.rounds is not None and options.rounds < 1) or options.layers < 1:
        parser.error("there is at least one round and one layer")
    return options


if __name__ == "__main__":
    sys.exit(main())
