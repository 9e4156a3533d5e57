"""Ends with 0 where the service in this container answers /healthz. Container engines run it inside, see Containerfile.

Where to ask it takes from the environment, as the image sets it. It goes through no proxy, whatever the environment
says, and looks at no certificate: whose it is, is not what is asked here.
"""

from __future__ import annotations

import os
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection

SECONDS = 2
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on, and where that is reached


def connection() -> HTTPConnection:
    host, port = os.environ["TARMAC_HOST"], int(os.environ["TARMAC_PORT"])
    host = EVERYWHERE.get(host, host)
    if not os.environ.get("TARMAC_TLS_CERT"):
        return HTTPConnection(host, port, timeout=SECONDS)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=SECONDS, context=context)


def answers() -> bool:
    asked = connection()
    try:
        if os.environ.get("TARMAC_TLS_CLIENT_CA"):
            asked.connect()  # the handshake is the sign of life: there is no certificate here to be let in with
            return True
        asked.request("GET", "/healthz")
        return asked.getresponse().status == 200
    except (OSError, HTTPException):
        return False


sys.exit(0 if answers() else 1)
