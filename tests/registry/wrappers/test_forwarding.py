"""What every wrapper of a registry inherits: a verb that is not changed reaches the registry behind it as it came."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from app.registry import Registry
from app.registry.wrappers.fence import FencedRegistry
from app.registry.wrappers.forwarding import ForwardingRegistry
from app.registry.wrappers.redact import RedactingRegistry, SecretScrubber
from app.registry.wrappers.retry import RetryingRegistry
from app.registry.wrappers.verify import Verification, VerifyingRegistry

VERBS = sorted(name for name in dir(Registry) if not name.startswith("_"))
WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "forwarding": ForwardingRegistry,
    "retrying": RetryingRegistry,
    "discreet": lambda registry: RedactingRegistry(registry, SecretScrubber()),
    "verifying": lambda registry: VerifyingRegistry(registry, Verification.NONE),
    "fenced": lambda registry: FencedRegistry(registry, _allow, lambda _: True),
}
CHANGED = {("verifying", "verify_manifest")}  # the wrapper does it itself


async def _allow() -> None:
    return


class Recording:
    """A registry that has every verb; `calls` holds what they were called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...], dict[str, object]]] = []

    def __getattr__(self, name: str) -> Any:
        async def verb(*args: object, **named: object) -> str:
            self.calls.append((name, args, named))
            return f"of {name}"

        return verb


def arguments_of(verb: str) -> tuple[list[object], dict[str, object]]:
    """A value of its own for each parameter; the text of a tag for the reference."""
    args, named = list[object](), dict[str, object]()
    for parameter in list(inspect.signature(getattr(Registry, verb)).parameters.values())[1:]:
        value: object = parameter.name if parameter.name in {"repository", "reference", "source"} else object()
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = value
        else:
            args.append(value)
    return args, named


@pytest.mark.parametrize(("wrapper", "verb"), sorted(set(product(WRAPPERS, VERBS)) - CHANGED))
async def test_a_verb_reaches_the_registry_behind_a_wrapper_as_it_came(wrapper: str, verb: str) -> None:
    args, named = arguments_of(verb)
    beneath = Recording()
    registry: Any = WRAPPERS[wrapper](beneath)
    result = await getattr(registry, verb)(*args, **named)
    assert beneath.calls == [(verb, tuple(args), named)]
    assert result in {f"of {verb}", None}


def test_the_base_has_every_verb_of_the_port_and_no_other() -> None:
    own = {name for name in vars(ForwardingRegistry) if not name.startswith("_")}
    assert own == set(VERBS)
