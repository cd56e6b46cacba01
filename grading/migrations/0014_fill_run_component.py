"""By itself: PostgreSQL changes no table in the transaction that has changed its rows."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def fill(apps: StateApps, _schema: BaseDatabaseSchemaEditor) -> None:
    run, submission = apps.get_model("grading", "Run"), apps.get_model("grading", "Submission")
    run.objects.update(component=models.Subquery(submission.objects.filter(pk=models.OuterRef("submission")).values("component")[:1]))


class Migration(migrations.Migration):
    dependencies = [
        ("grading", "0013_run_component"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
