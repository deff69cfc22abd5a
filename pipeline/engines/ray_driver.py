"""Ray's driver, a process of its own: starts or joins Ray, and has it work on the waves of shards that a run sends.

A run's own process never imports Ray: a library that starts a dozen processes, sets signal handlers, and aborts the
process that it is in when one of them is gone. This one can be stopped where it stands, and killed with all that it
started, by its keeper (`ray_keeper.py`).
"""

from __future__ import annotations

import argparse
import os
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection

import pyarrow as pa

from pipeline.engines.ray_jobs import explain, warm_up, worked_on
from pipeline.engines.ray_messages import Asked, Done, Failed, Ready, Rows, Said, Start, Wave
from pipeline.engines.ray_session import RaySession
from pipeline.errors import PipelineError
from pipeline.network_guard import guard_network


def main() -> None:
    """Do what the other end of the connection asks for, until it wants no more."""
    parser = argparse.ArgumentParser(prog="pipeline.engines.ray_driver", allow_abbrev=False)
    parser.add_argument("--connection-fd", type=int, required=True, help="the socket to the run")
    given = parser.parse_args()
    os.umask(0o077)
    guard_network()
    os.set_inheritable(given.connection_fd, False)  # its end tells the run that this process is gone
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        serve(Connection(given.connection_fd))


def serve(connection: Connection) -> None:
    """Start or join Ray as the first word says, then work on what is asked for. What goes wrong is told."""
    start: Start = connection.recv()
    try:
        session = RaySession(start)
        warm_up(session.workers)
        _say(connection, _ready(session, answers=0))
        while (asked := _hear(connection)) is not None:
            if isinstance(asked, Wave):
                _work(connection, session, asked)
            else:
                session.require_well()
                _say(connection, _ready(session, answers=asked.number))
        session.close()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # noqa: BLE001 raised again in the run
        _say(connection, Failed(_without_ray(error)))


def _work(connection: Connection, session: RaySession, wave: Wave) -> None:
    for table in worked_on(wave.job, wave.descriptors, session.workers):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        _say(connection, Rows(wave.number, sink.getvalue().to_pybytes()))
    session.require_allowed()
    _say(connection, Done(wave.number))


def _ready(session: RaySession, answers: int) -> Ready:
    return Ready(answers, session.node, session.workers, session.workers_of_a_node)


def _without_ray(error: Exception) -> Exception:
    """An error that can be read without Ray: ours as it is, what Ray lost explained, anything else as a text."""
    told = error if isinstance(error, PipelineError) else explain(error)
    if isinstance(told, PipelineError):
        return told
    return RuntimeError("in the driver of Ray:\n" + "".join(traceback.format_exception(told)))


def _say(connection: Connection, said: Said) -> None:
    connection.send(said)


def _hear(connection: Connection) -> Asked:
    asked: Asked = connection.recv()
    return asked


if __name__ == "__main__":
    main()
