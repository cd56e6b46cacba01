from django.apps import AppConfig


class CourseappConfig(AppConfig):
    name = "courseapp"
    verbose_name = "Course and people"

    def ready(self) -> None:
        from courseapp import signals  # noqa: F401  # receivers connect when the models are there
