"""Bundles and the storage of registries: YAML that grows or means two things, links that lie, names that climb."""

from __future__ import annotations

from functools import partial

from tests.hostile.case import Cases, accepted, refused
from tests.hostile.samples import IMAGE
from tests.support.archives import Member, oci_index, sha256, tar, to_json
from tests.support.storage_tree import ROOT, blob_place, bundle, revision_place, tag_place, tree

STORED = {"team/app": {"1": IMAGE}}
LISTED = b'example.com:\n  images:\n    team/app:\n      - "1"\n'
TREE = {member.name: member.data for member in tree(STORED)}
TAG = tag_place("team/app", "1")
REVISION = revision_place("team/app", IMAGE.digest)
ZEROS = "sha256:" + "0" * 64

BAD_YAML = {
    "an alias": b"a: &x 1\nb: *x\n",
    "aliases that double": b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n",
    "a tag that makes an object": b"example.com: !!python/object/apply:os.system ['true']\n",
    "a merge key": b"example.com:\n  <<: {images: {}}\n",
    "a tab": b"example.com:\n\timages:\n",
    "a key twice": LISTED + b"example.com:\n  images: {}\n",
    "two documents": LISTED + b"---\n" + LISTED,
    "a list": b"- example.com\n- 5\n- a: b\n",
    "an unclosed quote": b'example.com:\n  images:\n    "team/app:\n      - 1\n',
    "a long unclosed quote": b'"' + b"a" * 100_000,
    "bytes that are not UTF-8": b"example.com:\xff\n",
    "UTF-16": LISTED.decode().encode("utf-16"),
    "NUL": LISTED + b"\0",
    "an unknown key": LISTED + b"  evil: true\n",
    "tags that are a mapping": b"example.com:\n  images:\n    team/app:\n      one: two\n",
    "a hundred levels": b"".join(b" " * n + b"a:\n" for n in range(100)),
    "10,000 levels of flow": b"a: " + b"[" * 10_000,
    "2 MiB": LISTED + b"#" * (2 << 20),
    "100,000 lines": LISTED + b"#\n" * 100_000,
}
BAD_LINKS = {
    "nothing": b"",
    "a path": b"sha256:../../../../../../etc/passwd",
    "a digest that is absent": ZEROS.encode(),
    "upper case": IMAGE.digest.upper().encode(),
    "two digests": IMAGE.digest.encode() + b"\n" + ZEROS.encode(),
    "NUL": IMAGE.digest.encode() + b"\0",
    "bytes": b"\xff" * 71,
    "a kilobyte": b"a" * 1024,
}
ANY = ("malformed_archive", "missing_content", "limit_exceeded", "unknown_format", "missing_tag", "invalid_reference")


def with_files(changed: dict[str, bytes], *, listed: bytes = LISTED) -> bytes:
    return tar([Member(name, data) for name, data in {**TREE, "images.yaml": listed, **changed}.items()])


def cases() -> Cases:
    yield accepted("a bundle", bundle(STORED, images=LISTED))
    yield accepted(
        "a bundle beside an oci-layout and a manifest.json", with_files({"oci-layout": b"{", "manifest.json": b"{"})
    )
    json = b'{"example.com": {"images": {"team/app": ["1"]}}}'
    yield accepted("images.yaml: JSON, which is YAML", partial(with_files, {}, listed=json))
    for name, content in BAD_YAML.items():
        yield refused(f"images.yaml: {name}", partial(with_files, {}, listed=content), *ANY)
        if name != "a long unclosed quote":  # here it is a URL, as of a list of them; those are told and left
            yield refused(f"charts.yaml: {name}", partial(with_files, {"charts.yaml": content}), *ANY)
    for name, link in BAD_LINKS.items():
        yield refused(f"the link of a tag: {name}", partial(with_files, {TAG: link}), *ANY)
        yield refused(f"the link of a revision: {name}", partial(with_files, {REVISION: link}), *ANY)
    for number, name in enumerate(name for name in TREE if name.startswith(f"{ROOT}/blobs/")):
        data = TREE[name]
        flipped = data[:-1] + bytes([data[-1] ^ 1])
        yield refused(f"blob {number + 1} has one bit flipped", with_files({name: flipped}), "digest_mismatch")
        yield refused(f"blob {number + 1} is cut", with_files({name: data[:-1]}), "digest_mismatch", "size_mismatch")
    for repository in (
        "../../etc",
        "team/../app",
        "/etc",
        "Team/App",
        "team//app",
        "a" * 300,
        "team/app/_manifests/tags/1",
    ):
        listed = LISTED.replace(b"team/app", repository.encode())
        yield refused(f"a repository called {repository[:40]}", partial(with_files, {}, listed=listed), *ANY)
    for host in (b"../x", b"evil.example/a", b"http://evil.example", b"user:pass@evil.example", b"169.254.169.254"):
        listed = LISTED.replace(b"example.com", host)  # where it came from; it is dropped as every embedded host
        yield accepted(f"a host called {host.decode()}", partial(with_files, {}, listed=listed))
    for tag in ("../1", ".", "1/2", "a b", "t" * 129):
        yield refused(
            f"a tag called {tag[:20]}", partial(with_files, {}, listed=LISTED.replace(b'"1"', tag.encode())), *ANY
        )
    yield refused(
        "a list of what is not there", with_files({}, listed=LISTED.replace(b'"1"', b'"2"')), "missing_content"
    )
    yield refused("a manifest of schema 1", _pointing(to_json({"schemaVersion": 1, "fsLayers": []})))
    yield refused("a manifest that is a layer", _pointing(b"\x1f\x8b" + b"x" * 99))
    yield refused(
        "an index whose child is absent",
        _pointing(oci_index([IMAGE]).raw.replace(IMAGE.digest.encode(), ZEROS.encode())),
        "missing_content",
    )
    yield refused("30,000 images", lambda: with_files({}, listed=_long(30_000)), *ANY)
    yield refused("20,000 tags of one image", lambda: _storage(20_000), "limit_exceeded")


def _pointing(raw: bytes) -> bytes:
    digest = sha256(raw)
    link = digest.encode()
    return with_files({TAG: link, revision_place("team/app", digest): link, blob_place(digest): raw})


def _long(count: int) -> bytes:
    return b"example.com:\n  images:\n" + b"".join(b"    team/app%d:\n      - '1'\n" % n for n in range(count))


def _storage(count: int) -> bytes:
    """Only the tree, every tag of which is pushed."""
    tags = {tag_place("team/app", str(n)): IMAGE.digest.encode() for n in range(count)}
    return tar([Member(name, data) for name, data in (TREE | tags).items()])
