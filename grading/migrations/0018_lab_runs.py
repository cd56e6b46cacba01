import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("courseapp", "0003_api_tokens"),
        ("grading", "0017_slot_quarantined_at"),
    ]

    operations = [
        migrations.AlterField(
            model_name="run",
            name="bundle",
            field=models.ForeignKey(
                blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="grading.bundle"
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="submission",
            field=models.ForeignKey(
                blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="runs", to="grading.submission"
            ),
        ),
        migrations.CreateModel(
            name="LabRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(help_text="1, 2, … per person and course.")),
                ("script", models.CharField(help_text="The file that is run.", max_length=255)),
                ("arguments", models.CharField(blank=True, help_text="As they were typed; split as a shell does.", max_length=1000)),
                ("created_at", models.DateTimeField()),
                (
                    "component",
                    models.ForeignKey(
                        help_text="Whose environment, queue and limits it has.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="grading.component",
                    ),
                ),
                (
                    "enrollment",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="lab_runs", to="courseapp.enrollment"),
                ),
                (
                    "submission",
                    models.ForeignKey(
                        blank=True,
                        help_text="The hand-in whose files it was given.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="grading.submission",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="LabFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("path", models.CharField(max_length=255)),
                ("size", models.PositiveBigIntegerField()),
                ("sha256", models.CharField(max_length=64)),
                ("lab", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="files", to="grading.labrun")),
            ],
            options={
                "ordering": ["path"],
            },
        ),
        migrations.AddField(
            model_name="run",
            name="lab",
            field=models.OneToOneField(
                blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="run", to="grading.labrun"
            ),
        ),
        migrations.AddConstraint(
            model_name="run",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("bundle__isnull", False), ("lab__isnull", True), ("submission__isnull", False)),
                    models.Q(("bundle__isnull", True), ("lab__isnull", False), ("purpose", 1), ("submission__isnull", True)),
                    _connector="OR",
                ),
                name="run_of_a_hand_in_or_lab",
            ),
        ),
        migrations.AddConstraint(
            model_name="labrun",
            constraint=models.UniqueConstraint(fields=("enrollment", "number"), name="lab_run_number_unique"),
        ),
        migrations.AddConstraint(
            model_name="labfile",
            constraint=models.UniqueConstraint(fields=("lab", "path"), name="lab_file_unique"),
        ),
    ]
