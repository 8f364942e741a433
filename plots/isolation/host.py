"""The host's end of a plug-in process: starting it, calling it within its limits, ending it with all that it started."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plots.base import HostTrouble, PluginError, Stopped, plugin_error
from plots.isolation import limits as say
from plots.isolation.limits import Limits
from plots.isolation.wire import ANSWER, MAGIC, MAX_HEADER, send_request

PASSED_ON = (
    "PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "MPLCONFIGDIR",
    "PIXEL_GEOMETRY_PATH",
)  # fmt: skip
"""What a plug-in gets of the environment; LC_* too. Nothing else: addresses of databases and secrets are in the rest.
The last one tells plots of larpix-monitor where their geometry is."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
MARK = "LARBOARD_PLUGIN_PROCESS"
BASE_START_S = 60.0
"""For Python and the libraries, before the plug-in is asked for."""
GRACE_S = 2.0
"""After the limit of a call, for the child to write down where it hangs."""
STRAY_S = 1.0
PRINTED_BYTES = 1 << 16
"""Of what a plug-in prints so much is passed on to the log, the rest is counted only."""
KEEP_S = 1.0


Answer = tuple[dict[str, Any], memoryview]


class Child:
    """One plug-in process. `call` is not for two threads at once."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.owner = os.getpid()
        self.seq = 0
        self.sheets: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self.sent_sheets: set[int] = set()
        self.geometry: str | None = None
        self.beside: int | None = None
        self.used = time.monotonic()
        self._mark = uuid.uuid4().hex
        self._printed = 0
        self._trace = os.memfd_create("larboard-trace", os.MFD_CLOEXEC)
        self._channel, theirs = socket.socketpair()
        self._prints, prints_in = os.pipe()
        os.set_blocking(self._prints, False)
        options = {
            "host": os.getpid(), "channel": theirs.fileno(), "trace": self._trace, "block_s": limits.block_s,
            "start_s": limits.start_s, "output_bytes": limits.output_bytes, "memory_mb": limits.memory_mb,
        }  # fmt: skip
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "plots.isolation.child", json.dumps(options)],
                stdin=subprocess.DEVNULL, stdout=prints_in, stderr=prints_in, start_new_session=True,
                pass_fds=(theirs.fileno(), self._trace), env=_environment(self._mark),
            )  # fmt: skip
        finally:
            theirs.close()
            os.close(prints_in)

    @property
    def alive(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def ready(self) -> None:
        """Waits until Python is up; Stopped when it does not come."""
        try:
            self._answer("the process of plug-ins", "while Python was starting", 0, time.monotonic() + BASE_START_S)
        except Stopped as error:
            raise Stopped(str(error), self.last_words()) from None

    def call(self, name: str, request: dict[str, Any], seconds: float, doing: str, fds: list[int]) -> Answer:
        """The answer to a request. Raises what the plug-in raised, or Stopped, and then the process has ended."""
        self.seq += 1
        begun = time.monotonic()
        self._printed_now = 0
        try:
            try:
                self._channel.settimeout(seconds + GRACE_S)
                send_request(self._channel, request | {"seq": self.seq}, fds)
            except TimeoutError:
                raise Stopped(say.too_slow(name, seconds, doing)) from None
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has gone: what it left says how
            header, payload = self._answer(name, doing, self.seq, begun + seconds + GRACE_S, seconds)
            self._judge(name, doing, header)
        except Stopped as error:
            self.end()
            raise Stopped(str(error), error.traceback or self.last_words()) from None
        except BaseException:  # an interruption: an answer would come to the next question
            self.end()
            raise
        finally:
            self.used = time.monotonic()
        if "error" in header:
            raise _raised(header["error"])
        return header, payload

    def _judge(self, name: str, doing: str, header: Mapping[str, Any]) -> None:
        """Raises Stopped for an answer that says a limit was passed."""
        if header.get("over") == "memory":
            raise Stopped(say.too_much_memory(name, self.limits, doing), _text(header.get("traceback")))
        if header.get("over") == "output":
            size = header.get("size")
            raise Stopped(say.too_much_output(name, size if type(size) is int else 0, self.limits, doing))
        if header.get("left"):
            raise Stopped(say.left_processes(name, doing))
        if not isinstance(header.get("stray", 0.0), float) or header.get("stray", 0.0) > STRAY_S:
            raise Stopped(say.stray(name))

    # -- bytes ----------------------------------------------------------------------------------------------------

    def _answer(self, name: str, doing: str, seq: int, until: float, seconds: float = BASE_START_S) -> Answer:
        head = self._read(ANSWER.size, name, doing, until, seconds)
        magic, text_size, payload_size = ANSWER.unpack(head)
        if magic != MAGIC or text_size > MAX_HEADER:
            raise Stopped(say.garbage(name, doing))
        if payload_size > self.limits.output_bytes + (1 << 16):
            raise Stopped(say.too_much_output(name, payload_size, self.limits, doing))
        try:
            header = json.loads(bytes(self._read(text_size, name, doing, until, seconds)))
        except (ValueError, RecursionError):
            raise Stopped(say.garbage(name, doing)) from None
        payload = self._read(payload_size, name, doing, until, seconds)
        if not isinstance(header, dict) or header.get("seq") != seq:
            raise Stopped(say.garbage(name, doing))
        return header, payload

    def _read(self, size: int, name: str, doing: str, until: float, seconds: float) -> memoryview:
        content = bytearray(size)
        view, done = memoryview(content), 0
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._prints, select.POLLIN)
        while done < size:
            left = until - time.monotonic()
            ready = dict(poll.poll(max(left, 0) * 1000)) if left > 0 else {}
            if not ready:
                raise Stopped(say.too_slow(name, seconds, doing))
            if self._prints in ready and not self._drain(name, doing):
                poll.unregister(self._prints)
            if self._channel.fileno() in ready:
                try:
                    got = self._channel.recv_into(view[done:], 0, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                except OSError:
                    got = 0
                if not got:
                    raise Stopped(self._epitaph(name, doing, seconds))
                done += got
        return view

    def _drain(self, name: str, doing: str) -> bool:
        """Takes what was printed; False when nothing more can come."""
        try:
            text = os.read(self._prints, 1 << 16)
        except BlockingIOError:
            return True
        if not text:
            return False
        self._printed_now += len(text)
        if self._printed < PRINTED_BYTES:
            _pass_on(text[: PRINTED_BYTES - self._printed])
            if self._printed + len(text) >= PRINTED_BYTES:
                _pass_on(b"\n(a plug-in prints much: the rest is left out)\n")
        self._printed += len(text)
        if self._printed_now > self.limits.output_bytes:
            raise Stopped(say.too_much_print(name, self.limits, doing))
        return True

    _printed_now = 0

    def _epitaph(self, name: str, doing: str, seconds: float) -> str:
        """Why there is no answer, from what is left."""
        try:
            code = self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            return say.closed(name, doing)
        with contextlib.suppress(Stopped):
            while self._drain(name, doing) and select.select([self._prints], [], [], 0)[0]:
                pass
        if code == 1 and self.last_words().startswith("Timeout"):
            return say.too_slow(name, seconds, doing)
        return say.died(name, code, doing)

    def last_words(self) -> str:
        """What the child wrote about where it was, when it had to end."""
        try:
            size = os.fstat(self._trace).st_size
            text = os.pread(self._trace, min(size, 100_000), 0)
        except OSError:
            return ""
        return text.replace(b"\0", b"").decode("utf-8", "replace")

    # -- ends -----------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Kills the process and everything that it started. Again and again is fine; in a fork of the host nothing is."""
        if self._trace < 0:
            return
        if self.owner == os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            _kill_marked(self._mark)
        else:
            self._process.returncode = 0  # it is our parent's to wait for

    def close(self) -> None:
        """Ends it and gives its descriptors back."""
        self.end()
        if self._trace >= 0:
            self._channel.close()
            os.close(self._prints)
            os.close(self._trace)
            self._trace = -1


