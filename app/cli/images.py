"""`tarmac images`: list, show, delete, prune and copy the images of the image store. May run beside the service."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from app.cli.display import printable
from app.cli.options import push_options_from, settings_from
from app.cli.push import PushCommand, run_push
from app.config.settings import DEFAULT_REGISTRY, Settings
from app.config.types import parse_age
from app.errors import InvalidRequest, MalformedArchive, NotFound
from app.oci import Digest
from app.registry.oci_layout.catalog import CatalogImage, CatalogRepository
from app.registry.oci_layout.collection import Collected, Scope
from app.registry.oci_layout.documents import collected_document, repository_document
from app.registry.oci_layout.export import open_layout
from app.registry.oci_layout.image_store import Deletion, ImageStore
from app.registry.oci_layout.reachability import RetentionRule
from app.registry.oci_layout.registry import LayoutRegistry
from app.telemetry.logging import configure_logging

_DIGITS = 19  # of a digest that is printed: the algorithm, and 12 digits


def run(arguments: argparse.Namespace) -> int:
    settings = settings_from(arguments)
    configure_logging("warning", text=True)
    store = _store(settings)
    if arguments.action == "copy":
        return _copy(arguments, settings, store)
    lines, document = asyncio.run(_ACTIONS[arguments.action](store, arguments))
    if arguments.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        for line in lines:
            print(printable(line))
    return 0


def _store(settings: Settings) -> ImageStore:
    """Return the store of the data directory. Raises NotFound: a command creates none."""
    folder = settings.data_dir / "images"
    if not (folder / "index.json").is_file():
        raise NotFound(f"there is no image store in {folder}; pass --data-dir")
    return ImageStore(LayoutRegistry(folder))


async def _list(store: ImageStore, arguments: argparse.Namespace) -> tuple[Iterator[str], Any]:
    found = await store.repositories(_everything)
    wanted = arguments.names or [""]
    chosen = [
        (repository, [image for image in repository.images if _matches(repository, image, wanted)])
        for repository in found
    ]
    usage = await store.usage()
    document = {
        "size": usage.size,
        "repositories": [
            repository_document(repository, images, len(images), ()) for repository, images in chosen if images
        ],
    }

    def lines() -> Iterator[str]:
        for repository, images in chosen:
            yield from (_line(repository.name, image) for image in images)
        yield f"{usage.repositories} repositories, {_size(usage.size)}"

    return lines(), document


async def _show(store: ImageStore, arguments: argparse.Namespace) -> tuple[Iterator[str], Any]:
    (name,) = _names(arguments, "show REPOSITORY or REPOSITORY:TAG")
    deletion = _parsed(name)
    repository = await store.repository(deletion.repository, _everything)
    images = [
        image
        for image in repository.images
        if deletion.tag in {None, image.tag} and deletion.digest in {None, image.digest}
    ]
    if not images:
        raise NotFound(f"{name} is not in the image store")

    def lines() -> Iterator[str]:
        yield f"{repository.name}: {_size(repository.size)}, {_size(repository.shared_size)} shared with others"
        for image in images:
            yield _line(repository.name, image)
            yield f"    {image.digest}  {image.media_type}  pushed {_time(image.pushed_at)}"

    return lines(), repository_document(repository, images, len(images), ())


async def _delete(store: ImageStore, arguments: argparse.Namespace) -> tuple[Iterator[str], Any]:
    deletions = [_parsed(name) for name in _names(arguments, "delete REPOSITORY:TAG…", several=True)]
    for deletion in deletions:
        is_whole = deletion.tag is None and deletion.digest is None
        if is_whole != bool(arguments.all):
            raise InvalidRequest("give REPOSITORY:TAG or REPOSITORY@DIGEST, or a repository with --all")
    found = Collected()
    for deletion in deletions:
        more = await store.delete(deletion)
        found = Collected(
            found.entries + more.entries,
            found.blobs + more.blobs,
            found.freed_bytes + more.freed_bytes,
            found.in_use_bytes + more.in_use_bytes,
        )
    return _collected(found), collected_document(found)


async def _prune(store: ImageStore, arguments: argparse.Namespace) -> tuple[Iterator[str], Any]:
    rule = RetentionRule(_seconds(arguments.older_than), _count(arguments.keep_tags))
    found = await store.prune(rule, Scope(_everything, is_whole=True, dry_run=arguments.dry_run))
    return _collected(found), collected_document(found, dry_run=arguments.dry_run)


def _copy(arguments: argparse.Namespace, settings: Settings, store: ImageStore) -> int:
    if arguments.to is None and arguments.registry_url is None:
        raise InvalidRequest("name a configured registry with --to, or give its address with --registry-url")
    arguments.images = arguments.names or None
    command = PushCommand(
        files=(),
        options=push_options_from(arguments),
        checksum=None,
        registry=arguments.to or DEFAULT_REGISTRY,
        settings=settings,
        open_store=partial(open_layout, store.registry),
    )
    return run_push(command, as_json=arguments.json)


_ACTIONS: dict[str, Callable[..., Any]] = {"list": _list, "show": _show, "delete": _delete, "prune": _prune}


def _names(arguments: argparse.Namespace, usage: str, *, several: bool = False) -> list[str]:
    names: list[str] = arguments.names
    if not names or (len(names) > 1 and not several):
        raise InvalidRequest(f"usage: tarmac images {usage}")
    return names


def _parsed(name: str) -> Deletion:
    """Parse REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST. Raises InvalidRequest."""
    repository, at, digest = name.partition("@")
    if at:
        try:
            return Deletion(repository, digest=Digest.parse(digest))
        except MalformedArchive as error:
            raise InvalidRequest(f"{name!r:.300} has an invalid digest: {error}") from None
    repository, _, tag = name.partition(":")
    return Deletion(repository, tag or None)


def _everything(_: str) -> bool:
    return True


def _matches(repository: CatalogRepository, image: CatalogImage, wanted: list[str]) -> bool:
    return any(text in f"{repository.name}:{image.tag or ''}" or text in str(image.digest) for text in wanted)


def _line(repository: str, image: CatalogImage) -> str:
    name = f"{repository}:{image.tag}" if image.tag else f"{repository}@{str(image.digest)[:_DIGITS]}"
    mark = "" if image.is_kept else "  (the next prune deletes it)"
    return f"{name:<50} {str(image.digest)[:_DIGITS]}  {_size(image.size):>10}  {', '.join(image.platforms)}{mark}"


def _collected(found: Collected) -> Iterator[str]:
    for entry in found.entries:
        yield f"{entry.repository}:{entry.tag}" if entry.tag else f"{entry.repository}@{entry.digest}"
    used = f"; {_size(found.in_use_bytes)} are in use by pushes and pulls" if found.in_use_bytes else ""
    yield f"{found.tags} tags, {found.manifests} manifests, {found.blobs} blobs, {_size(found.freed_bytes)}{used}"


def _seconds(age: str | None) -> float | None:
    try:
        seconds = None if age is None else parse_age(age)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"--older-than {error}") from None
    return seconds.total_seconds() if isinstance(seconds, timedelta) else None


def _count(text: str | None) -> int | None:
    if text is not None and not (text.isascii() and text.isdigit()):
        raise InvalidRequest("--keep-tags must be a whole number from 0")
    return None if text is None else int(text)


def _size(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
