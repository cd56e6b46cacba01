"""`manage.py record_demo`: run the demo's sample hand-ins for real and keep what they gave."""

from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from courseapp.management.demo import EXAMPLE, RECORDED
from courseapp.management.demo.recording import RecordedRun, Recording
from courseapp.management.demo.samples import Sample, read_samples
from grading.runner import bundle, runtimes
from grading.runner.host import Host
from grading.runner.job import Job
from grading.runner.manifest import HomeworkManifest, load_manifest
from grading.runner.tiers import Refused

NOT_KEPT = {"host"}
"""The recording machine's name is nobody's business."""


class Command(BaseCommand):
    help = "Run the demo's sample hand-ins in the sandbox and write examples/ds-ga-1008/demo/recorded.json."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default 2)")

    def handle(self, *args: Any, jobs: int, **options: Any) -> None:
        with closing(Host()) as host:
            self._record(host, jobs)

    def _record(self, host: Host, jobs: int) -> None:
        if isinstance(host.tier, Refused):
            raise CommandError(f"Nothing can be run here: {host.tier.reason} {host.tier.fix}")
        samples = read_samples(EXAMPLE / "demo")
        work = [(load_manifest(EXAMPLE / slug), sample) for slug, mine in samples.items() for sample in mine.values()]

        def record(pair: tuple[HomeworkManifest, Sample]) -> RecordedRun:
            run = self._run(host, *pair)
            points = f"{run.outcome.points} of {run.outcome.max_points}"
            self.stdout.write(f"{run.homework}/{run.sample}: {run.outcome.kind}, {points}, {run.outcome.seconds:.1f} s")
            return run

        with ThreadPoolExecutor(jobs) as pool:
            runs = tuple(pool.map(record, work))
        if failed := [run for run in runs if run.outcome.kind in {"system", "assignment"}]:
            said = "\n".join(f"{run.homework}/{run.sample}: {run.outcome.staff_message}" for run in failed)
            raise CommandError(f"{len(failed)} runs were not judged; nothing was written.\n{said}")
        Recording(runs).write(RECORDED)
        self.stdout.write(f"{len(runs)} runs written to {RECORDED.relative_to(settings.BASE_DIR)}.")

    @staticmethod
    def _run(host: Host, manifest: HomeworkManifest, sample: Sample) -> RecordedRun:
        spec = manifest.component("practice")
        if spec is None:
            raise CommandError(f"{manifest.slug} has no practice to run {sample.name} with.")
        packed = bundle.pack(manifest.folder)
        job = Job(
            bundle=packed.data,
            files=sample.files,
            checks=spec.checks,
            limits=spec.limits,
            runtime=_runtime(spec.runtime),
            seed=sample.seed,
            entry=spec.entry,
        )
        outcome = host.run(job)
        kept = {name: value for name, value in outcome.provenance.items() if name not in NOT_KEPT}
        return RecordedRun(manifest.slug, sample.name, sample.digests, packed.digest, sample.seed, replace(outcome, provenance=kept))


def _runtime(name: str) -> runtimes.Runtime:
    found = runtimes.find(settings.DATA_DIR, name, {"RUNTIME_PYTHON": settings.RUNTIME_PYTHON})
    if not isinstance(found, runtimes.Ready):
        raise CommandError(f"{found.status.message} Install it with: manage.py install_runtime {name} --wait")
    return found.runtime
