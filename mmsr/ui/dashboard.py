"""optuna-dashboard's server: `python -m mmsr.ui.dashboard PORT`, the storage in `MMSR_UI_STORAGE`.

Its own command takes the storage as an argument, which everybody on the machine can read, and with
it a password.
"""

from __future__ import annotations

import os
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

STORAGE = "MMSR_UI_STORAGE"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


def main() -> None:
    """Serve until the process is ended."""
    from optuna_dashboard import wsgi

    app = wsgi(os.environ[STORAGE])
    port = int(sys.argv[1])
    make_server("127.0.0.1", port, app, server_class=_Server, handler_class=_Quiet).serve_forever()


if __name__ == "__main__":
    main()
