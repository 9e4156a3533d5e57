"""`python -m tests.fuzz [--seconds N] [target …]`: every target in turn, N seconds each. Exits 1 where one breaks."""

from __future__ import annotations

import argparse
import time
import traceback

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.fuzz.targets import TARGETS, Target

BATCH = 500
SETTINGS = settings(
    max_examples=BATCH,
    deadline=None,
    database=DirectoryBasedExampleDatabase(".hypothesis/fuzz"),
    suppress_health_check=list(HealthCheck),
    phases=(Phase.reuse, Phase.generate, Phase.shrink),
    verbosity=Verbosity.normal,
    print_blob=False,
)


def fuzz(name: str, target: Target, seconds: float) -> bool:
    """Batches of new seeds until the time is over; whether all held."""
    runs, end = 0, time.monotonic() + seconds
    first = time.time_ns()
    while not runs or time.monotonic() < end:
        batch = seed(first + runs)(SETTINGS(given(target.inputs)(target.check)))
        try:
            batch()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            traceback.print_exception(error)
            print(f"{name}: broken, seed {first + runs}", flush=True)
            return False
        runs += 1
    print(f"{name}: {runs * BATCH} inputs in {seconds:.0f} s, nothing found", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each target (60)")
    parser.add_argument(
        "targets", nargs="*", choices=[[], *TARGETS], help=f"of {', '.join(TARGETS)}; all where none is named"
    )
    options = parser.parse_args()
    held = [fuzz(name, TARGETS[name], options.seconds) for name in options.targets or TARGETS]
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
