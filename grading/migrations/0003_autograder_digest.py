from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from courseapp import blobs
from grading.runner.bundle import autograder_digest


def fill(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """A bundle whose file cannot be read gets its own digest: it is like no other, so scores of it count as an earlier version's."""
    bundles = apps.get_model("grading", "Bundle").objects.using(schema_editor.connection.alias)
    for bundle in bundles.all():
        try:
            digest = autograder_digest(blobs.read(bundle.digest))
        except (OSError, ValueError):
            digest = bundle.digest
        bundles.filter(pk=bundle.pk).update(autograder_digest=digest)


class Migration(migrations.Migration):
    dependencies = [("grading", "0002_idempotency_key")]

    operations = [
        migrations.AddField(
            model_name="bundle",
            name="autograder_digest",
            field=models.CharField(
                default="", help_text="SHA-256 of what decides a score; bundles that share it judge alike.", max_length=64
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="runnerhost",
            name="memory_guard",
            field=models.CharField(blank=True, default="", help_text="What bounds the memory of a run.", max_length=40),
            preserve_default=False,
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
