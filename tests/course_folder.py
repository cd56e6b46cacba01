"""A small course as files, for the tests of loading."""

from pathlib import Path

COURSE = """\
slug = "dl-fl23"
code = "DL 1"
title = "Deep Learning"
term = "Fall 2023"
timezone = "America/New_York"
starts_on = 2023-09-04
homeworks = ["hw1"]

[late]
percent_per_day = 10
days = 4

[[section]]
name = "001"

[[section]]
name = "002"

[[person]]
role = "student"
first_name = "Ann"
last_name = "Owner"
username = "ao1"
email = "ann@example.edu"
institutional_id = "N1"
section = "001"

[[person]]
role = "ta"
first_name = "Tom"
last_name = "Helper"
username = "th1"
email = "tom@example.edu"
"""

HOMEWORK = """\
number = 1
title = "Backpropagation"
release = "2023-10-12 09:00"
due = "2023-10-22 23:59"

[sections]
002 = "2023-10-15 23:59"

[theory]
points = 50
required = ["theory.pdf"]

[practice]
points = 50
required = ["mlp.py"]
allowed = ["*.py"]

[[check]]
id = "forward"
title = "Forward pass"
points = 20
visibility = "visible"

[[check]]
id = "gradients"
title = "Gradients"
points = 30
visibility = "hidden"
"""


def write_course(folder: Path, course: str = COURSE, homework: str = HOMEWORK) -> Path:
    """`folder` with course.toml and hw1/; written again over what is there."""
    hw1 = folder / "hw1"
    (hw1 / "starter").mkdir(parents=True, exist_ok=True)
    (folder / "course.toml").write_text(course)
    (hw1 / "homework.toml").write_text(homework)
    (hw1 / "statement.md").write_text("# Backpropagation\n\nFind $\\partial J / \\partial W$.\n")
    (hw1 / "checks.py").write_text("# the checks\n")
    (hw1 / "starter" / "mlp.py").write_text("class MLP: ...\n")
    return folder
