from django.apps import AppConfig


class GradingConfig(AppConfig):
    name = "grading"

    def ready(self) -> None:
        from grading.services import people  # noqa: F401  # receivers connect when the models are there
