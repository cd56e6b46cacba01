import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("grading", "0012_run_log_and_curves"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="component",
            field=models.ForeignKey(
                help_text="Its submission's: what it runs as.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="grading.component",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["finished_at"], name="run_finished"),
        ),
    ]
