"""GitLab's container registry and the token service of GitLab itself, on another port of the same site. Read: the
registry's handlers and error codes, and GitLab's jwt_controller, container_registry_authentication_service (also that
of the Enterprise Edition) and rack_attack. The status of the refusal of an immutable tag was not to be seen; it is
taken to be 403."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.registry.vendors.vendor import Access, Expected, Fault, Refusal, Vendor
from tests.support.memory_registry import Manners, Refused

DENIED = 403
_KNOWN_TYPES = (
    "application/vnd.oci.image.",
    "application/vnd.docker.",
    "application/vnd.cncf.helm.",
    "application/vnd.oci.empty.",
    "application/vnd.dev.cosign.",
)


class GitLab(Vendor):
    """Scopes come as a parameter each; of one with a space in it GitLab reads the first alone. The namespace's storage
    limit and protected paths are refused by the token service. Media types of configs and artifacts are those of a
    list. A subject that is not there yet is refused; referrers are not listed. Blobs are read from an object store."""

    name = "GitLab"
    sources = "AllWorldIT/conarx-gitlab-registry 81453aa (2023-10-31), gitlabhq/gitlabhq de09f03, documentation (2026)"
    style = Manners(auth="bearer", absolute_locations=True, lists_referrers=False)
    home = "team/project"
    elsewhere = "nowhere/project"
    token_path = "/jwt/auth"
    tokens_beside = True
    storage_beside = True
    limits_tokens = True
    service = "container_registry"
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth", words="HTTP Basic: Access denied"),
        Fault.NO_RIGHTS: Expected("registry_denied"),
        Fault.QUOTA: Expected("registry_denied", words="namespace storage limit has been reached"),
        Fault.IMMUTABLE: Expected("registry_denied", words="immutable"),
        Fault.READ_ONLY: Expected("registry_denied", retryable=True, words="405"),
        Fault.MISSING_PROJECT: Expected("registry_denied"),
        Fault.RATE_LIMIT: Expected("registry_rate_limited"),
    }
    refuses: ClassVar[Mapping[str, Expected]] = {
        "artifact": Expected("registry_rejected", words="unknown media type: application/vnd.example.thing.v1"),
        "with-referrers": Expected("registry_rejected", words="unknown media type: application/vnd.example.sbom"),
    }

    def is_home(self, name: str) -> bool:
        return name.startswith("team/")

    def grants(self, user: str, scopes: list[str]) -> frozenset[tuple[str, str]]:
        wanted = [scope.partition(" ")[0] for scope in scopes]
        if self.quota is not None and any("push" in scope.rpartition(":")[2] for scope in wanted):
            words = "Your action has been rejected because the namespace storage limit has been reached."
            raise Refused(DENIED, "DENIED", words)
        return super().grants(user, wanted)

    def unknown_account(self) -> Refused:
        return Refused(401, "UNAUTHORIZED", "HTTP Basic: Access denied")

    def limit(self, access: Access | None) -> Refused:
        headers = {"retry-after": str(self.retry_after), "ratelimit-name": "throttle_authenticated_web"}
        return Refusal(429, headers=headers, body=b"Retry later\n", content_type="text/plain")

    def writable(self, access: Access) -> None:
        """In maintenance mode the registry has no handlers for what changes something."""
        if self.read_only:
            raise Refusal(405, headers={"allow": "GET,HEAD"}, body=b"Method not allowed\n", content_type="text/plain")

    def check_tag(self, access: Access, digest: str) -> None:
        if self.immutable and access.rest in self.repository(access.name).tags:
            raise Refused(DENIED, "DENIED", f'tag "{access.rest}" is immutable')

    def check_manifest(self, access: Access, media_type: str, document: Mapping[str, Any]) -> None:
        types = [document.get("artifactType"), document.get("config", {}).get("mediaType")]
        for stated in filter(None, types):
            if not stated.startswith(_KNOWN_TYPES):
                raise Refused(400, "MANIFEST_INVALID", f"manifest invalid; unknown media type: {stated}")
        subject = document.get("subject", {}).get("digest")
        if subject is not None and subject not in self.repository(access.name).manifests:
            raise Refused(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", (subject,))
