"""The argparse tree. Commands are imported when they run, so that `--help` is fast."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from app import __version__

_FILES = "image archives; - is standard input"
_ABSENT = object()
MAX_WAIT_SECONDS = 7 * 86_400.0
_EPILOG = "Settings come from --config (TOML) and TARMAC_… in the environment, the latter winning."


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the arguments with `run`, the command to call with them. Wrong arguments end the process with 2."""
    parser = argparse.ArgumentParser(prog="tarmac", description="Where image tarballs land.", epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"tarmac {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_push(commands)
    _add_send(commands)
    _add_inspect(commands)
    _add_images(commands)
    _add_check(commands)
    _add_doctor(commands)
    _add_token(commands)
    guide = _add(commands, "guide", "print a page of the guide, or list the sections that contain the words")
    guide.add_argument("topic", nargs="*", metavar="TOPIC", help="a page such as `errors`, or words to search for")
    _add(commands, "version", "print the version")
    _add(commands, "openapi", None)  # for the developers of Tarmac
    return parser.parse_args(arguments)


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, words: str | None
) -> argparse.ArgumentParser:
    def run(parsed: argparse.Namespace) -> int:
        with _imported_fast():
            command = import_module(f"app.cli.{name}")
        status: int = command.run(parsed)
        return status

    if words is None:  # argparse lists only what has a `help`
        parser = commands.add_parser(name)
    else:
        parser = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.", epilog=_EPILOG)
    parser.set_defaults(run=run)
    return parser


@contextmanager
def _imported_fast() -> Iterator[None]:
    """Import with garbage collection off and without rich, which saves a quarter of the import time.

    Imports create no garbage. structlog imports rich only for tracebacks that are never drawn; the progress bars
    import it if there is a terminal.
    """
    hidden = sys.modules.get("rich", _ABSENT)
    gc.disable()
    if hidden is _ABSENT:
        sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden is _ABSENT:
            del sys.modules["rich"]
        gc.enable()


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "serve", "serve the HTTP API")
    parser.add_argument("--host", help="address to listen on (TARMAC_HOST; 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (TARMAC_PORT; 8080)")
    _add_settings(parser)


def _add_push(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "push", "push every image in the archives to a registry, in this process")
    parser.add_argument("files", nargs="+", metavar="FILE", help=_FILES)
    _add_naming(parser)
    _add_registry_url(parser)
    _add_pushing(parser)
    _add_settings(parser)


def _add_send(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "send", "send archives to a Tarmac service, resumably, and wait until they are pushed")
    parser.add_argument("files", nargs="+", metavar="FILE", help="image archives or directories; one job for each")
    parser.add_argument("--server", metavar="URL", help="address of the service (TARMAC_SERVER)")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the token (TARMAC_TOKEN_FILE; TARMAC_TOKEN)",
    )
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="further certificates to trust")
    parser.add_argument("--delivery", metavar="NAME", help="name that groups the jobs")
    parser.add_argument("--label", action="append", metavar="KEY=VALUE", help="label of the jobs; repeatable")
    parser.add_argument(
        "--give-up-after", type=_seconds, default=600.0, metavar="SECONDS", help="without progress (default: 600)"
    )
    _add_naming(parser)
    _add_pushing(parser)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_WAIT_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r:.50} is not a number of seconds up to {MAX_WAIT_SECONDS:,.0f}")
    return value


