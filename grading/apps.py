from django.apps import AppConfig


class GradingConfig(AppConfig):
    name = "grading"

    def ready(self) -> None:
        from grading.services import people, retention  # noqa: F401  # receivers and rules connect when the models are there
