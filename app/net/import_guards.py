"""What httpx and httpcore would load and we never use: said to be absent before they look for it."""

from __future__ import annotations

import sys
from importlib.util import find_spec

# httpx's own command line: click, rich and pygments, a tenth of a second of every start; httpx does without it
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

# httpcore imports sniffio at each of its locks, and Python looks for what is not installed in every directory each
# time: nearly half of what a request cost.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]
