"""``larboard serve``: the site under gunicorn. Everything that can be wrong is found before a worker is started."""

from __future__ import annotations

import errno
import gc
import importlib.util
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from dqm import logs
from dqm.edge.slow import LIMITS, PatientWorker
from dqm.settings import Settings, store_url
from dqm.store import OldSchema, StoreProblem, open_store

FAILED, BAD_INPUT = 1, 2
log = logging.getLogger("larboard.site")

APP = Path(__file__).resolve().parent.parent / "app.py"
STOP_S = 2
"""What is being answered may take so long when the site stops; event streams are ended at once."""
HANGS_S = 60
KEEP_S = 15
"""A connection without a request is closed after so long."""
BACKLOG = 512
AGAIN_S = 0.5
"""A worker that begins while the database is away asks for it so often."""
EXTENSION, PRESENCE = "larboard.events", "larboard.presence"


def serve(settings: Settings, say: Callable[[str], None], make_app: Callable[[Settings], Any] | None = None) -> None:
    """Serves the site until it is told to stop, then ends the process with exit code 0; 2 when it cannot begin.

    `say` is told the address once, by the first worker that is ready to answer. `make_app` makes the Dash app
    (default: `create_app` of app.py), in each worker anew: connections and threads do not survive a fork.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # until gunicorn has handlers of its own
    try:
        open_store(store_url(settings), settings.data.directory / "states").close()
    except StoreProblem as problem:
        _fail(str(problem))
    listener = _listen(settings.web.host, settings.web.port)
    master = os.getpid()
    try:
        Gunicorn(settings, say, make_app or _create_app, listener).run()
    except SystemExit as end:
        if os.getpid() != master:  # a worker, whose code tells the master how it ended
            raise
        sys.exit(FAILED if end.code else 0)


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens, before anything else is done: the port is ours, or the process ends with a sentence."""
    where = f"port {port} on {host}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # localhost is both: the older one is where everybody looks
        family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except socket.gaierror as error:
        _fail(f"setting web.host: {host} is no address of this host ({error.strerror})")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _fail(f"{where} is in use: another Larboard? choose another with --port or [web] port")
        if error.errno == errno.EADDRNOTAVAIL:
            _fail(f"setting web.host: {host} is no address of this host")
        if error.errno == errno.EACCES:
            _fail(f"{where} is not for everybody: choose one above 1023 with --port or [web] port")
        _fail(f"{where} cannot be opened: {error.strerror or error}")
    return listener


def _fail(text: str) -> NoReturn:
    print(f"larboard: {text}", file=sys.stderr, flush=True)
    sys.exit(BAD_INPUT)


def address_of(listener: socket.socket, prefix: str = "") -> str:
    """What to type into a browser."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - to be told, not to be bound
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{prefix}"


def _create_app(settings: Settings) -> Any:
    return _app_module().create_app(settings)


def _app_module() -> ModuleType:
    """The app.py beside this package, by its file: the current directory may have one of its own."""
    spec = importlib.util.spec_from_file_location("app", APP)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["app"] = module
    spec.loader.exec_module(module)
    return module


def _warm(app: Any) -> None:
    """Lets Dash set itself up before the first browser comes: two first requests at once give a blank page."""
    warm = getattr(sys.modules.get("app"), "warm", None)
    if warm is not None:
        warm(app)
        return
    client = app.server.test_client()
    for path in ("/", "/_dash-layout", "/_dash-dependencies"):
        client.get(path)


class Gunicorn(BaseApplication):
    """Our settings as gunicorn's; the app is made in each worker."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None], make_app: Callable[[Settings], Any], listener: Any
    ):
        self._settings = settings
        self._say = say
        self._make_app = make_app
        self._address = address_of(listener, settings.web.prefix)
        self._descriptor = listener.detach()
        self._token, token = os.pipe()
        os.set_blocking(self._token, False)
        os.write(token, b"!")
        os.close(token)
        super().__init__()

    def load_config(self) -> None:
        web = self._settings.web
        values = {
            "bind": f"fd://{self._descriptor}",
            "workers": web.workers,
            "threads": web.threads,
            "worker_class": Worker,
            "logger_class": OneLineLogger,
            "loglevel": "warning",
            "graceful_timeout": STOP_S,
            "timeout": HANGS_S,
            "worker_connections": max(1000, 4 * web.threads),
            "keepalive": KEEP_S,
            "forwarded_allow_ips": "",  # whom to believe is the edge's business
            "forwarder_headers": "",
            "control_socket_disable": True,
            "post_worker_init": self._announce,
            "proc_name": "larboard",
        }
        for name, value in (values | LIMITS).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        logs.set_up(self._settings.log.format, self._settings.log.level)
        app = self._made()
        _warm(app)
        gc.freeze()  # what is there lives as long as the process: not to be looked through again and again, nor at the end
        return app.server

    def _made(self) -> Any:
        """The app, as soon as the database answers: a worker that ended for want of it would end the whole site."""
        said = False
        while True:
            try:
                return self._make_app(self._settings)
            except OldSchema as problem:
                print(f"larboard: {problem}", file=sys.stderr, flush=True)
                sys.exit(Arbiter.WORKER_BOOT_ERROR)
            except StoreProblem as problem:
                if not said:
                    log.warning("%s; the site waits for it", problem)
                said = True
                time.sleep(AGAIN_S)

    def _announce(self, _worker: Any) -> None:
        """Says the address, in whichever worker is the first to take the token."""
        try:
            first = os.read(self._token, 1)
        except BlockingIOError:
            return
        if first:
            self._say(f"Larboard is at {self._address}")
            sys.stdout.flush()


class Worker(PatientWorker):
    """A worker whose event streams end when it is told to stop; else each of them would hold it to the last moment."""

    def run(self) -> None:
        try:
            super().run()
        finally:  # whatever ended it, also the death of the master: threads that stream would keep the process
            self._end_streams()
            if presence := self._extension(PRESENCE):
                presence.stop()

    def notify(self) -> None:
        super().notify()
        if presence := self._extension(PRESENCE):
            presence()

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._end_streams()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Waits for nobody, but leaves by its loop: an exit raised wherever it is just now may be lost, as in a callback of
        the collector, and is told as an error there.
        """
        self.handle_exit(sig, frame)
        self.nr_conns = 0

    def _end_streams(self) -> None:
        if broadcaster := self._extension(EXTENSION):
            broadcaster.stop()

    def _extension(self, name: str) -> Any:
        return getattr(getattr(self, "wsgi", None), "extensions", {}).get(name)


class OneLineLogger(Logger):
    """gunicorn's log: nothing of each request, errors in one line, and none about browsers that went away."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.formatter())
            handler.addFilter(_is_ours)


def _is_ours(record: logging.LogRecord) -> bool:
    """A browser that takes nothing any more is no error of this process."""
    return not (record.exc_info and isinstance(record.exc_info[1], (TimeoutError, ConnectionError)))
