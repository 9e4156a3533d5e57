"""`tarmac token create|list|revoke`. A running service applies the change within two seconds."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path

from app.auth.token_file import NAME, TokenHolder, new_token, parse_prefix, parse_quota, parse_role
from app.auth.token_file_edit import add_holder, holders_of, remove_holder
from app.errors import InvalidRequest

_VARIABLE = "TARMAC_TOKENS_FILE"


def run(arguments: argparse.Namespace) -> int:
    path = _file(arguments)
    if arguments.action == "list":
        _list(path, as_json=arguments.json)
        return 0
    if not arguments.name:
        raise InvalidRequest(f"say whose token: tarmac token {arguments.action} NAME")
    if arguments.action == "revoke":
        remove_holder(path, arguments.name)
        print(f"{arguments.name}: revoked")
        return 0
    token = new_token()
    holder = _holder(arguments, token)
    add_holder(path, holder)
    print(json.dumps({**_document(holder), "token": token}) if arguments.json else token)
    return 0


def _file(arguments: argparse.Namespace) -> Path:
    named = arguments.tokens_file or os.environ.get(_VARIABLE)
    if not named:
        raise InvalidRequest(f"say which file: --tokens-file, or {_VARIABLE}")
    return Path(named)


def _holder(arguments: argparse.Namespace, token: str) -> TokenHolder:
    if not NAME.fullmatch(arguments.name):
        raise InvalidRequest(f"NAME {arguments.name!r:.80} must be up to 64 letters, digits, `.`, `_`, `-`")
    amounts = (
        ("jobs", arguments.max_jobs),
        ("bytes", arguments.max_upload_bytes),
        ("stored", arguments.max_stored_bytes),
    )
    try:
        return TokenHolder(
            arguments.name,
            hashlib.sha256(token.encode()).digest(),
            frozenset(parse_role(role) for role in arguments.role or ("push",)),
            tuple(parse_prefix(prefix) for prefix in arguments.repository or ()),
            parse_quota(",".join(f"{name}={amount}" for name, amount in amounts if amount)),
            parse_prefix(arguments.default_prefix) if arguments.default_prefix else "",
        )
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _list(path: Path, *, as_json: bool) -> None:
    holders = holders_of(path)
    if as_json:
        print(json.dumps([_document(holder) for holder in holders], indent=2))
        return
    for holder in holders:
        words = [holder.name, ",".join(sorted(holder.roles))]
        words += [f"below {', '.join(holder.repositories)}"] if holder.repositories else []
        words += [f"{holder.quota.jobs} jobs"] if holder.quota.jobs is not None else []
        words += [f"{holder.quota.upload_bytes} bytes an upload"] if holder.quota.upload_bytes is not None else []
        words += [f"{holder.quota.most_stored} bytes stored"] if holder.quota.most_stored is not None else []
        print("  ".join(words))


def _document(holder: TokenHolder) -> dict[str, object]:
    return {
        "name": holder.name,
        "roles": sorted(holder.roles),
        "repositories": list(holder.repositories),
        "max_jobs": holder.quota.jobs,
        "max_upload_bytes": holder.quota.upload_bytes,
        "max_stored_bytes": holder.quota.most_stored,
    }
