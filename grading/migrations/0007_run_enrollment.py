"""By itself: PostgreSQL changes no table in the transaction that has changed its rows."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

RERUN = 2


def fill(apps: StateApps, _schema: BaseDatabaseSchemaEditor) -> None:
    """A run so far is of its hand-in's student; what staff asked for is a rerun."""
    run, submission = apps.get_model("grading", "Run"), apps.get_model("grading", "Submission")
    owner = submission.objects.filter(pk=models.OuterRef("submission")).values("enrollment")[:1]
    run.objects.update(enrollment=models.Subquery(owner))
    run.objects.filter(requested_by__isnull=False).update(purpose=RERUN)


class Migration(migrations.Migration):
    dependencies = [
        ("grading", "0006_queue_order"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
