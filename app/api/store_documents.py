"""The documents of `/store` and `/status` as the OpenAPI document has them. `oci_layout.documents` makes the former."""

from __future__ import annotations

from pydantic import BaseModel, Field

from app.registry.oci_layout.documents import MAX_DELETED_SHOWN


class StoredImageDocument(BaseModel):
    """An image in the store, under one tag."""

    tag: str | None = Field(description="Null for an image without a tag.")
    digest: str = Field(description="Of the manifest or the image index.")
    media_type: str
    artifact_type: str | None = Field(description="Of an artifact that is not a container image.")
    platforms: list[str]
    size: int = Field(description="Bytes of the manifests and all blobs.")
    shared_size: int = Field(description="Bytes of that which other images have, too, as far as the caller sees them.")
    pushed_at: str = Field(description="When it was last pushed under this name.")
    job: str | None = Field(description="The job that pushed it, if the caller may see it.")
    is_kept: bool = Field(description="False for an image that the next prune deletes.")


class StoredRepositoryDocument(BaseModel):
    """A repository of the store. The list has the newest images of each, `GET /store/{repository}` all of them."""

    name: str
    size: int = Field(description="Bytes of all that the repository has.")
    shared_size: int = Field(description="Bytes of that which other repositories of the caller have, too.")
    tags_total: int
    untagged_total: int = Field(description="Images without a tag: pushed by digest, or their tag is gone.")
    pushed_at: str | None = Field(description="The last push to it.")
    images: list[StoredImageDocument] = Field(description="Newest first, tagged ones before the others.")
    images_total: int = Field(description="How many match the request.")


class StorePage(BaseModel):
    repositories: list[StoredRepositoryDocument] = Field(description="By name.")
    total: int = Field(description="How many match the request.")
    next_cursor: str | None


class StoredRepositoryPage(StoredRepositoryDocument):
    next_cursor: str | None


class DeletedImageDocument(BaseModel):
    repository: str
    tag: str | None = Field(description="Null for a manifest, which no tag led to any more.")
    digest: str


class CollectedDocument(BaseModel):
    """What was deleted, or with `dry_run` what would be."""

    dry_run: bool
    deleted: list[DeletedImageDocument] = Field(description=f"The first {MAX_DELETED_SHOWN:,}.")
    tags: int = Field(description="Deleted tags.")
    manifests: int = Field(description="Deleted manifests.")
    blobs: int = Field(description="Deleted blobs, manifests included.")
    freed_bytes: int = Field(
        description="For a token that is bound to repositories: what they have no more, even if others have it."
    )
    in_use_bytes: int = Field(description="Left for pushes and pulls under way. A later prune deletes them.")


class PruneRequest(BaseModel, extra="forbid"):
    """What to delete besides what nothing refers to."""

    older_than: str | None = Field(
        default=None, description="Age of tags and of pushes by digest since their last push, such as `30d` or `12h`."
    )
    keep_tags: int | None = Field(
        default=None, ge=0, description="Keep so many of the newest tags of each repository, whatever their age."
    )
    repository: str | None = Field(default=None, description="Only this repository and those below it.", max_length=255)
    dry_run: bool = Field(default=False, description="Say what would be deleted, and delete nothing.")


class UsageDocument(BaseModel):
    """Bytes on the disk of the data directory."""

    store_bytes: int = Field(description="Of the image store.")
    spool_bytes: int = Field(description="Of archives in the spool.")
    kept_bytes: int = Field(description="Of archives that ended jobs keep, a part of the spool.")
    free_bytes: int


class StatusRegistry(BaseModel):
    name: str
    reachable: bool


class StatusDocument(BaseModel):
    version: str
    jobs: dict[str, int] | None = Field(
        description="How many by state. Null for a token that is bound to repositories."
    )
    usage: UsageDocument | None = Field(description="Null for a token that is bound to repositories.")
    has_store: bool = Field(description="Whether this service has an image store.")
    registries: list[StatusRegistry]
