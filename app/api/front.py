"""`/`: what this is and where to go on. Plain HTML: it has to work in whatever browser stands at the ingest station."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from app import __version__

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tarmac</title>
<h1>Tarmac</h1>
<p>Where image tarballs land: send a container image archive, and every image in it is pushed to the registry.</p>
<pre>curl -F archive=@x.tar {base}push</pre>
<ul>
<li><a href="docs">Documentation of the API</a></li>
<li><a href="jobs">Jobs</a></li>
<li><a href="registries">Registries</a></li>
</ul>
<p>Version {version}</p>
</html>
"""


@router.head("/")
@router.get("/")
async def show_front(request: Request) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(base=escape(str(request.base_url)), version=__version__))
