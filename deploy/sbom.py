"""Write what a release is made of, as CycloneDX: `python deploy/sbom.py dist` writes one document for the wheel with
its packages, and one for the container image."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "deploy" / "requirements.lock"
VENDORED = ROOT / "app" / "api" / "page" / "vendor" / "VENDOR.md"
CONTAINERFILE = ROOT / "deploy" / "Containerfile"
_VENDORED = re.compile(
    r"- package: `(?P<name>[^`]+)` (?P<version>\S+) from the npm registry\n.*sha256 `(?P<sha256>[0-9a-f]{64})`\)"
    r"\n- licence: (?P<licence>[A-Za-z0-9.-]+)"
)

Document = dict[str, Any]


def packages() -> Document:
    """Return a document with every package of the lock."""
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", str(LOCK)]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603 - this interpreter, on our own files
    document: Document = json.loads(done.stdout)
    return document


def vendored() -> list[Document]:
    """Return the JavaScript that is part of the package."""
    return [
        {
            "type": "library",
            "bom-ref": f"npm-{found['name']}",
            "name": found["name"],
            "version": found["version"],
            "purl": f"pkg:npm/{found['name']}@{found['version']}",
            "hashes": [{"alg": "SHA-256", "content": found["sha256"]}],
            "licenses": [{"license": {"id": found["licence"]}}],
        }
        for found in _VENDORED.finditer(VENDORED.read_text(encoding="utf-8"))
    ]


def base_image() -> Document:
    """Return the image that ours is built on."""
    found = re.search(
        r"^ARG BASE=(\S+?):([^\s:@]+)(?:@(\S+))?$", CONTAINERFILE.read_text(encoding="utf-8"), re.MULTILINE
    )
    if found is None:
        raise SystemExit(f"{CONTAINERFILE}: there is no ARG BASE=name:tag")
    name, tag, digest = found.groups()
    version = digest or tag
    return {"type": "container", "bom-ref": "base-image", "name": name, "version": version} | (
        {"purl": f"pkg:oci/{name.rpartition('/')[2]}@{digest}?repository_url={name}&tag={tag}"} if digest else {}
    )


def with_components(document: Document, more: list[Document]) -> Document:
    """Return the document with further components, all of which its root depends on."""
    components = [*document["components"], *more]
    root = document["metadata"]["component"]["bom-ref"]
    references = sorted(component["bom-ref"] for component in components)
    dependencies = [{"ref": root, "dependsOn": references}, *({"ref": reference} for reference in references)]
    return {**document, "components": components, "dependencies": dependencies}


def written(document: Document, file: Path) -> None:
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        raise SystemExit(f"{file}: {fault}")
    file.write_text(text, encoding="utf-8")
    print(f"{file}: {len(document['components'])} components")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = packages()
    name = f"tarmac-{document['metadata']['component']['version']}"
    written(with_components(document, vendored()), folder / f"{name}.cdx.json")
    written(with_components(document, [*vendored(), base_image()]), folder / f"{name}-image.cdx.json")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))
