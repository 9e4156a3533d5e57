"""Packages as `zarf package create` writes them (zarf, src/pkg/packager/layout/package.go, src/pkg/images/common.go):
every file sorted by name, the OCI layout of the images in `images/`, checksums.txt over all but itself and
zarf.yaml."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.archives import Compress, Entry, Member, Node, oci_members, sha256, tar, wrap

BASE_NAME = "org.opencontainers.image.base.name"
REF_NAME = "org.opencontainers.image.ref.name"


def zarf_package(
    images: Mapping[str, Node], *, by_crane: bool = False, outer: Compress = "zstd", layout: bool = True
) -> bytes:
    """`images` by the reference that the package has them under. `by_crane`: of a zarf that had no ref.name yet."""
    files = {"components/app.tar": tar([Member("app/charts/app-1.0.0.tgz", b"chart")]), "sboms.tar": tar([])}
    entries = [
        Entry(node, {BASE_NAME: name} if by_crane else {REF_NAME: name, BASE_NAME: name})
        for name, node in images.items()
    ]
    if layout:
        files |= {f"images/{member.name}": member.data for member in oci_members(entries)}
    sums = "".join(f"{sha256(files[name])[7:]} {name}\n" for name in sorted(files))
    names = sorted(images)
    definition = "kind: ZarfPackageConfig\nmetadata:\n  name: app\ncomponents:\n  - name: app\n    images:\n"
    files["zarf.yaml"] = (definition + "".join(f"      - {name}\n" for name in names)).encode()
    files["checksums.txt"] = sums.encode()
    directories = {name.rpartition("/")[0] for name in files} - {""}
    members = {name: Member(name, content) for name, content in files.items()}
    members |= {name: Member(name, directory=True) for name in directories}
    return wrap(tar(members[name] for name in sorted(members)), outer)
