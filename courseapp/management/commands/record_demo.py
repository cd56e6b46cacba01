"""`manage.py record_demo`: run the demo's sample hand-ins for real and keep what they gave."""

import tempfile
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from courseapp.management.demo import EXAMPLE, RECORDED, lab
from courseapp.management.demo.recording import RecordedRun, Recording, Stage
from courseapp.management.demo.samples import Sample, read_samples
from grading.jobs import smoke_limits
from grading.runner import bundle, devices, runtimes
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

        parser.add_argument("homeworks", nargs="*", metavar="homework", help="only of these (folders' names); the others stay")

    def handle(self, *args: Any, jobs: int, homeworks: list[str], **options: Any) -> None:
        stand_ins = devices.find({"GPU_SLOTS": f"fake:{jobs}"})
        with tempfile.TemporaryDirectory() as locks, closing(Host(gpus=stand_ins, locks=Path(locks))) as host:
            self._record(host, jobs, set(homeworks))

    def _record(self, host: Host, jobs: int, homeworks: set[str]) -> None:
        if isinstance(host.tier, Refused):
            raise CommandError(f"Nothing can be run here: {host.tier.reason} {host.tier.fix}")
        samples = read_samples(EXAMPLE / "demo")
        if unknown := homeworks - samples.keys():
            raise CommandError(f"{', '.join(sorted(unknown))}: no such homework; there are {', '.join(samples)}.", returncode=2)
        wanted = homeworks or samples.keys()
        work = [(load_manifest(EXAMPLE / slug), sample) for slug in wanted for sample in samples[slug].values()]
        free = list(host.devices)  # as many as jobs

        def record(pair: tuple[HomeworkManifest, Sample]) -> list[RecordedRun]:
            stand_in = free.pop()
            try:
                made = self._runs(host, *pair, stand_in)
            finally:
                free.append(stand_in)
            for run in made:
                points = f"{run.outcome.points} of {run.outcome.max_points}"
                self.stdout.write(f"{run.homework}/{run.sample}: {run.stage} {run.outcome.kind}, {points}, {run.outcome.seconds:.1f} s")
            return made

        with ThreadPoolExecutor(jobs) as pool:
            runs = tuple(run for made in pool.map(record, work) for run in made)
        if failed := [run for run in runs if run.outcome.kind in {"system", "assignment"}]:
            said = "\n".join(f"{run.homework}/{run.sample}: {run.outcome.staff_message}" for run in failed)
            raise CommandError(f"{len(failed)} runs were not judged; nothing was written.\n{said}")
        others = tuple(run for run in Recording.read(RECORDED).runs if run.homework in samples.keys() - wanted)
        Recording(runs + others).write(RECORDED)
        self.stdout.write(f"{len(runs)} runs written to {RECORDED.relative_to(settings.BASE_DIR)}.")
        if lab.HOMEWORK in wanted:
            self._record_lab(host)

    def _record_lab(self, host: Host) -> None:
        spec = load_manifest(EXAMPLE / lab.HOMEWORK).component("practice")
        if spec is None:
            raise CommandError(f"{lab.HOMEWORK} has no practice to run {lab.SCRIPT.name} with.")
        trained = lab.run(host, spec.limits, _runtime(spec.runtime))
        if trained.kind != "ok":
            raise CommandError(f"{lab.SCRIPT.name} did not end well; nothing was written.\n{trained.message}\n{trained.output}")
        lab.write(replace(trained, provenance=_kept(trained)))
        self.stdout.write(f"A lab run written to {lab.RECORDED.relative_to(settings.BASE_DIR)}.")

    def _runs(self, host: Host, manifest: HomeworkManifest, sample: Sample, stand_in: str) -> list[RecordedRun]:
        """As a hand-in has them: one, or where checks need a GPU the smoke check and, if that passes, the one that counts."""
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

        def recorded(job: Job, stage: Stage) -> RecordedRun:
            outcome = host.run(job)
            kept = replace(outcome, provenance=_kept(outcome))
            return RecordedRun(manifest.slug, sample.name, sample.digests, packed.digest, sample.seed, kept, stage)

        needing = {check.id for check in spec.checks if check.needs_gpu}
        if spec.queue == "cpu" or not needing:
            return [recorded(job, "grade")]
        smoke = recorded(replace(job, limits=smoke_limits(spec.limits), smoke=True), "smoke")
        return [smoke, recorded(replace(job, device=stand_in), "grade")] if smoke.outcome.passes_any(needing) else [smoke]


def _kept(outcome: Outcome) -> dict[str, object]:
    return {name: value for name, value in outcome.provenance.items() if name not in NOT_KEPT}


def _runtime(name: str) -> runtimes.Runtime:
    found = runtimes.find(settings.DATA_DIR, name, {"RUNTIME_PYTHON": settings.RUNTIME_PYTHON})
    if not isinstance(found, runtimes.Ready):
        raise CommandError(f"{found.status.message} Install it with: manage.py install_runtime {name} --wait")
    return found.runtime