def _add_pushing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-existing-tag",
        metavar="HOW",
        help="overwrite (default), skip, error, merge-with-overwrite or merge-with-retain",
    )
    parser.add_argument(
        "--verify",
        metavar="WHAT",
        help="verify afterwards the tag, all blobs, their content, or none (default: the registry's setting)",
    )
    parser.add_argument(
        "--layer-compression",
        metavar="HOW",
        help="gzip (default), zstd or none, for layers that are plain tar in the archive",
    )
    parser.add_argument("--checksum", metavar="sha256:HEX", help="expected digest of the archive, as it was sent")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done; push nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "inspect", "show what the archives contain and their destinations; contacts no registry")
    parser.add_argument("files", nargs="+", metavar="FILE", help=_FILES)
    _add_naming(parser)
    _add_registry_url(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    _add_settings(parser)


def _add_images(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "images", "list, show, delete, prune and copy the images of the image store")
    parser.add_argument("action", choices=("list", "show", "delete", "prune", "copy"), help="what to do")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="REPOSITORY:TAG or REPOSITORY@DIGEST; `list`: a part; `copy`: a glob"
    )
    parser.add_argument("--all", action="store_true", help="delete the whole repository")
    parser.add_argument("--older-than", metavar="AGE", help="prune tags last pushed longer ago, such as 30d")
    parser.add_argument("--keep-tags", metavar="N", help="prune no tag of the N newest of each repository")
    parser.add_argument("--to", metavar="REGISTRY", help="copy to this configured registry")
    parser.add_argument(
        "--registry-url", metavar="URL", help="copy to this registry: host[:port][/path], http://…, https://…"
    )
    parser.add_argument("--prefix", metavar="PATH", help="put before every repository of a copy")
    parser.add_argument("--on-existing-tag", metavar="HOW", help="as for `push`, of a copy")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; change nothing")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    _add_settings(parser)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "check", "say whether the configured registries can be used now, and why not")
    parser.add_argument(
        "--repository",
        metavar="NAME",
        help="repository to which the account must be able to push, below the registry's path (tarmac-check)",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="only this one")
    parser.add_argument("--registry-url", metavar="URL", help="the registry `default`, instead of TARMAC_REGISTRY_URL")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    _add_settings(parser)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "doctor", "say what is well with settings, disk, database and registries, and what is not")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    _add_settings(parser)


def _add_token(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "token", "make, list and revoke the tokens that may use the service")
    parser.add_argument("action", choices=("create", "list", "revoke"), help="what to do; `create` prints the token")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the submitter that jobs and the audit trail show")
    parser.add_argument("--role", action="append", metavar="ROLE", help="push (default), read or admin; repeatable")
    parser.add_argument(
        "--repository", action="append", metavar="PREFIX", help="push below this repository only; repeatable"
    )
    parser.add_argument("--default-prefix", metavar="PREFIX", help="prefix of requests that name neither it nor a tag")
    parser.add_argument("--max-jobs", metavar="N", help="jobs that it may run at once")
    parser.add_argument("--max-upload-bytes", metavar="SIZE", help="largest upload, such as 10GiB")
    parser.add_argument(
        "--max-stored-bytes", metavar="SIZE", help="bytes that may be stored for it at once, such as 100GiB"
    )
    parser.add_argument("--tokens-file", type=Path, metavar="FILE", help="the file (TARMAC_TOKENS_FILE)")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _add_registry_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry-url", metavar="URL", help="the registry itself: host[:port][/path], http://…, https://…"
    )


def _add_naming(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--registry", metavar="NAME", help="a configured registry (default: default)")
    parser.add_argument("--tag", metavar="REPO:TAG", help="the name of the one image, instead of the embedded one")
    parser.add_argument(
        "--rename", action="append", metavar="NAME=REPO:TAG", help="another name for one image; repeatable"
    )
    parser.add_argument("--prefix", metavar="PATH", help="put before every repository")
    parser.add_argument("--images", action="append", metavar="GLOB", help="only images with such a name; repeatable")
    parser.add_argument("--platforms", metavar="OS/ARCH,…", help="only these children of an image index")
    parser.add_argument(
        "--media-types", metavar="WHICH", help="keep (default), oci or docker: convert manifests to these"
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="push an index although the archive lacks some of its children"
    )
    parser.add_argument(
        "--keep-going",
        action="store_true",
        help="push every image that is whole, although others are not; ends with 1 all the same",
    )
    parser.add_argument("--format", metavar="NAME", help="refuse another format than docker-archive, oci-archive, …")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (TARMAC_CONFIG)")
    parser.add_argument(
        "--data-dir", metavar="DIR", help="directory of spooled archives and the embedded destination (TARMAC_DATA_DIR)"
    )
