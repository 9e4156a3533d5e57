"""The documents of the contract in the OpenAPI document. They describe; `Job.document` creates them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.api.problems import PROBLEM_JSON, status_by_code
from app.push.options import FORMATS


class ProblemDocument(BaseModel):
    """RFC 9457, with a stable `code`. Also the `problem` of a job and of an image."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What happened, where, and what to do about it.")
    code: str = Field(json_schema_extra={"enum": [*sorted(status_by_code())]})
    retryable: bool
    help: str = Field(description="Address of the guide's page about errors, at the row of this code.")


class ArchiveDocument(BaseModel):
    name: str
    path: str | None = Field(description="Below its root or watched folder, or as a form has it.")
    source: Literal["upload", "path", "watch", "store"]
    size: int = Field(description="Bytes, as sent; of an upload that broke off, those that came.")
    digest: str | None = Field(description="Of the archive as sent.")
    format: str | None = Field(json_schema_extra={"enum": [*FORMATS, None]})
    compression: Literal["none", "gzip", "zstd", "xz", "bzip2"] | None
    problem: ProblemDocument | None = Field(
        default=None,
        description="Why it cannot be read, or where it breaks off, if the others are pushed all the same.",
    )


class TargetDocument(BaseModel):
    name: str | None = Field(description="As the archive has it; null if several names lead to this destination.")
    destination: str


class ImageDocument(BaseModel):
    index: int = Field(description="Of all images of the job, from 0.")
    archive: str
    names: list[str] = Field(description="As the archive has them.")
    destinations: list[str]
    targets: list[TargetDocument] = Field(description="Each of `destinations`, with the name that leads to it.")
    digest: str | None = Field(description="Of the image's root manifest at the registry.")
    source_digest: str | None = Field(
        description="By which `rename` and `images` select it: of its root, or of its config in a docker archive."
    )
    media_type: str | None
    platforms: list[str]
    state: Literal["pending", "pushing", "pushed", "already_present", "skipped", "planned", "failed", "cancelled"]
    problem: ProblemDocument | None


class BlobProgressDocument(BaseModel):
    repository: str
    digest: str = Field(description="Of the content in the archive: the DiffID of a docker archive's layer.")
    bytes_done: int
    bytes_total: int


class ProgressDocument(BaseModel):
    bytes_received: int
    bytes_expected: int | None
    bytes_total: int
    bytes_done: int
    bytes_sent: int = Field(
        description="Payload of blobs that the registry read for this job, at every attempt, resent bytes again; "
        "without manifests."
    )
    blobs_total: int
    blobs_done: int
    blobs_reused: int = Field(description="Those that the registry had: they were not sent for this job.")
    images_total: int
    images_done: int = Field(description="Those that have ended, whichever way.")
    images_pushed: int
    images_present: int = Field(description="The registry had them already under their names.")
    images_skipped: int = Field(description="Another image has the name and stays, as was asked for.")
    images_failed: int
    percent: float = Field(description="Never goes down, whichever replica is asked, at every attempt.")
    bytes_per_second: int
    eta_seconds: float | None


class WaitingForDocument(BaseModel):
    """A registry that does not answer."""

    registry: str = Field(description="Name of the configured registry.")
    since: str = Field(json_schema_extra={"format": "date-time"}, description="When the first request failed.")
    attempts: int = Field(description="Requests that have failed since then.")
    last_error: str = Field(description="Code and message of the latest failure.")
    next_at: str | None = Field(
        json_schema_extra={"format": "date-time"}, description="When the next request follows; null: it is under way."
    )


class LayerInspection(BaseModel):
    digest: str | None = Field(description="Null for a layer of a docker archive, which is compressed on its way.")
    diff_id: str | None
    size: int
    stored: str = Field(description="Media type, or the compression within a docker archive.")


class EvidenceInspection(BaseModel):
    kind: Literal["signature", "sbom", "attestation", "other"]
    type: str = Field(description="The predicate, the artifactType or the tag that says what it is.")
    platform: str | None = Field(description="Of what it is about, where that is one of several.")
    digest: str


class ImageInspection(BaseModel):
    names: list[str]
    digest: str | None
    config: str | None = Field(description="Digest of the config, where the manifest has to be made.")
    media_type: str | None
    platforms: list[str]
    created: str | None = Field(description="As its config says.")
    size: int = Field(description="Of its layers, as they lie in the archive.")
    layers: list[LayerInspection]
    referrers: list[str]
    attached: list[str] = Field(description="Tags of what hangs on it, such as signatures of cosign.")
    evidence: list[EvidenceInspection] = Field(
        default=[], description="Signatures, lists of what is in it, attestations; at most 200."
    )
    to_send: int | None = Field(default=None, description="Bytes to be sent for it and for no image before it.")
    at_registry: int | None = Field(default=None, description="Bytes of it that the registry has.")


class ArchiveInspection(BaseModel):
    format: str
    why: str = Field(description="What in the archive tells its format.")
    producer: str = Field(description="The program that wrote it; empty where nothing tells.")
    to_send: int | None = Field(default=None, description="Bytes to be sent for all its images.")
    at_registry: int | None = Field(default=None, description="Bytes of its images that the registry has.")
    images: list[ImageInspection]
    notices: list[str]