def _environment(mark: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith("LC_")}
    path = os.pathsep.join(os.path.abspath(entry) for entry in dict.fromkeys(sys.path))  # noqa: PTH100
    own = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg", MARK: mark}
    return _with_home_of_matplotlib(kept) | dict.fromkeys(ONE_THREAD, "1") | own


def _with_home_of_matplotlib(environment: dict[str, str]) -> dict[str, str]:
    """With a folder for what matplotlib keeps, where the home cannot be written: else it makes one at each start."""
    home = environment.get("HOME", "/nonexistent")
    if "MPLCONFIGDIR" in environment or (Path(home).is_dir() and os.access(home, os.W_OK)):
        return environment
    folder = Path(tempfile.gettempdir()) / f"larboard-matplotlib-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        info = folder.lstat()
        # it has settings in it: only one that is ours is used
        if stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o022:
            return environment | {"MPLCONFIGDIR": str(folder)}
    return environment


def _kill_marked(mark: str) -> None:
    """Ends what a plug-in started and moved out of its group: its environment still has the mark."""
    wanted = f"{MARK}={mark}".encode()
    for _ in range(5):
        found = False
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{entry.name}/environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
                    found = True
        if not found:
            return


def _raised(error: Any) -> PluginError:
    """What the plug-in raised, as an exception of that name here."""
    error = error if isinstance(error, dict) else {}
    frames = [tuple(f) for f in error.get("frames") or () if isinstance(f, list) and len(f) == 2]
    return plugin_error(_text(error.get("type")), _text(error.get("text")), _text(error.get("traceback")), frames)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _pass_on(text: bytes) -> None:
    """What a plug-in prints goes to the log of its host, unable to steer a terminal."""
    said = text.decode("utf-8", "replace")
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write("".join(c if c.isprintable() or c in "\n\t" else "?" for c in said))
        sys.stderr.flush()


