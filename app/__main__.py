"""The command `tarmac`: serve | push | inspect | version. `python -m app` is the same."""

from __future__ import annotations

import sys

from app.cli.parser import parse


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status: 0 all went well, 1 something failed, 2 the command cannot be carried out as
    it was given."""
    parsed = parse(sys.argv[1:] if arguments is None else arguments)
    status: int = parsed.run(parsed)
    return status


if __name__ == "__main__":
    sys.exit(main())
