"""`serve`: the workstation in a browser."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Annotated

import typer

from errors import IntervalError
from settings import Settings
from ui.cli.common import DataDir, Json, begin, log_to_stderr


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to serve on; only loopback.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to serve on.", show_default="7860")] = None,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Serve the workstation until stopped (the default command)."""
    settings, out = begin(context, data_dir, as_json, host=host, port=port)
    log_to_stderr(settings.log_level)
    require_free(settings)
    from ui.server import serve as run

    host_name = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host_name}:{settings.port}"
    out.say(f"Interval is starting on {address} (Ctrl-C stops it)")
    with suppress(KeyboardInterrupt):  # how a person ends it
        run(settings)
    out.result({"address": address, "stopped": True})


def require_free(settings: Settings) -> None:
    """Refuse a port that is taken before anything heavy is loaded. Raises `IntervalError`."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            busy = error.errno == errno.EADDRINUSE
            why = "is in use by another program" if busy else f"cannot be served on ({error.strerror})"
            remedy = f"stop that program or choose another port, for example --port {settings.port + 1 if settings.port < 65535 else 7860}"
            raise IntervalError(f"Port {settings.port} of {settings.host} {why}: {remedy}.") from error
