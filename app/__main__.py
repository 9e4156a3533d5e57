"""The command `tarmac`, for example `tarmac serve` or `tarmac push`. `python -m app` is the same."""

from __future__ import annotations

import sys

from app.cli.parser import parse
from app.errors import ErrorOrigin, TarmacError

CANCELLED = 130  # as in a shell, for a program that Ctrl-C ended


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status.

    0: success; 1: something failed; 2: the command cannot be carried out as given."""
    parsed = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        status: int = parsed.run(parsed)
    except TarmacError as error:
        print(f"tarmac: {error.code}: {error}", file=sys.stderr)
        return 2 if error.origin is ErrorOrigin.REQUEST else 1
    except KeyboardInterrupt:
        print("tarmac: cancelled", file=sys.stderr)
        return CANCELLED
    except BrokenPipeError:  # `tarmac inspect x.tar | head` is not an error
        sys.stderr.close()
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
