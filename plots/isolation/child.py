"""The process that runs one plug-in: ``python -m plots.isolation.child``, started by its host and ended with it.

It answers one request at a time. What the plug-in raises is an answer too; what takes the process down is the host's to
explain.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib.metadata
import json
import mmap
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import plotly.graph_objects as go

from dqm import kernels
from dqm.formats.beside import Beside
from plots.base import MergeablePlot, Plot, State, Trend, check_figure, load_figure
from plots.isolation.loading import fault_of, import_file, plots_in
from plots.isolation.predecessor import (
    COPIED,
    Memory,
    Predecessor,
    adapted,
    copied,
    fault_of_old,
    predecessors_in,
    takes_a_file,
)
from plots.isolation.wire import Packets, pack_leaves, packets_of, receive_request, send_answer
from plots.state import WrongState, _check_hist, _leaves

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
MAX_TEXT = 10_000
MAX_TRACEBACK = 100_000
THREADS_MB = 64

Answer = tuple[dict[str, Any], list[Any]]


class TooMuch(Exception):
    """An answer is larger than it may be; `size` is how large [bytes]."""

    def __init__(self, size: int):
        super().__init__(size)
        self.size = size


class Child:
    """The plug-in and what it holds: its classes, objects that count, figures that are their memory."""

    def __init__(self, channel: socket.socket, trace: int, block_s: float, start_s: float, output_bytes: int):
        self.channel = channel
        self.trace = trace
        self.seconds = {"load": start_s}
        self.block_s = block_s
        self.output_bytes = output_bytes
        self.pid = os.getpid()
        self.classes: dict[str, type[Plot]] = {}
        self.objects: dict[int, Plot] = {}
        self.figures: dict[int, Any] = {}
        self.detectors: dict[str, Any] = {}
        self.beside = Beside()
        self.last_copy: tuple[Any, Any] = (None, None)
        self.maps: dict[int, mmap.mmap] = {}
        self.stray = 0.0
        """CPU seconds that threads used between calls."""

    # -- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Answers until the host has gone."""
        while True:
            rested = (time.process_time(), time.thread_time())
            try:
                request, fds = receive_request(self.channel)
            except (EOFError, ConnectionError):
                os._exit(0)
            whole, own = time.process_time() - rested[0], time.thread_time() - rested[1]
            self.stray += max(whole - own, 0.0)
            header, parts = self._guarded(request, fds)
            if os.getpid() != self.pid:
                os._exit(0)  # the plug-in forked, and this is the copy: one answer is enough
            header |= {"seq": request["seq"], "stray": self.stray, "left": _has_children()}
            send_answer(self.channel, header, parts)
            del request, header, parts

    def _guarded(self, request: dict[str, Any], fds: list[int]) -> Answer:
        """The answer to a request, whatever the plug-in does that Python can catch."""
        try:
            self._receive(request, fds)
            # a call over its limit writes where it is and ends the process, though nobody may be there to end it
            faulthandler.dump_traceback_later(
                self.seconds.get(request["verb"], self.block_s), exit=True, file=self.trace
            )
            try:
                return getattr(self, f"_{request['verb']}")(request)
            finally:
                faulthandler.cancel_dump_traceback_later()
        except MemoryError as error:
            return {"over": "memory", "traceback": _trace(error)}, []
        except TooMuch as error:
            return {"over": "output", "size": error.size}, []
        except BaseException as error:
            return {"error": _told(error)}, []

    def _receive(self, request: dict[str, Any], fds: list[int]) -> None:
        """What came with a request: blocks in shared memory, a geometry, what is no longer wanted."""
        for number, fd in zip(request.get("sheets", ()), fds, strict=True):
            self.maps[number] = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
            os.close(fd)
        for number in request.get("drop_sheets", ()):
            self.maps.pop(number, None)
        for number in request.get("drop", ()):
            self.objects.pop(number, None)
            self.figures.pop(number, None)
        if "detector" in request:
            detector = request["detector"]
            self.detectors = {detector.geometry_id: detector}
        if "beside" in request:
            self.beside = request["beside"]

    # -- verbs ----------------------------------------------------------------------------------------------------

    def _ping(self, request: dict[str, Any]) -> Answer:
        return {}, []

    def _load(self, request: dict[str, Any]) -> Answer:
        """Imports the plug-in: a file, or the entry points of a package; what plots are in it, and what is wrong."""
        if "file" in request:
            path = Path(request["file"])
            return {"groups": [self._group(path.stem, lambda: import_file(path))]}, []
        points = [importlib.metadata.EntryPoint(*entry) for entry in request["entries"]]
        return {"groups": [self._group(point.name, point.load) for point in points]}, []

    def _group(self, name: str, load: Callable[[], Any]) -> dict[str, Any]:
        try:
            loaded = load()
        except MemoryError:
            raise
        except BaseException as error:
            return {"name": name, "error": _told(error)}
        if not isinstance(loaded, ModuleType):
            old = {getattr(loaded, "__name__", name): loaded} if takes_a_file(loaded) else {}
            return {"name": name, "plots": self._old(old) or [self._described(loaded)]}
        found = [self._described(plot) for plot in plots_in(loaded) if not takes_a_file(plot)]
        return {"name": name, "plots": found + self._old(predecessors_in(loaded))}

    def _old(self, found: dict[str, type]) -> list[dict[str, Any]]:
        """Plots of larpix-monitor, described."""
        faults = {name: fault for name, plot in found.items() if (fault := fault_of_old(plot))}
        return [
            {"name": _clean(name, 200), "fault": _clean(faults[name], 1000)}
            if name in faults
            else self._described(adapted(name, plot)) | {"predecessor": True}
            for name, plot in found.items()
        ]

    def _described(self, plot: Any) -> dict[str, Any]:
        if not (isinstance(plot, type) and issubclass(plot, Plot)):
            return {"odd": _clean(repr(plot), 200)}
        name = _clean(plot.__name__, 200)
        if fault := fault_of(plot):
            return {"name": name, "fault": _clean(fault, 1000)}
        self.classes[name] = plot
        return {
            "name": name, "mergeable": issubclass(plot, MergeablePlot), "title": plot.title, "level": plot.level,
            "fields": list(plot.fields), "version": int(plot.version), "group": plot.group,
            "log_switch": bool(plot.log_switch), "doc": _clean(plot.__doc__ or "", 2000),
        }  # fmt: skip

    def _count(self, request: dict[str, Any]) -> Answer:
        made = self._object(request)
        assert isinstance(made, MergeablePlot)
        counted = made.count(self._packets(request))
        State(made.name, made.version, None).add(counted) if request.get("check") else _check_leaves(counted)
        listed, arrays = pack_leaves(counted)
        self._bounded(sum(array.nbytes for array in arrays))
        return {"arrays": listed}, arrays

    def _new(self, request: dict[str, Any]) -> Answer:
        """The figure that a simple plot begins with, kept here."""
        made = self._object(request)
        if isinstance(made, Predecessor):
            self.figures[request["figure"]] = made.begin()
            return {}, []
        figure = made.new_figure()
        check_figure(figure)
        self.figures[request["figure"]] = figure
        return {}, []

    def _step(self, request: dict[str, Any]) -> Answer:
        """New packets for a simple plot, whose figure is here or comes with the request."""
        made, number = self._object(request), request["figure"]
        if isinstance(made, Predecessor):
            if "content" in request:
                self.figures[number] = made.resume(json.loads(request["content"]))
            packets = self._packets(request)
            packets.beside = (lambda: self.beside) if request["in_file"] else None
            packets.once(COPIED, lambda: self._copied(request, packets))
            made(packets, self.figures[number])
            return {}, []
        if "content" in request:
            self.figures[number] = load_figure(json.loads(request["content"]))
        figure = self.figures[number]
        returned = made(self._packets(request), figure)
        figure = figure if returned is None else returned
        check_figure(figure)
        self.figures[number] = figure
        return {}, []

    def _copied(self, request: dict[str, Any], packets: Packets) -> Any:
        """The rows of a block, copied once for all plots of larpix-monitor that get it one after the other."""
        block = request["block"]
        key = (self.beside.number, *(block.get(part) for part in ("first_row", "length", "sheet", "inline")))
        if not request["in_file"] or "columns" in block or self.last_copy[0] != key:
            self.last_copy = (key if request["in_file"] else None, copied(packets))
        return self.last_copy[1]

    def _fetch(self, request: dict[str, Any]) -> Answer:
        figure = self.figures[request["figure"]]
        if isinstance(figure, Memory):
            made = self._object(request)
            assert isinstance(made, Predecessor)
            figure = made.show(figure)
        return self._shown(figure)

    def _draw(self, request: dict[str, Any]) -> Answer:
        made = self._object(request)
        assert isinstance(made, MergeablePlot)
        return self._shown(made.figure(self._state(made, request)))

    def _trends(self, request: dict[str, Any]) -> Answer:
        made = self._object(request)
        assert isinstance(made, MergeablePlot)
        found = made.read_trends(self._state(made, request))
        return {"trends": {_clean(name, 200): _trend(trend) for name, trend in found.items()}}, []

    def _shown(self, figure: Any) -> Answer:
        check_figure(figure)
        content = figure.to_json(engine="orjson").encode()
        self._bounded(len(content))
        return {}, [content]

    # -- what requests speak of -----------------------------------------------------------------------------------

    def _object(self, request: dict[str, Any]) -> Plot:
        number = request["object"]
        if number not in self.objects:
            self.objects[number] = self.classes[request["plot"]]()
        return self.objects[number]

    def _detector(self, request: dict[str, Any]) -> Any:
        return self.detectors[request["geometry"]] if request.get("geometry") is not None else None

    def _packets(self, request: dict[str, Any]) -> Packets:
        return packets_of(request["block"], self.maps, self._detector(request))

    def _state(self, made: MergeablePlot, request: dict[str, Any]) -> State:
        state = State(made.name, made.version, request["geometry"], self._detector(request))
        state.update(_leaves(request["state"]))
        return state

    def _bounded(self, size: int) -> None:
        if size > self.output_bytes:
            raise TooMuch(size)


