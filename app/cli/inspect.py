"""`tarmac inspect`: show what archives contain and where their images would be pushed. Contacts no registry."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from app.archive import DEFAULT_LIMITS, Archive, TarIndex, index_file
from app.archive.sizes import size_of
from app.bootstrap.embedded import open_destinations
from app.cli.archive_loader import ArchiveLoader, path_of
from app.cli.display import make_display, printable
from app.cli.options import push_options_from, settings_from
from app.config.settings import DEFAULT_REGISTRY, Settings
from app.errors import ErrorOrigin, TarmacError
from app.jobs.model import JobArchive, plain_problem
from app.jobs.registries import pick_registry
from app.push import Destination, PushOptions, make_plan
from app.push.plan.completeness import with_faults
from app.push.plan.format_check import ArchiveLabels
from app.push.plan.image_content import image_identity
from app.push.plan.open_archives import ArchiveSet, join_storage_parts
from app.push.plan.planning import edit_archives
from app.push.report.inspection import inspect
from app.spool import OpenFile, Spool, SpooledFile
from app.spool.disk import DiskSpool
from app.telemetry.logging import configure_logging


@dataclass(frozen=True, slots=True)
class InspectedArchive:
    """An archive that was opened, or the error that prevented it."""

    name: str
    taken: JobArchive | None = None
    archive: Archive | None = None
    edited: Archive | None = None  # what the options leave of it
    file: OpenFile | None = None
    inspection: Mapping[str, Any] = field(default_factory=dict)
    error: TarmacError | None = None


def run(arguments: argparse.Namespace) -> int:
    configure_logging("warning", text=True)
    options, settings = push_options_from(arguments), settings_from(arguments)
    with tempfile.TemporaryDirectory(prefix="tarmac-") as folder:
        asked = settings.model_copy(update={"data_dir": Path(folder)})
        registry = arguments.registry or DEFAULT_REGISTRY
        found, destination = asyncio.run(_find(arguments.files, asked, registry, options))
    document, archive_is_bad = _document(found, options, destination)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(map(printable, _text(document))))
    return int(archive_is_bad)


async def _find(
    files: Sequence[str], settings: Settings, registry: str, options: PushOptions
) -> tuple[list[InspectedArchive], Destination]:
    """Return the destination. Raises UnknownRegistry. Sends nothing to a registry and leaves no file."""
    async with AsyncExitStack() as stack:
        registries = await stack.enter_async_context(open_destinations(settings))
        destination = pick_registry(registries, registry).destination
        display = stack.enter_context(make_display(sys.stderr))
        spool = DiskSpool(settings.data_dir / "spool")
        taker = ArchiveLoader(spool, stack, display.received, may_be_cut=options.keep_going)
        taken = [await _take(file, taker) for file in await taker.join_split_files(files)]
        return await asyncio.to_thread(_understood, taken, spool, options), destination


async def _take(file: str | SpooledFile, taker: ArchiveLoader) -> InspectedArchive:
    try:
        taken = await taker.load(file)
        return InspectedArchive(taken.name, taken)
    except TarmacError as error:
        return InspectedArchive(path_of(file), error=error)


def _understood(taken: Sequence[InspectedArchive], spool: Spool, options: PushOptions) -> list[InspectedArchive]:
    """Open the files together, as a job would, and return each with its archive or its error."""
    with ExitStack() as stack:
        indexed = [_indexed(found, spool, stack, options) for found in taken]
        good = [item for item in indexed if not isinstance(item, InspectedArchive)]
        together = join_storage_parts([item.index for item in good], [item.file for item in good], DEFAULT_LIMITS)
        numbers = count()
        opened = [
            item if isinstance(item, InspectedArchive) else _opened(item.found, together, next(numbers))
            for item in indexed
        ]
        return list(_inspected(opened, options))


@dataclass(frozen=True, slots=True)
class _Indexed:
    found: InspectedArchive
    index: TarIndex
    file: OpenFile


def _indexed(
    found: InspectedArchive, spool: Spool, stack: ExitStack, options: PushOptions
) -> _Indexed | InspectedArchive:
    if found.taken is None:
        return found
    assert found.taken.file is not None
    try:
        file = spool.open(found.taken.file)
        stack.callback(file.close)
        index = index_file(file, file.size, may_be_cut=options.keep_going)
        if found.taken.problem is not None and not index.cut:
            index = replace(index, ended=False, cut=found.taken.problem.detail)
        return _Indexed(found, index, file)
    except TarmacError as error:
        return replace(found, error=error)


def _opened(found: InspectedArchive, together: ArchiveSet, number: int) -> InspectedArchive:
    try:
        return replace(found, archive=together.open(number, DEFAULT_LIMITS), file=together.files[number])
    except TarmacError as error:
        return replace(found, error=error)


def _inspected(found: Sequence[InspectedArchive], options: PushOptions) -> Iterator[InspectedArchive]:
    """Yield the archives as a push would have them, if the options fit them."""
    archives = [item.archive for item in found if item.archive is not None]
    try:
        edited = iter(edit_archives(archives, options, ArchiveLabels(1)))
    except TarmacError:
        edited = map(with_faults, archives)
    for item in found:
        if item.archive is None or item.file is None:
            yield item
            continue
        archive = next(edited)
        yield replace(item, edited=archive, inspection=inspect(archive, item.file))


def _document(
    found: Sequence[InspectedArchive], options: PushOptions, destination: Destination
) -> tuple[dict[str, Any], bool]:
    """Return the document, and whether an archive is bad. A missing name does not make an archive bad."""
    problem, places = _places(found, options, destination)
    errors = [found_item.error for found_item in found if found_item.error is not None] + ([problem] if problem else [])
    members = {
        "archives": [_archive(found_item, places) for found_item in found],
        "problem": problem and dict(plain_problem(problem.problem)),
    }
    bad = any(error.origin is ErrorOrigin.ARCHIVE for error in errors)
    bad = bad or any(item.error is not None or _has_fault(item.edited) for item in found)
    return members, bad


def _has_fault(archive: Archive | None) -> bool:
    if archive is None:
        return False
    faults = (archive.fault, *(image.fault for image in archive.images))
    return any(fault is not None and fault.error.origin is ErrorOrigin.ARCHIVE for fault in faults)


Places = Mapping[object, tuple[str, ...]]  # the destinations of an image, by its identity


def _places(
    found: Sequence[InspectedArchive], options: PushOptions, destination: Destination
) -> tuple[TarmacError | None, Places]:
    """Return the destinations of all images. If the whole cannot be planned, plan each image alone."""
    names = [found_item.name for found_item in found if found_item.archive is not None]
    archives = [found_item.archive for found_item in found if found_item.archive is not None]
    try:
        return None, _planned(archives, options, destination, names)
    except TarmacError as error:
        places: dict[object, tuple[str, ...]] = {}
        plain = PushOptions(prefix=options.prefix)
        for archive in archives:
            for entry in archive.images:
                places.update(_alone(replace(archive, images=(entry,)), plain, destination))
        return error, places


def _alone(archive: Archive, options: PushOptions, destination: Destination) -> Places:
    try:
        return _planned([archive], options, destination)
    except TarmacError:
        return {}


def _planned(
    archives: Sequence[Archive], options: PushOptions, destination: Destination, names: Sequence[str] = ()
) -> Places:
    images = make_plan(archives, options, destination, names).images
    return {image_identity(image.entry): tuple(map(str, image.destinations)) for image in images}


def _archive(found: InspectedArchive, places: Places) -> dict[str, Any]:
    if found.edited is None or found.taken is None:
        return {"name": found.name, "problem": found.error and dict(plain_problem(found.error.problem))}
    taken = found.taken
    images = zip(found.inspection["images"], found.edited.images, strict=True)
    fault = found.edited.fault
    return {
        "name": found.name,
        "size": taken.size,
        "digest": taken.digest and str(taken.digest),
        "compression": str(taken.compression),
        **found.inspection,
        "images": [{**image, "destinations": list(places.get(image_identity(entry), ()))} for image, entry in images],
        "problem": fault and dict(plain_problem(fault.error.problem)),
    }


def _text(document: Mapping[str, Any]) -> Iterator[str]:
    for archive in document["archives"]:
        if archive["problem"]:
            yield f"{archive['name']}: {archive['problem']['code']}: {archive['problem']['detail']}"
        if "images" not in archive:
            continue
        wrapped = "" if archive["compression"] == "none" else f" in {archive['compression']}"
        yield f"{archive['name']}: {archive['format']}{wrapped}, {size_of(archive['size'])} ({archive['why']})"
        yield from ([f"  written by {archive['producer']}"] if archive["producer"] else [])
        for image in archive["images"]:
            yield from _image_text(image)
        if archive["images"] and archive["to_send"] is not None:
            yield f"  {size_of(archive['to_send'])} to send where the registry has nothing of it"
        yield from (f"  note: {text}" for text in archive["notices"])
    if document["problem"]:
        yield f"{document['problem']['code']}: {document['problem']['detail']}"


_STORED = {"none": "plain tar"}


def _image_text(image: Mapping[str, Any]) -> Iterator[str]:
    names = ", ".join(image["names"]) or "(no name)"
    yield f"  {names}"
    if image["problem"]:
        yield f"    not whole: {image['problem']['code']}: {image['problem']['detail']}"
    yield from (f"    -> {destination}" for destination in image["destinations"])
    platforms = ", ".join(image["platforms"]) or "no platform"
    yield f"    {image['digest'] or 'config ' + image['config']}  {platforms}"
    created = f", created {image['created']}" if image["created"] else ""
    layers = f"{len(image['layers'])} layer{'' if len(image['layers']) == 1 else 's'}"
    to_send = "" if image["to_send"] is None else f", {size_of(image['to_send'])} to send"
    yield f"    {layers}, {size_of(image['size'])}{to_send}{created}"
    for layer in image["layers"]:
        stored = _STORED.get(layer["stored"], layer["stored"])
        yield f"      {layer['digest'] or layer['diff_id']}  {size_of(layer['size']):>9}  {stored}"
    yield from (f"    referrer {digest}" for digest in image["referrers"])
    yield from (f"    attached {tag}" for tag in image["attached"])
    yield from (f"    {item['kind']} {item['type']} {item['platform'] or ''}".rstrip() for item in image["evidence"])
