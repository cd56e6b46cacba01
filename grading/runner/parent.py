"""Children that do not outlive the process that started them."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(sent: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends `sent` to the child when the *thread* that started it ends, even by SIGKILL.

    The setting survives exec but not a change of user afterwards, and it does not reach grandchildren.
    """
    parent = os.getpid()

    def set_signal() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(sent), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)  # it died between fork and prctl

    return set_signal
