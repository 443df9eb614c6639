"""`python -m bench`: measures, prints tables, and with --json writes every figure to a file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import jobs, publish, table
from bench.machine import BenchError, Machine
from bench.measure import Alternative, Result, alternate

Plans = Mapping[str, Callable[[], Sequence[Alternative]]]

SCENARIOS = ("first", "next", "again", "job-first", "job-next", "job-again")
ACTIONS = "FEASTFLOW_BENCH_ACTIONS"


def main() -> int:
    """Measure; 0 unless something could not be measured."""
    options = _parse()
    found: list[Result] = []
    try:
        with Machine() as machine:
            for result in _measure(machine, options):
                print("\n".join(["", *table.lines(result)]), flush=True)
                found.append(result)
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
    programs = [each for each in wanted if not each.startswith("job-")]
    whole_jobs = [each for each in wanted if each.startswith("job-")]
    if programs:
        with publish.sides(machine, size, layers) as (buildx, ours):
            ours.run()  # What is done again has to be done once.
            plans: Plans = {
                "first": lambda: publish.first(buildx, ours, layers),
                "next": lambda: publish.first(buildx, ours, 1),
                "again": lambda: publish.again(buildx, ours),
            }
            yield from _results(plans, programs, options)
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


def _results(plans: Plans, names: Sequence[str], options: argparse.Namespace) -> Iterator[Result]:
    for name in names:
        yield alternate(name, _about(name, options), plans[name](), rounds=options.rounds, say=_say)


def _about(name: str, options: argparse.Namespace) -> str:
    size = f"{options.megabytes} MB in {options.layers} layers"
    what = {"first": "all of it new", "next": "one layer new", "again": "published already"}
    job, _, kind = name.rpartition("-")
    return f"{'a whole job under act, ' if job else ''}{size}, {what[kind]}"


def _document(options: argparse.Namespace, found: Sequence[Result]) -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
        "rounds": options.rounds,
        "megabytes": options.megabytes,
        "layers": options.layers,
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
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default: 5)")
    parser.add_argument("--megabytes", type=int, default=100, help="the image (default: 100)")
    parser.add_argument("--layers", type=int, default=6, help="its layers (default: 6)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where every figure goes")
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
    if options.rounds < 1 or options.layers < 1:
        parser.error("there is at least one round and one layer")
    return options


if __name__ == "__main__":
    sys.exit(main())
