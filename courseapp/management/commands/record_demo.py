"""`manage.py record_demo`: run the demo's sample hand-ins for real and keep what they gave."""

from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from courseapp.management.demo import EXAMPLE, RECORDED, lab
from courseapp.management.demo.recording import RecordedRun, Recording
from courseapp.management.demo.samples import Sample, read_samples
from grading.runner import bundle, runtimes
from grading.runner.host import Host
from grading.runner.job import Job
from grading.runner.manifest import HomeworkManifest, load_manifest
from grading.runner.outcome import Outcome
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
        spec = load_manifest(EXAMPLE / lab.HOMEWORK).component("practice")
        if spec is None:
            raise CommandError(f"{lab.HOMEWORK} has no practice to run {lab.SCRIPT.name} with.")
        trained = lab.run(host, spec.limits, _runtime(spec.runtime))
        if trained.kind != "ok":
            raise CommandError(f"{lab.SCRIPT.name} did not end well; nothing was written.\n{trained.message}\n{trained.output}")
        lab.write(replace(trained, provenance=_kept(trained)))
        Recording(runs).write(RECORDED)
        self.stdout.write(f"{len(runs)} runs and a lab run written to {RECORDED.parent.relative_to(settings.BASE_DIR)}.")

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
        kept = replace(outcome, provenance=_kept(outcome))
        return RecordedRun(manifest.slug, sample.name, sample.digests, packed.digest, sample.seed, kept)


def _kept(outcome: Outcome) -> dict[str, object]:
    return {name: value for name, value in outcome.provenance.items() if name not in NOT_KEPT}


def _runtime(name: str) -> runtimes.Runtime:
    found = runtimes.find(settings.DATA_DIR, name, {"RUNTIME_PYTHON": settings.RUNTIME_PYTHON})
    if not isinstance(found, runtimes.Ready):
        raise CommandError(f"{found.status.message} Install it with: manage.py install_runtime {name} --wait")
    return found.runtime
