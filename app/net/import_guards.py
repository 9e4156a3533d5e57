"""Block modules that httpx and httpcore would import although Tarmac never uses them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

# httpx's own command line imports click, rich and pygments, a tenth of a second of every start; httpx works without it
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

# httpcore imports sniffio at each of its locks. Python searches every directory for a missing module each time, which
# was nearly half of the cost of a request.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]
