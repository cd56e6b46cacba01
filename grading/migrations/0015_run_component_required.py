import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("grading", "0014_fill_run_component"),
    ]

    operations = [
        migrations.AlterField(
            model_name="run",
            name="component",
            field=models.ForeignKey(
                help_text="Its submission's: what it runs as.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="grading.component",
            ),
        ),
    ]