# -- the keeper ------------------------------------------------------------------------------------------------------


class Keeper:
    """One thread of the host that starts all children and looks after those that rest.

    A child ends with the thread that started it, so it must be one that lasts as long as the host.
    """

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[tuple[Limits, queue.SimpleQueue]] = queue.SimpleQueue()
        self.looked_after: weakref.WeakSet[Any] = weakref.WeakSet()
        self.children: weakref.WeakSet[Child] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start_child(self, limits: Limits) -> Child:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="plug-ins", daemon=True)
                self._thread.start()
        answer: queue.SimpleQueue = queue.SimpleQueue()
        self._wanted.put((limits, answer))
        made = answer.get()
        if isinstance(made, OSError):
            raise HostTrouble(f"no process for a plug-in can be started: {made.strerror}") from made
        if isinstance(made, BaseException):
            raise made
        self.children.add(made)
        return made

    def _run(self) -> None:
        next_look = time.monotonic() + KEEP_S
        while True:
            with contextlib.suppress(queue.Empty):
                limits, answer = self._wanted.get(timeout=max(next_look - time.monotonic(), 0.01))
                try:
                    answer.put(Child(limits))
                except BaseException as error:
                    answer.put(error)
            if time.monotonic() >= next_look:
                for plugin in list(self.looked_after):
                    with contextlib.suppress(Exception):
                        plugin.look_after()
                next_look = time.monotonic() + KEEP_S


keeper = Keeper()


def _after_fork() -> None:
    from plots.isolation.wire import forget_sheets

    global keeper
    keeper = Keeper()
    forget_sheets()
    for action in after_fork:
        action()


after_fork: list[Callable[[], None]] = []
os.register_at_fork(after_in_child=_after_fork)


def _end_all() -> None:
    for child in list(keeper.children):
        child.close()


atexit.register(_end_all)
