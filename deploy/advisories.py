"""Compare a lock with a database of advisories, without a network.

    python deploy/advisories.py DATABASE [LOCK ...]

DATABASE: advisories in the OSV format: a JSON file, a ZIP of them as osv.dev offers it for PyPI, or a directory of JSON
or YAML files such as a checkout of pypa/advisory-database. LOCK: requirements files with `name==version`; if none is
given, those of the repository.

Exit status 0: no package has a known advisory. 1: some have; each is a line. 2: the database or a lock cannot be used.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
LOCKS = (ROOT / "requirements.lock", ROOT / "deploy" / "requirements.lock")
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)")
_EVENTS = ("introduced", "fixed", "last_affected")
OK, FOUND, UNUSABLE = 0, 1, 2


class Unusable(Exception):
    """The database or a lock says nothing that could be relied on."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    package: str
    version: str
    advisory: str
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        remedy = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no version has it fixed"
        return f"{self.package} {self.version}: {self.advisory}; {remedy}"


def pins(files: Iterable[Path]) -> Mapping[str, set[str]]:
    """Return the versions of each package. Raises Unusable."""
    found: dict[str, set[str]] = {}
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise Unusable(f"{file}: {error}") from None
        pinned = [match for line in lines if (match := _PIN.match(line))]
        if not pinned:
            raise Unusable(f"{file}: no line is name==version")
        for match in pinned:
            found.setdefault(canonicalize_name(match[1]), set()).add(match[2])
    return found


def advisories(database: Path) -> Iterator[Mapping[str, Any]]:
    """Yield every advisory. Raises Unusable."""
    count = 0
    for name, raw in _files(database):
        try:
            document = json.loads(raw) if name.endswith(".json") else yaml.load(raw, Loader=yaml.CSafeLoader)
        except (ValueError, yaml.YAMLError) as error:
            raise Unusable(f"{database}: {name} cannot be read: {error}") from None
        for advisory in document if isinstance(document, list) else [document]:
            if not isinstance(advisory, dict) or not isinstance(advisory.get("id"), str):
                raise Unusable(f"{database}: {name} is no advisory in the OSV format")
            count += 1
            yield advisory
    if not count:
        raise Unusable(f"{database}: there is no advisory in it")


def _files(database: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if zipfile.is_zipfile(database):
            with zipfile.ZipFile(database) as archive:
                for name in archive.namelist():
                    if name.endswith(".json"):
                        yield name, archive.read(name)
        elif database.is_dir():
            for file in sorted(database.rglob("*")):
                parts = file.relative_to(database).parts
                if file.suffix in {".json", ".yaml", ".yml"} and not any(part.startswith(".") for part in parts):
                    yield file.name, file.read_bytes()
        else:
            yield database.name, database.read_bytes()
    except (OSError, zipfile.BadZipFile) as error:
        raise Unusable(f"{database}: {error}") from None


def findings(packages: Mapping[str, set[str]], known: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    for advisory in known:
        if advisory.get("withdrawn"):
            continue
        for affected in advisory.get("affected") or ():
            package = affected.get("package") or {}
            name = canonicalize_name(str(package.get("name", "")))
            if package.get("ecosystem") != "PyPI" or name not in packages:
                continue
            names = ", ".join([advisory["id"], *map(str, advisory.get("aliases") or ())])
            for version in packages[name]:
                if is_affected(version, affected):
                    yield Finding(name, version, names, tuple(_fixes(affected)))


def is_affected(text: str, affected: Mapping[str, Any]) -> bool:
    """As OSV evaluates it: by the list of versions, or by one of the ranges. A version that cannot be compared is."""
    try:
        version = Version(text)
        if any(_same(version, str(other)) for other in affected.get("versions") or ()):
            return True
        return any(_is_within(version, events) for events in _ranges(affected))
    except InvalidVersion:
        return True


def _same(version: Version, other: str) -> bool:
    try:
        return version == Version(other)
    except InvalidVersion:  # of a release before PEP 440
        return False


def _ranges(affected: Mapping[str, Any]) -> Iterator[list[Mapping[str, Any]]]:
    for span in affected.get("ranges") or ():
        if span.get("type") in {"ECOSYSTEM", "SEMVER"}:
            yield span.get("events") or []


def _is_within(version: Version, events: Iterable[Mapping[str, Any]]) -> bool:
    ordered = sorted((_at(text), kind) for event in events for kind, text in event.items() if kind in _EVENTS)
    within = False
    for at, kind in ordered:
        if kind == "introduced" and version >= at:
            within = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            within = False
    return within


def _at(text: Any) -> Version:
    return Version("0.dev0") if str(text) == "0" else Version(str(text))


def _fixes(affected: Mapping[str, Any]) -> Iterator[str]:
    for events in _ranges(affected):
        yield from (str(event["fixed"]) for event in events if "fixed" in event)


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return UNUSABLE
    try:
        packages = pins([Path(text) for text in arguments[1:]] or LOCKS)
        found = sorted(set(findings(packages, advisories(Path(arguments[0])))))
    except Unusable as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    for finding in found:
        print(finding)
    print(f"{len(packages)} packages, {len(found)} with a known advisory", file=sys.stderr)
    return FOUND if found else OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
