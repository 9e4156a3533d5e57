"""IndexRoot: one entry of index.json that names a manifest, and the annotations that Tarmac writes into it. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from app.errors import MalformedArchive
from app.oci import Descriptor, Digest, parse_repository, parse_tag
from app.oci.media_types import (
    ANNOTATION_BY_DIGEST,
    ANNOTATION_HELD,
    ANNOTATION_JOB,
    ANNOTATION_PUSHED,
    ANNOTATION_REF_NAME,
    ANNOTATION_REPOSITORY,
    ANNOTATION_SUBJECT,
    is_manifest,
)

STAMP_SECONDS = 60  # a push again within this time does not write index.json again
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class PushStamp:
    """When a manifest was pushed, in seconds since 1970, and by which job ("" if by none)."""

    at: int
    job: str = ""


@dataclass(frozen=True, slots=True)
class IndexRoot:
    """A manifest named in index.json.

    `text` is its entry as JSON, stored so that writing the file is one join. `held` is the optional content that its
    repository has; None if the content of the entry has not been checked yet.
    `by_digest`: whether it is kept without a tag; None if an older version or another tool wrote the entry.
    """

    media_type: str
    digest: Digest
    size: int
    subject: Digest | None
    text: str
    held: frozenset[Digest] | None = None
    stamp: PushStamp | None = None
    by_digest: bool | None = None

    @classmethod
    def of(
        cls,
        manifest: tuple[Descriptor, Digest | None],
        name: tuple[str, str | None],
        held: Collection[Digest] | None = None,
        stamp: PushStamp | None = None,
    ) -> IndexRoot:
        """Return the entry of `manifest` (with the digest of its subject) under `name` (repository, and tag if any)."""
        descriptor, subject = manifest
        annotations = _name_annotations(*name) | ({ANNOTATION_SUBJECT: str(subject)} if subject else {})
        entry = {
            "mediaType": descriptor.media_type,
            "digest": str(descriptor.digest),
            "size": descriptor.size,
            "annotations": annotations,
        }
        root = cls(descriptor.media_type, descriptor.digest, descriptor.size, subject, dump(entry))
        root = root if stamp is None else root.stamped(stamp)
        return root if held is None else root.marked(held)

    def marked(self, held: Collection[Digest]) -> IndexRoot:
        """Return the same entry, marked as checked and with `held` as its optional content."""
        return replace(
            self._annotated({ANNOTATION_HELD: " ".join(sorted(map(str, held)))}),
            held=frozenset(held),
        )

    def stamped(self, stamp: PushStamp) -> IndexRoot:
        """Return the same entry with the time and the job of its last push."""
        pushed = datetime.fromtimestamp(stamp.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        job = {ANNOTATION_JOB: stamp.job} if stamp.job else {}
        return replace(self._annotated({ANNOTATION_PUSHED: pushed, **job}), stamp=stamp)

    def has_stamp_of(self, stamp: PushStamp) -> bool:
        """Return whether the entry says so already, to STAMP_SECONDS."""
        if self.stamp is None or (stamp.job and stamp.job != self.stamp.job):
            return False
        return abs(stamp.at - self.stamp.at) < STAMP_SECONDS

    def kept_by_digest(self, kept: bool) -> IndexRoot:
        """Return the same entry, kept without a tag or not."""
        return replace(self._annotated({ANNOTATION_BY_DIGEST: "true" if kept else "false"}), by_digest=kept)

    def _annotated(self, more: dict[str, str]) -> IndexRoot:
        entry = json.loads(self.text)
        return replace(self, text=dump({**entry, "annotations": {**(entry.get("annotations") or {}), **more}}))

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


def _name_annotations(repository: str, tag: str | None) -> dict[str, str]:
    return {ANNOTATION_REPOSITORY: repository} if tag is None else {ANNOTATION_REF_NAME: f"{repository}:{tag}"}


def read_entry(entry: object, text: str) -> tuple[str, str, IndexRoot]:
    """Return the repository of an entry, its tag (its digest, if it has none) and the entry itself. Raises
    MalformedArchive, InvalidReference.
    """
    descriptor = Descriptor.parse(entry, "an entry of index.json")
    if not is_manifest(descriptor.media_type):  # the image-spec permits entries of any type
        raise MalformedArchive(f"{descriptor.media_type} is not a manifest")
    annotations = descriptor.annotations
    subject = annotations.get(ANNOTATION_SUBJECT)
    held = annotations.get(ANNOTATION_HELD)
    root = IndexRoot(
        descriptor.media_type,
        descriptor.digest,
        descriptor.size,
        Digest.parse(subject) if subject is not None else None,
        text,
        None if held is None else frozenset(map(Digest.parse, held.split())),
        _stamp_of(annotations.get(ANNOTATION_PUSHED), annotations.get(ANNOTATION_JOB, "")),
        _FLAGS.get(annotations.get(ANNOTATION_BY_DIGEST, "")),
    )
    name = annotations.get(ANNOTATION_REF_NAME)
    if name is None:
        return parse_repository(annotations.get(ANNOTATION_REPOSITORY, "")), str(root.digest), root
    repository, _, tag = name.rpartition(":")
    return parse_repository(repository), parse_tag(tag), root


def _stamp_of(pushed: str | None, job: str) -> PushStamp | None:
    try:
        return None if pushed is None else PushStamp(int(datetime.fromisoformat(pushed).timestamp()), job)
    except (ValueError, OverflowError):
        return None


def dump(members: object) -> str:
    """Return compact JSON."""
    return json.dumps(members, separators=(",", ":"))
