"""A network of one's own for tests that dial addresses which must not be dialled elsewhere: a namespace whose only
device is its loopback, holding those addresses, and an /etc/hosts of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.peers import ASKED, REQUIRED, peer

ROOT = Path(__file__).parents[2]
_SET_UP = """
set -e
ip link set lo up
for each in $ADDRESSES
do case $each in *:*) ip -6 addr add $each/128 dev lo nodad;; *) ip addr add $each/32 dev lo;; esac
done
mount --bind "$HOSTS" /etc/hosts
exec "$@"
"""


def run_in_namespace(module: str, folder: Path, addresses: tuple[str, ...], names: dict[str, tuple[str, ...]]) -> str:
    """What `python -m module` prints there. Skipped where no namespace can be made, and failed where peers are
    required."""
    unshare = [peer("unshare"), "--net", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    peer("ip")
    made = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        words = f"no network namespace can be made here ({made.stderr.strip()}); run as root or allow user namespaces"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{words} ({ASKED}=1)", pytrace=False)
        pytest.skip(words)
    hosts = folder / "hosts"
    lines = [
        "127.0.0.1 localhost",
        "::1 localhost",
        *(f"{each} {name}" for name, found in names.items() for each in found),
    ]
    hosts.write_text("\n".join(lines) + "\n")
    environ = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "HOSTS": str(hosts), "ADDRESSES": " ".join(addresses)}
    command = [*unshare, "sh", "-c", _SET_UP, "sh", sys.executable, "-m", module]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
