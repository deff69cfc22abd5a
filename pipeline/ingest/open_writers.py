"""Has somebody a file open for writing? Then its producer is not done with it `[handoff-11]`."""

from __future__ import annotations

import errno
import fcntl
import signal


def is_open_for_writing(descriptor: int) -> bool:
    """Tell whether any process has this open file open for writing, or mapped so; False where that cannot be told.

    Asks for a read lease, which Linux refuses with EAGAIN when there is a writer, and gives it back at once. It is
    not to be had for the files of another user (without CAP_LEASE) and on network file systems: there, only quiet
    tells (`settle_s`).
    """
    try:
        # A writer that comes in the moment of the lease makes the kernel signal us: by default SIGIO, which would end
        # the process; SIGURG is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
