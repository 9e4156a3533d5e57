"""`python -m tests.soak [--rounds N] [--seed N] [SCENARIO …]`: 0 where nothing was lost."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from tests.soak import Orders, Report

SCENARIOS = ("kills", "stages", "syscalls", "resume", "bad_line", "cancels", "replicas", "store")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; all if left out")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    reports: list[Report] = []
    for name in arguments.scenario or SCENARIOS:
        scenario = importlib.import_module(f"tests.soak.{name}")
        reports.append(scenario.run(Orders(arguments.rounds, arguments.seed)))
        print("\n".join(reports[-1].lines()), flush=True)
    return 1 if any(report.losses for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