class OptionsDocument(BaseModel):
    """The options of a push as they were understood."""

    tag: str | None
    rename: list[list[str]] = Field(description="Pairs of embedded name and `repo:tag`.")
    prefix: str
    images: list[str]
    platforms: list[str]
    layer_compression: Literal["gzip", "zstd", "none"]
    format: str | None
    dry_run: bool
    on_existing_tag: str
    media_types: str
    allow_missing: bool
    keep_going: bool
    verify: str | None = Field(description="Null: as the settings of the registry say.")


class LinksDocument(BaseModel):
    """Paths of the service, below its base path."""

    self: str
    events: str
    images: str
    cancel: str | None = Field(description="Null if the job has ended.")
    retry: str | None = Field(description="Null if the job cannot be tried again.")
    delivery: str | None


class JobDocument(BaseModel):
    id: str
    state: Literal["receiving", "queued", "running", "succeeded", "failed", "cancelled"]
    revision: int = Field(description="Counts the changes of the job that were stored.")
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"}, description="When the latest change was stored.")
    started_at: str | None = Field(json_schema_extra={"format": "date-time"})
    finished_at: str | None = Field(json_schema_extra={"format": "date-time"})
    next_attempt_at: str | None = Field(
        json_schema_extra={"format": "date-time"},
        description="Of a queued job that waits for its registry: when it is tried again; `problem` says why.",
    )
    waiting_for: WaitingForDocument | None = Field(
        description="While requests to the registry fail and are sent again, and while the job waits for it in the "
        "queue; null as soon as one request succeeds."
    )
    attempt: int
    priority: int = Field(description="Of the jobs that wait, those with the highest run first.")
    labels: dict[str, str]
    registry: str
    submitted_by: str | None = Field(description="Name of the token that sent it; null where none was needed.")
    delivery: str | None = Field(description="Id of the delivery it belongs to.")
    dry_run: bool = Field(description="Nothing is pushed: it says what would be.")
    options: OptionsDocument
    archives: list[ArchiveDocument] = Field(description="The first of them, 512 KiB at the most.")
    archives_total: int = Field(description="How many archives the job has.")
    images: list[ImageDocument] = Field(
        description="The first 1,000 of them, or the first MiB. `progress.images_total` counts all, and "
        "`GET /jobs/{id}/images` has them. Empty in a list of jobs."
    )
    progress: ProgressDocument
    blobs_under_way: list[BlobProgressDocument] = Field(description="What a running job is sending at the moment.")
    notices: list[str] = Field(description="200 at the most, and one that says whether there are more.")
    inspection: list[ArchiveInspection] | None = Field(
        default=None, description="Of a dry run: each archive, in order. Null in a list of jobs."
    )
    problem: ProblemDocument | None
    links: LinksDocument


class JobProblemDocument(ProblemDocument):
    """The problem of a request, with the failed job."""

    job: JobDocument | None = None


class JobPage(BaseModel):
    jobs: list[JobDocument]
    next_cursor: str | None


class ImagePageDocument(BaseModel):
    images: list[ImageDocument]
    images_total: int = Field(description="How many images the job has.")
    next_cursor: str | None = Field(description="Null on the last page.")


class JobImageEvent(BaseModel):
    """The data of the event `image`."""

    index: int = Field(description="Of all images of the job, from 0.")
    state: Literal["pending", "pushing", "pushed", "already_present", "skipped", "planned", "failed", "cancelled"]
    problem: ProblemDocument | None
    digest: str | None = Field(description="Of the image's root manifest at the registry.")


class JobEndEvent(BaseModel):
    """The data of the event `end`."""

    id: str
    state: Literal["succeeded", "failed", "cancelled"]


class RegistryDetails(BaseModel):
    """What a usable registry reports about itself."""

    address: str = Field(description="Scheme, host and port that answered.")
    authentication: str = Field(description="`none`, `basic` or `bearer`.")
    authenticated: bool = Field(description="With credentials, which were accepted.")
    api: str | None = Field(description="Its `Docker-Distribution-API-Version`.")
    software: str | None = Field(description="Its `Server`, as far as it tells.")
    referrers: bool | None = Field(description="Whether it has the referrers API; null where it does not tell.")


class RegistryDocument(BaseModel):
    name: str
    url: str | None = Field(default=None, description="Null for a token that is bound to repositories.")
    reachable: bool
    problem: ProblemDocument | None = Field(default=None, description="Why it cannot be used now.")
    details: RegistryDetails | None = Field(default=None, description="Where it can be used.")


class RegistryList(BaseModel):
    registries: list[RegistryDocument]


class Health(BaseModel):
    status: Literal["ok"]
    version: str


def problems(*codes: str, job: bool = False) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route with these codes, by status."""
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(int(status_by_code()[code]), []).append(code)
    name = "JobProblemDocument" if job else "ProblemDocument"
    schema = {"schema": {"$ref": f"#/components/schemas/{name}"}}
    return {
        status: {"description": ", ".join(f"`{code}`" for code in listed), "content": {PROBLEM_JSON: schema}}
        for status, listed in sorted(found.items())
    }
