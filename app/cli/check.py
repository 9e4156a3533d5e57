"""`tarmac check`: whether the configured registries can be used now, and why not."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict

from app.cli.options import settings_of
from app.destinations import OpenRegistry, configured_registries
from app.errors import RegistryError, UnknownRegistry
from app.registry.examination import CHECK_SECONDS, Examination, outcome
from app.settings import Settings

Outcomes = Mapping[str, tuple[str, Examination | RegistryError]]


def run(arguments: argparse.Namespace) -> int:
    outcomes = asyncio.run(_check(settings_of(arguments), arguments.name))
    if arguments.json:
        print(json.dumps([_document(name, *found) for name, found in outcomes.items()], indent=2, ensure_ascii=False))
    else:
        for name, found in outcomes.items():
            print(_line(name, *found))
    return 1 if any(isinstance(found, RegistryError) for _, found in outcomes.values()) else 0


async def _check(settings: Settings, name: str | None) -> Outcomes:
    """Raises UnknownRegistry."""
    async with configured_registries(settings) as opened:
        if name is not None and name not in opened:
            raise UnknownRegistry(f"no registry is called {name!r:.80}; there are: {', '.join(sorted(opened))}")
        chosen = opened if name is None else {name: opened[name]}
        async with asyncio.TaskGroup() as group:
            tasks = {each: group.create_task(_look_at(registry)) for each, registry in chosen.items()}
        return {each: (chosen[each].configured.url, task.result()) for each, task in tasks.items()}


async def _look_at(registry: OpenRegistry) -> Examination | RegistryError:
    return await outcome(registry.configured.url, registry.check, CHECK_SECONDS)


def _line(name: str, url: str, found: Examination | RegistryError) -> str:
    if isinstance(found, RegistryError):
        return f"{name}: {url} cannot be used: {found.code}: {found}"
    who = "with credentials" if found.authenticated else "anonymously"
    words = [f"authentication {found.authentication}, {who}"]
    words += [f"referrers {'yes' if found.referrers else 'no'}"] if found.referrers is not None else []
    words += filter(None, (found.api, found.software))
    return f"{name}: {url} is ready at {found.address} ({'; '.join(words)})"


def _document(name: str, url: str, found: Examination | RegistryError) -> dict[str, object]:
    if isinstance(found, RegistryError):
        problem = {"code": found.code, "title": found.title, "detail": str(found), "retryable": found.retryable}
        return {"name": name, "url": url, "reachable": False, "problem": problem, "details": None}
    return {"name": name, "url": url, "reachable": True, "problem": None, "details": asdict(found)}
