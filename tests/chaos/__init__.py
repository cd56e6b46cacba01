"""The site under sudden deaths: `make chaos` runs 20 seeds, the suite three of them (`test_chaos.py`).

One seed: 50 students make 200 hand-ins within 14 seconds, through the service that the pages use. Two Celery workers and a runner host
with real sandboxes judge them. Meanwhile, by the seed's plan, `kill -9` ends a worker, the runner host, a warm process or Valkey; SIGQUIT
ends PostgreSQL as `pg_ctl stop -m immediate` does; and SIGSTOP holds a worker for longer than its lease. What died is started again, as
systemd would. When the last run has ended, the database is asked (`verdict.py`): every hand-in is there once, its run has one result, that
result counts and is the right one, and at least one worker that woke up too late was turned away.

Beside the site, on the same broker and database, hit by the same faults at the same moments, runs a control (`control.py`): the same work
as plain Celery tasks with `acks_late`. Over all seeds together it must lose work and do work twice; a harness in which it does not proves
nothing about the site either.

    plan.py      what happens when, drawn from the seed
    students.py  the course, and who hands in what
    site.py      the processes, and how each is struck
    control.py   plain Celery
    verdict.py   what must hold afterwards
    seeds.py     one seed from beginning to end, and the table
    __main__.py  python -m tests.chaos [--seeds N] [--first N] [--json]

It takes its own PostgreSQL cluster, Valkey and data folder, below the temporary folder, and touches nothing else.
"""
