"""`tarmac check`: report whether the configured registries can be used and pushed to, and why not."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from app.bootstrap.registries import ActiveRegistry, configured_registries
from app.cli.options import settings_from
from app.config.settings import Settings
from app.errors import RegistryError, UnknownRegistry
from app.oci import parse_repository
from app.registry.distribution.probe import CHECK_SECONDS, RegistryReport, probe_with_timeout
from app.registry.distribution.push_right import PROBE, PushRight


@dataclass(frozen=True, slots=True)
class Usable:
    """What a usable registry reports about itself and the account."""

    examination: RegistryReport
    right: PushRight


Outcomes = Mapping[str, tuple[str, Usable | RegistryError]]


def run(arguments: argparse.Namespace) -> int:
    repository = parse_repository(arguments.repository or PROBE)
    outcomes = asyncio.run(_check(settings_from(arguments), arguments.name, repository))
    if arguments.json:
        print(json.dumps([_document(name, *found) for name, found in outcomes.items()], indent=2, ensure_ascii=False))
    else:
        for name, found in outcomes.items():
            print(_line(name, *found))
    return 1 if any(isinstance(found, RegistryError) for _, found in outcomes.values()) else 0


async def _check(settings: Settings, name: str | None, repository: str) -> Outcomes:
    """Check one registry or all. Raises UnknownRegistry."""
    async with configured_registries(settings) as opened:
        if name is not None and name not in opened:
            raise UnknownRegistry(f"no registry is called {name!r:.80}; there are: {', '.join(sorted(opened))}")
        chosen = opened if name is None else {name: opened[name]}
        async with asyncio.TaskGroup() as group:
            tasks = {each: group.create_task(_look_at(registry, repository)) for each, registry in chosen.items()}
        return {each: (chosen[each].configured.url, task.result()) for each, task in tasks.items()}


async def _look_at(registry: ActiveRegistry, repository: str) -> Usable | RegistryError:
    url = registry.configured.url
    found = await probe_with_timeout(url, registry.check, CHECK_SECONDS)
    if isinstance(found, RegistryError):
        return found
    right = await probe_with_timeout(url, lambda: registry.check_push(repository), CHECK_SECONDS)
    return right if isinstance(right, RegistryError) else Usable(found, right)


def _line(name: str, url: str, found: Usable | RegistryError) -> str:
    if isinstance(found, RegistryError):
        return f"{name}: {url} cannot be used: {found.code}: {found}"
    seen, right = found.examination, found.right
    words = [f"authentication {seen.authentication}, {'with credentials' if seen.authenticated else 'anonymously'}"]
    words += [f"may push to {right.repository}"] if right.push else [f"right to push not known: {right.remark}"]
    words += [f"referrers {'yes' if seen.referrers else 'no'}"] if seen.referrers is not None else []
    words += filter(None, (seen.api, seen.software))
    return f"{name}: {url} is ready at {seen.address} ({'; '.join(words)})"


def _document(name: str, url: str, found: Usable | RegistryError) -> dict[str, object]:
    if isinstance(found, RegistryError):
        problem = {"code": found.code, "title": found.title, "detail": str(found), "retryable": found.retryable}
        return {"name": name, "url": url, "reachable": False, "problem": problem, "details": None}
    details = {**asdict(found.examination), **asdict(found.right)}
    return {"name": name, "url": url, "reachable": True, "problem": None, "details": details}
