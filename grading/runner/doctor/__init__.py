"""The doctor of the sandbox: which tier holds on this machine, and whether it holds against everything that students have tried.

Theory of operation. `examining.py` hands in one attack after the other (`attacks/`, hand-ins as data) to the homework of `homework.py`, by
the same `Host.run` that judges students. Beside each attack runs a healthy hand-in. What is looked at is looked at from outside of the
sandbox (`observing.py`): the result, everything that a student is shown, the machine's processes, its free memory, the neighbour's time.
`judging.py` says from that record alone whether the attack was held, and which of the criteria it missed.

An attack proves that it was made, by a mark in its output or by the reason for which it was stopped; one that is broken is never "held".
Whatever it must not see carries a canary, a random text of this examination: inputs, expected values, checks.py, the bundle's data, the
neighbour's hand-in, a file and the environment of the host.

Plain Python, so that it runs for any user who has the code: python -m grading.runner.doctor --runtime PYTHON
"""