def _check_leaves(counted: Any) -> None:
    """That it is a dict of leaves: what is in them is checked where they are added."""
    if not isinstance(counted, dict):
        State("", 0, None).add(counted)  # says what is wrong with it
    for name, leaf in counted.items():
        if not isinstance(name, str) or "." in name:
            raise WrongState(f"leaf {name!r}: a name is text without a dot")
        if hasattr(leaf, "_to_uhi_"):
            _check_hist(name, leaf)
        elif type(leaf).__name__ != "Scatter":
            array = getattr(leaf, "dtype", None)
            if array is None or array.kind not in "iuf":
                State("", 0, None).add({name: leaf})


def _trend(trend: Trend) -> list[Any]:
    limits = [
        [None if side is None else float(side) for side in pair] for pair in (trend.range, trend.warn, trend.alarm)
    ]
    return [trend.value, trend.unit, *limits, trend.reason]


def _has_children() -> bool:
    """Whether processes that the plug-in started still run."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _told(error: BaseException) -> dict[str, Any]:
    """An exception as words: its type, its text, the traceback, and the plug-in's own line."""
    try:
        text = str(error)
    except BaseException as worse:
        text = f"(its text raises {type(worse).__name__})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    own = [frame for frame in frames if "/plots/isolation/" not in frame.filename]
    where = [own[-1].filename, own[-1].lineno] if own else None
    return {
        "type": type(error).__name__, "text": _clean(text, MAX_TEXT), "traceback": _trace(error), "where": where,
        "frames": [[frame.filename, frame.lineno] for frame in own[-20:]],
    }  # fmt: skip


