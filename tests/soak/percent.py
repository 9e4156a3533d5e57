"""A client that asks two replicas in turn how far jobs are, and holds that no percent falls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from tests.soak.process import LOOK_SECONDS, Tarmac, pause

NEWEST = 100  # jobs that are asked for at once


class PercentWatch:
    """Asks while it is entered. A replica that is away is passed over. `falls` in words; `looks`: percents seen, of
    which `between` were neither 0 nor 100."""

    def __init__(self, replicas: Sequence[Tarmac]) -> None:
        self._replicas = replicas
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(ask,)) for ask in (self._page, self._one_by_one)]
        self.falls: list[str] = []
        self.looks = self.between = 0

    def __enter__(self) -> PercentWatch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, ask: Callable[[Tarmac], list[dict[str, object]]]) -> None:
        """Each thread is a client of its own: what one has seen, another may have asked for before."""
        seen: dict[str, float] = {}
        turn = 0
        while not self._stopped.is_set():
            turn += 1
            replica = self._replicas[turn % len(self._replicas)]
            try:
                documents = ask(replica)
            except OSError:
                pause(LOOK_SECONDS)
                continue
            for document in documents:
                self._look(seen, document, replica)

    def _look(self, seen: dict[str, float], document: dict[str, object], replica: Tarmac) -> None:
        job, progress = str(document["id"]), document["progress"]
        assert isinstance(progress, dict)
        percent = float(progress["percent"])
        if percent < seen.get(job, 0.0):
            self.falls.append(f"percent of job {job} fell from {seen[job]} to {percent} at port {replica.port}")
        seen[job] = percent
        self.looks += 1
        self.between += 0 < percent < 100

    def _page(self, replica: Tarmac) -> list[dict[str, object]]:
        status, page = replica.ask("GET", f"/jobs?brief=true&limit={NEWEST}")
        return list(page["jobs"]) if status == 200 else []

    def _one_by_one(self, replica: Tarmac) -> list[dict[str, object]]:
        """The newest jobs that run, each asked for at the other replica than the list was."""
        status, page = replica.ask("GET", "/jobs?brief=true&limit=5&state=running")
        found = []
        for job in page["jobs"] if status == 200 else ():
            others = [other for other in self._replicas if other is not replica]
            status, document = others[0].ask("GET", f"/jobs/{job['id']}")
            found += [job, document] if status == 200 else [job]
        return found
