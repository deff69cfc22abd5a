"""What the kernel holds a process of ours to that reads what a stranger wrote. Stands on nothing of ours."""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_NO_NEW_PRIVILEGES = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_READ_FILE, _WRITE_FILE, _READ_DIR = 1 << 2, 1 << 1, 1 << 3
_REMOVE_FILE, _MAKE_FILE, _TRUNCATE = 1 << 5, 1 << 8, 1 << 14
_IN_FOLDER = _READ_FILE | _WRITE_FILE | _READ_DIR | _REMOVE_FILE | _MAKE_FILE | _TRUNCATE
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights over files a version of Landlock knows; 16 since version 5."""
_TCP, _SCOPES = 0b11, 0b11
_TCP_SINCE, _SCOPES_SINCE = 4, 6


@dataclass(frozen=True, slots=True)
class Limits:
    """Resources of one process, for its whole life; sizes are bytes."""

    memory: int
    cpu_s: int
    file_size: int


def confine(limits: Limits, folder: str, readable: Iterable[str]) -> bool:
    """Give up, for this process and for good, whatever working on files in one folder does not need.

    No child processes, no core dump, no privileges gained; where the kernel has Landlock, no file is opened any more
    outside of that folder and, to be read, of those with the code that may be imported; no TCP connection is made, no
    signal sent. Tells whether the kernel has it. Raises OSError.
    """
    for kind, limit in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    return _shut_in({folder: _IN_FOLDER, **dict.fromkeys(readable, _READ_FILE | _READ_DIR)})


def _shut_in(rights: Mapping[str, int]) -> bool:
    import ctypes  # late: only here, and it is to load before its library can no longer be opened

    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(_NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero):
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")
    version = libc.syscall(_CREATE_RULESET, None, zero, ctypes.c_uint(_VERSION_FLAG))
    if version < 1:
        return False
    files = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    tcp = _TCP if version >= _TCP_SINCE else 0
    scopes = _SCOPES if version >= _SCOPES_SINCE else 0
    wanted = struct.pack("=QQQ", files, tcp, scopes)
    ruleset = libc.syscall(_CREATE_RULESET, wanted, ctypes.c_ulong(len(wanted)), ctypes.c_uint(0))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "Landlock refused its rules")
    kind, none = ctypes.c_int(_PATH_BENEATH), ctypes.c_uint(0)
    for folder, allowed in rights.items():
        inside = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        rule = struct.pack("=Qi", allowed & files, inside)
        refused = libc.syscall(_ADD_RULE, ctypes.c_int(ruleset), kind, rule, none)
        os.close(inside)
        if refused:
            raise OSError(ctypes.get_errno(), "Landlock refused a rule")
    if libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), none):
        raise OSError(ctypes.get_errno(), "Landlock refused to shut the process in")
    os.close(ruleset)
    return True
