"""The vocabulary of image-spec and distribution-spec as frozen values. No I/O; an illegal value cannot exist.

descriptor   Descriptor, Platform
digest       Digest, Hasher
manifest     Manifest: image manifest, image index, artifact
media_types  media types of image-spec and Docker schema 2
reference    Reference: parse, normalize, print
strict_json  the only JSON reader for untrusted bytes
"""

from app.oci.descriptor import Descriptor, Platform
from app.oci.digest import Digest, Hasher
from app.oci.manifest import MAX_MANIFEST_BYTES, Manifest, media_type_of, new_manifest, parse_manifest, referrer, verify
from app.oci.reference import DOCKER_HUB, Reference, parse_repository, parse_tag
from app.oci.strict_json import count_values, refuse_lookalikes, strict_json

__all__ = [
    "DOCKER_HUB",
    "MAX_MANIFEST_BYTES",
    "Descriptor",
    "Digest",
    "Hasher",
    "Manifest",
    "Platform",
    "Reference",
    "count_values",
    "media_type_of",
    "new_manifest",
    "parse_manifest",
    "parse_repository",
    "parse_tag",
    "referrer",
    "refuse_lookalikes",
    "strict_json",
    "verify",
]
