"""One site on several machines: two that judge, in network namespaces of their own, and one with database, broker and storage.

What stands for the third is a namespace too, in which `town.py` runs: it has a bridge, PostgreSQL and Valkey on the bridge's address, and
is the site's web side, which takes hand-ins. Each machine that judges has one end of a cable (veth) to that bridge, a hostname, a data
folder with an `uploads/` onto which the storage is mounted, and nothing in its environment but where these three are. On each,
`manage.py workers` starts what it can serve. One of them is then cut off and killed in the middle of its runs.

Nothing of it is seen outside: the namespaces, and with them bridge and cables, are gone when their last process is.

    __main__.py  python -m tests.machines: makes the first namespace, and a folder for everything
    town.py      what happens in it; prints what it saw as JSON
    test_machines.py
"""
