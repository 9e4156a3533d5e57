"""Long runs that kill, cut and wait, to show that nothing is lost. A scenario is a module with `run(Orders) -> Report`;
its name stands in `SCENARIOS` of `__main__`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Orders:
    """`seed` makes the choices of the rounds come again; times do not."""

    rounds: int
    seed: int


@dataclass(slots=True)
class Report:
    """`losses` in words; `recoveries` in seconds, from the start of the process to the first sign that jobs go on;
    `figures`: what else was measured."""

    scenario: str
    rounds: int = 0
    jobs: int = 0
    killed_under_way: int = 0  # jobs that were accepted and not ended when the process was killed
    losses: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, count: float) -> None:
        self.figures[name] = self.figures.get(name, 0) + count

    def note_longest(self, name: str, seconds: float) -> None:
        self.figures[name] = max(self.figures.get(name, 0.0), seconds)

    def lines(self) -> list[str]:
        times = sorted(self.recoveries) or [0.0]
        middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
        return [
            f"{self.scenario}: {self.rounds} rounds, {self.jobs} jobs accepted, {self.killed_under_way} under way when "
            f"the process was killed, {len(self.losses)} losses",
            f"  restart until jobs go on: median {middle:.2f} s, p99 {late:.2f} s, longest {times[-1]:.2f} s",
            *(f"  {name}: {round(value, 2):g}" for name, value in self.figures.items()),
            *(f"  LOST {loss}" for loss in self.losses),
        ]
