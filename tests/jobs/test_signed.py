"""A service that asks for signatures refuses what has none, before anything is pushed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.jobs import JobState, run_job_service
from app.jobs.store.memory import MemoryJobStore
from tests.jobs.bench import Bench, ended, upload
from tests.push.signatures.test_policy import EC, OTHER, policy, simple, with_signature


async def test_what_is_signed_is_pushed_and_what_is_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    bench = Bench(tmp_path / "service", MemoryJobStore())
    runtime = replace(bench.runtime(), signatures=(policy(tmp_path, EC, "registry.test/prod/*"),))
    async with run_job_service(runtime, keep=bench.keep) as service:
        good = await ended(service, await upload(service, with_signature(simple(EC))))
        assert good.state is JobState.SUCCEEDED
        assert "registry.test/prod/app:1 is signed by ours.pub" in good.notices
        before = dict(bench.registry.tags)
        path = bench.put("bad.tar", with_signature(simple(OTHER)))
        from app.jobs import JobRequest
        from app.push import PushOptions

        bad = await ended(service, await service.submit_paths(JobRequest(PushOptions(), paths=(path,))))
    assert bad.problem is not None
    assert bad.problem.code == "signature_required"
    assert bench.registry.tags == before
