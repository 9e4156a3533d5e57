"""Media types of image-spec and of Docker's image manifest v2 schema 2, in groups by meaning."""

from __future__ import annotations

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCI_FOREIGN_LAYER_GZIP = OCI_FOREIGN_LAYER + "+gzip"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_FOREIGN_LAYER_PLAIN = "application/vnd.docker.image.rootfs.foreign.diff.tar"
DOCKER_FOREIGN_LAYER = DOCKER_FOREIGN_LAYER_PLAIN + ".gzip"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
NON_DISTRIBUTABLE = frozenset(
    {
        DOCKER_FOREIGN_LAYER,
        DOCKER_FOREIGN_LAYER_PLAIN,
        OCI_FOREIGN_LAYER,
        OCI_FOREIGN_LAYER_GZIP,
        OCI_FOREIGN_LAYER + "+zstd",
    }
)

ANNOTATION_REF_NAME = "org.opencontainers.image.ref.name"
ANNOTATION_IMAGE_NAME = "io.containerd.image.name"
ANNOTATION_SOURCE_PREFIX = "containerd.io/distribution.source."  # + registry host; value is the repository
ANNOTATION_DOCKER_SUBJECT = "vnd.docker.reference.digest"  # on BuildKit's attestation manifests

# Of entries in the index.json of the image store.
ANNOTATION_REPOSITORY = "tarmac.repository"
ANNOTATION_SUBJECT = "tarmac.subject"  # so that referrers are found without opening every manifest
ANNOTATION_HELD = "tarmac.held"  # digests, separated by spaces; may be empty
ANNOTATION_PUSHED = "tarmac.pushed"  # when the entry was last pushed, RFC 3339
ANNOTATION_JOB = "tarmac.job"  # the job that pushed it
ANNOTATION_BY_DIGEST = "tarmac.by-digest"  # `true`: pushed by its digest, and kept though no tag names it
STORE_ANNOTATIONS = frozenset({ANNOTATION_REPOSITORY, ANNOTATION_HELD, ANNOTATION_PUSHED, ANNOTATION_BY_DIGEST})


def is_manifest(media_type: str) -> bool:
    """Return whether content of this type is pushed to /manifests/ and refers to other content."""
    return media_type in MANIFESTS or media_type in INDEXES
