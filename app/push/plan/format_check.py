"""The option `format`: check of the archives, and their names in messages; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.archive.model import Archive
from app.errors import FormatMismatch

_KINDS: Mapping[str, str] = {
    "docker-archive": "a docker image archive",
    "oci-archive": "an OCI image archive",
    "mindthegap-bundle": "an image bundle of mindthegap",
    "oc-mirror": "an image bundle of oc-mirror",
    "registry-storage": "a registry's storage",
    "imgpkg": "an image archive of imgpkg",
    "hauler": "a haul of hauler",
    "zarf": "a package of zarf",
    "helm-chart": "a packaged Helm chart",
    "kots-airgap": "an airgap bundle of KOTS",
    "kubekey": "an artifact of KubeKey",
    "oc-image-mirror": "a file mirror of oc",
    "oci-artifact": "an OCI artifact with its manifest in manifest.json",
}
_HINTS: Mapping[tuple[str, str], str] = {
    ("oci-archive", "docker-archive"): " (docker save writes these since docker 25)",
    ("docker-archive", "oci-archive"): " (docker save wrote these before docker 25)",
}
MAX_NAME = 200  # characters of a file's name in a message


@dataclass(frozen=True, slots=True)
class ArchiveLabels:
    """The number of archives in a request, and the names of their files if known."""

    count: int
    names: tuple[str, ...] = ()

    def which(self, number: int) -> str:
        if self.names:
            return self.names[number][:MAX_NAME]
        return f"archive {number + 1} of {self.count}" if self.count > 1 else "the archive"

    def prefix(self, number: int) -> str:
        """Return the beginning of a message about one of several archives."""
        return f"{self.which(number)}: " if self.count > 1 else ""


def assert_format(archives: Sequence[Archive], wanted: str | None, labels: ArchiveLabels) -> None:
    """Check the format of the archives. Raises FormatMismatch with the actual format and the option to pass."""
    if wanted is None:
        return
    formats = {archive.format for archive in archives}
    for number, archive in enumerate(archives):
        if archive.format and archive.format != wanted:  # an unreadable archive is refused for that reason
            hint = _HINTS.get((archive.format, wanted), "")
            raise FormatMismatch(
                f"{labels.which(number)} is {_KINDS[archive.format]}{hint}, not {_KINDS[wanted]} (format={wanted}); "
                f"{_way(archive.format, formats)}"
            )


def _way(found: str, formats: set[str]) -> str:
    if len(formats) > 1:
        return f"omit `format`, because the archives of this request have several formats: {', '.join(sorted(formats))}"
    return f"pass format={found}, or omit `format` to detect it from the content"
