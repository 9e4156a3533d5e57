"""Names of images: what may become a repository and a tag, and what tries to become a host, a header or a path."""

from __future__ import annotations

from functools import partial

from tests.hostile.case import Cases, accepted, refused
from tests.hostile.samples import IMAGE, ONE, docker_with, layout, listing, named
from tests.support.archives import REF_NAME, docker_save, entry, image, oci_layout, tagged

HEX = "0123456789abcdef" * 4
GOOD = {
    "nginx": "library/nginx:latest",
    "nginx:1.25": "library/nginx:1.25",
    "n": "library/n:latest",
    "org/app:1": "org/app:1",
    "docker.io/nginx:1": "library/nginx:1",
    "index.docker.io/library/nginx:1": "library/nginx:1",
    "docker.io/org/app": "org/app:latest",
    "localhost/app:1": "app:1",
    "localhost:5000/app": "app:latest",
    "127.0.0.1:5000/a/b:v1": "a/b:v1",
    "[::1]:5000/app:1": "app:1",
    "169.254.169.254/latest/meta-data:1": "latest/meta-data:1",
    "registry.example.com/a/b/c/d/e:V1_x-y.z": "a/b/c/d/e:V1_x-y.z",
    "Registry.Example.com/app:1": "app:1",
    "UPPER/app:1": "app:1",
    "a__b/c.d/e--f:1": "a__b/c.d/e--f:1",
    "app:_1": "library/app:_1",
    "app:" + "t" * 128: "library/app:" + "t" * 128,
    "x/" + "a" * 253 + ":1": "x/" + "a" * 253 + ":1",
    f"example.com/app:1@sha256:{HEX}": "app:1",
}
BAD = (
    ":1",
    "app:",
    "/app:1",
    "app/:1",
    "a//b:1",
    "App:1",
    "org/App:1",
    "app:1:2",
    "app:.1",
    "app:-1",
    "app:" + "t" * 129,
    "a" * 256 + ":1",
    "x" * 2000,
    "../app:1",
    "a/../b:1",
    "a/./b:1",
    "..:1",
    "./app:1",
    "a/..%2f..%2fb:1",
    "app%2fx:1",
    "app?x=1:1",
    "app#x:1",
    "app:1?x=1",
    "app:1/../2",
    "app:1\r\nHost: evil.example",
    "app:1\n",
    "app\r\n:1",
    "app:1\0",
    "ap\0p:1",
    "app :1",
    " app:1",
    "app:1 ",
    "app:١",
    "ａｐｐ:1",
    "аpp:1",  # a Cyrillic letter
    "app\u200b:1",
    "app\u202e:1",
    "ﬁle:1",
    "app:ﬁ",
    "-app:1",
    "app-:1",
    "_app:1",
    "a___b:1",
    "a..b:1",
    "a._b:1",
    "http://evil.example/app:1",
    "https://user:secret@evil.example/app:1",
    "user:secret@evil.example/app:1",
    "evil.example:99999999/app:1",
    "evil.example:x/app:1",
    "evil..example/app:1",
    "-evil.example/app:1",
    "[::1/app:1",
    "[zz]/app:1",
    "//evil.example/app:1",
    "\\\\evil\\app:1",
    "file:///etc/passwd",
    "app@sha256:abc",
    f"app@md5:{'a' * 32}",
    f"app@sha256:{HEX}@sha256:{HEX}",
    f"app:1@sha256:{HEX.upper()}",
    "${jndi:ldap://x}/a:1",
    "<script>alert(1)</script>:1",
    "'; drop table jobs; --:1",
    "app:{{.Tag}}",
    "\x1b[31mapp:1",
    "app:1;rm -rf /",
)

NO_NAMES = (f"@sha256:{HEX}", HEX, f"sha256:{HEX}", "<none>:<none>", "", " ")


def cases() -> Cases:
    for name, tag in GOOD.items():
        yield accepted(f"docker name {name:.60}", partial(docker_with, RepoTags=[name]), tag)
        if any(char in name for char in ":/@"):
            yield accepted(f"layout name {name:.60}", partial(_layout, name), tag)
    for number, name in enumerate(BAD):
        shown = f"{number} {name[:40].encode('ascii', 'backslashreplace').decode()!r}"
        yield refused(f"docker name {shown}", partial(docker_with, RepoTags=[name]), "invalid_reference")
        yield refused(f"layout name {shown}", partial(_containerd, name), "invalid_reference")
    for number, name in enumerate(NO_NAMES):
        yield refused(f"docker name that is none {number} {name:.20}", docker_with(RepoTags=[name]), "missing_tag")
        yield refused(f"layout name that is none {number} {name:.20}", _containerd(name), "missing_tag")
    yield from _absent()
    yield from _many()


def _layout(name: str) -> bytes:
    return oci_layout([entry(IMAGE, ref=name)])


def _containerd(name: str) -> bytes:
    return oci_layout([entry(IMAGE, name=name)])


def _absent() -> Cases:
    yield refused("no name: RepoTags null", docker_with(RepoTags=None), "missing_tag")
    yield refused("no name: RepoTags empty", docker_with(RepoTags=[]), "missing_tag")
    yield refused("no name: a layout without annotations", layout(listing(IMAGE.descriptor)), "missing_tag")
    yield refused("no name: a tag alone", _layout("1.25"), "missing_tag")
    yield refused("no name: an empty annotation", layout(listing(named(IMAGE.descriptor, ""))), "missing_tag")
    yield refused(
        "a tag alone that is none",
        layout(listing(named(IMAGE.descriptor, "not a tag"))),
        "missing_tag",
        "invalid_reference",
    )
    for name, value in {"a number": 5, "null": None, "a list": ["x"]}.items():
        described = {**IMAGE.descriptor, "annotations": {REF_NAME: value}}
        yield refused(f"a name that is {name}", layout(listing(described)))
    source = {"containerd.io/distribution.source.evil.example/../x": "a", REF_NAME: "1"}
    yield refused("a source that climbs", oci_layout([entry(IMAGE, annotations=source)]), "invalid_reference")
    both = oci_layout([entry(IMAGE, name="example.com/team/app:1", ref="example.com/other/app:2")])
    yield accepted("two names of one descriptor: containerd's counts", both)


def _many() -> Cases:
    other = tagged(image({"x": b"2"}), "example.com/team/app:1")
    yield refused("two images of one name", docker_save([ONE, other]), "destination_conflict")
    yield refused(
        "two images of one name, at two hosts",
        docker_save([ONE, tagged(other, "evil.example/team/app:1")]),
        "destination_conflict",
    )
    yield accepted("two hosts, one image", docker_with(RepoTags=["a.example/team/app:1", "b.example/team/app:1"]))
    yield accepted("one name twice", docker_with(RepoTags=["team/app:1", "team/app:1"]))
    yield accepted(
        "999 names", lambda: docker_with(RepoTags=[f"a/b:{n}" for n in range(999)]), *(f"a/b:{n}" for n in range(999))
    )
    yield refused("1,001 names", lambda: docker_with(RepoTags=[f"a/b:{n}" for n in range(1_001)]), "limit_exceeded")
    yield refused("one good name and one bad", docker_with(RepoTags=["team/app:1", "Team/App:1:"]), "invalid_reference")
