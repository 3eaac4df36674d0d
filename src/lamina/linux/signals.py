"""Signals without the module `signal`, which is dear as it makes its names enumerations.

What it is made of has the same names and, to type checkers, the same types.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is dear
if TYPE_CHECKING:
    from signal import SIG_BLOCK as SIG_BLOCK
    from signal import SIG_DFL as SIG_DFL
    from signal import SIG_SETMASK as SIG_SETMASK
    from signal import SIGCHLD as SIGCHLD
    from signal import SIGHUP as SIGHUP
    from signal import SIGINT as SIGINT
    from signal import SIGKILL as SIGKILL
    from signal import SIGPIPE as SIGPIPE
    from signal import SIGQUIT as SIGQUIT
    from signal import SIGTERM as SIGTERM
    from signal import SIGUSR1 as SIGUSR1
    from signal import SIGUSR2 as SIGUSR2
    from signal import SIGWINCH as SIGWINCH
    from signal import SIGXFSZ as SIGXFSZ
    from signal import pthread_sigmask as pthread_sigmask
    from signal import signal as signal
    from signal import sigtimedwait as sigtimedwait
else:
    from _signal import (  # noqa: F401 - for others
        SIG_BLOCK,
        SIG_DFL,
        SIG_SETMASK,
        SIGCHLD,
        SIGHUP,
        SIGINT,
        SIGKILL,
        SIGPIPE,
        SIGQUIT,
        SIGTERM,
        SIGUSR1,
        SIGUSR2,
        SIGWINCH,
        SIGXFSZ,
        pthread_sigmask,
        signal,
        sigtimedwait,
    )
