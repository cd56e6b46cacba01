import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("grading", "0007_run_enrollment"),
    ]

    operations = [
        migrations.AlterField(
            model_name="run",
            name="enrollment",
            field=models.ForeignKey(
                help_text="Whose turn in the queue it takes.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="courseapp.enrollment",
            ),
        ),
    ]