def _trace(error: BaseException) -> str:
    """The traceback from the plug-in's first line on."""
    inner = error.__traceback__
    while inner is not None and inner.tb_frame.f_code.co_filename == __file__:
        inner = inner.tb_next
    try:
        lines = traceback.format_exception(type(error), error, inner)
    except BaseException as worse:
        lines = [f"{type(error).__name__} (its traceback raises {type(worse).__name__})"]
    return _clean("".join(lines), MAX_TRACEBACK)


def _clean(text: str, limit: int) -> str:
    text = text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"
    return text.replace("\0", "").encode("utf-8", "replace").decode()


# -- the limits of the process ---------------------------------------------------------------------------------------


def die_with(host: int) -> None:
    """The kernel ends this process when its host ends, however that comes."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != host:
        os._exit(0)  # it ended before


def limit_memory(memory_bytes: int) -> None:
    """So much more than what Python and the libraries take by now; MemoryError beyond it."""
    pages = Path("/proc/self/statm").read_text().split()
    page = os.sysconf("SC_PAGE_SIZE")
    data, whole = int(pages[5]) * page, int(pages[0]) * page
    _limit(resource.RLIMIT_DATA, data + memory_bytes)
    # shared mappings are no data; threads reserve address space that they do not use
    _limit(resource.RLIMIT_AS, whole + 2 * memory_bytes + (THREADS_MB << 24))


def _limit(which: int, value: int) -> None:
    _, most = resource.getrlimit(which)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(which, (value, value))


def main() -> None:
    options = json.loads(sys.argv[1])
    die_with(options["host"])
    channel = socket.socket(fileno=options["channel"])
    os.set_inheritable(channel.fileno(), False)
    os.set_inheritable(options["trace"], False)
    faulthandler.enable(options["trace"])
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    go.Figure().add_scatter(y=[0.0]).to_json(engine="orjson")  # what plotly loads at first use is not the plug-in's
    import hist  # noqa: F401

    kernels.allow(False)  # a compiler has no place within these limits
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, options["output_bytes"])
    limit_memory(options["memory_mb"] << 20)
    child = Child(channel, options["trace"], options["block_s"], options["start_s"], options["output_bytes"])
    send_answer(channel, {"seq": 0})
    child.run()


if __name__ == "__main__":
    main()
