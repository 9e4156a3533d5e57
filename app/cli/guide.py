"""`tarmac guide [TOPIC]`: the documentation in the terminal."""

from __future__ import annotations

import argparse
import sys

from app.docs import INDEX, find, pages


def run(arguments: argparse.Namespace) -> int:
    """Print the page called `topic`, else the sections that contain its words. Return 1 if there is none."""
    topic = " ".join(arguments.topic)
    page = pages().get((topic or INDEX).lower().replace(" ", "-"))
    if page is not None:
        _print(page.text)
        return 0
    sections = find(topic)
    if not sections:
        print(f"the guide has no page and no section for {topic!r}; its pages: {', '.join(pages())}", file=sys.stderr)
        return 1
    for section in sections:
        anchor = f"#{section.anchor}" if section.anchor else ""
        print(f"{section.page}{anchor}: {section.title}")
    return 0


def _print(text: str) -> None:
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))
