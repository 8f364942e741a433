"""The corpus of bad files: what can be wrong with a file of each format, made from a small good one.

`cases()` names them all; `make(name, path)` makes the file of one. A name is ``format: what is wrong``; the number of those
that cut or flip at a structure follows from the structures that the format has.
"""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dqm.formats.columns import REQUIRED
from tests.formats.good_files import change, good_rows, is_raw, main_dataset, write
from tests.formats.structure import Structure, structures

Make = Callable[[Path], Any]
MARKUP = "<img src=x onerror=alert(1)>"
TURNED = "\u202egnp.exe\x1b[31m\x07"
HANG_S = 3.0
"""What a file may take to be opened: here nothing else is to be waited for."""
STATES = ("ok", "growing", "partial", "quarantined")


# -- damaged bytes ---------------------------------------------------------------------------------------------------------


@functools.cache
def anatomy(form: str) -> tuple[bytes, list[Structure]]:
    """The bytes of a good file and where its structures are."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(form, Path(folder) / "good.h5")
        return path.read_bytes(), structures(path)


def cuts(form: str) -> Iterator[tuple[str, Make]]:
    """The file ends at the beginning, in the middle, and one byte before the end of each structure."""
    content, places = anatomy(form)
    for number, place in enumerate(places):
        for word, at in {
            "before": place.start,
            "within": (place.start + place.stop) // 2,
            "at the end of": place.stop - 1,
        }.items():
            if 0 < at < len(content):
                yield (
                    f"cut {word} structure {number} ({place.kind})",
                    lambda path, at=at: path.write_bytes(content[:at]),
                )


FLIPS: dict[str, Callable[[bytearray, int, int], None]] = {
    "first bits": lambda content, start, stop: content.__setitem__(start, content[start] ^ 0xFF),
    "zeros": lambda content, start, stop: content.__setitem__(slice(start, stop), bytes(stop - start)),
    "ones": lambda content, start, stop: content.__setitem__(slice(start, stop), b"\xff" * (stop - start)),
    "zeros behind its first bytes": lambda content, start, stop: content.__setitem__(
        slice(start + 16, stop), bytes(max(stop - start - 16, 0))
    ),
    "a number": lambda content, start, stop: content.__setitem__(
        slice(start + 8, min(start + 16, stop)), b"\xfe" * max(min(start + 16, stop) - start - 8, 0)
    ),
}


def flips(form: str) -> Iterator[tuple[str, Make]]:
    """Bytes of each structure are others."""
    content, places = anatomy(form)
    for number, place in enumerate(places):
        for word, act in FLIPS.items():

            def make(path: Path, place: Structure = place, act: Any = act) -> None:
                damaged = bytearray(content)
                act(damaged, place.start, place.stop)
                path.write_bytes(damaged[: len(content)])

            yield f"{word} in structure {number} ({place.kind})", make


# -- what HDF5 finds right -------------------------------------------------------------------------------------------------


def retyped(form: str, column: str, kind: Any) -> Make:
    """A column of another type, or without it (None)."""

    def make(path: Path) -> None:
        rows = good_rows(form)
        columns = [(name, rows.dtype[name] if name != column else kind) for name in rows.dtype.names or ()]
        dtype = np.dtype([pair for pair in columns if pair[1] is not None])
        if dtype.hasobject:
            change(form, path, lambda file: _instead(file, main_dataset(form), dtype, rows.shape))
            return
        changed = np.zeros(len(rows), dtype)
        for name in changed.dtype.names or ():
            if name != column:
                changed[name] = rows[name]
        write(form, path, rows=changed, chunks=None, maxshape=None, compression=None, shuffle=None, fletcher32=None)

    return make


KINDS: dict[str, Any] = {
    "a float": "f4", "complex": "c16", "text": "S7", "text of any length": h5py.string_dtype(), "an array": ("u1", (3,)),
    "a table": [("a", "u1"), ("b", "f8")], "a table in a table": [("a", [("b", [("c", "u1")])])],
    "opaque": "V9", "a reference": h5py.ref_dtype, "a list of any length": h5py.vlen_dtype(np.dtype("u2")),
    "an enumeration": h5py.enum_dtype({"A": 0, "B": 1}, "u1"), "a truth value": "?", "negative": "<i2", "big-endian": ">u8",
}  # fmt: skip


def dtypes(form: str) -> Iterator[tuple[str, Make]]:
    names = good_rows(form).dtype.names or ()
    required = [name for name in names if name in (*REQUIRED, "type", "chipid", "channel", "adc_counts", "chip_key")]
    for name in required:
        yield f"without the column {name}", retyped(form, name, None)
    for word, kind in KINDS.items():
        yield f"column {required[-1]} is {word}", retyped(form, required[-1], kind)
    yield "column timestamp is a float", retyped(form, "timestamp", "f8")
    wide = np.zeros(3, [*((name, good_rows(form).dtype[name]) for name in names), ("more", "u1", (1 << 20,))])
    plain = {"chunks": None, "maxshape": None, "compression": None, "shuffle": None, "fletcher32": None}
    yield "rows of a megabyte", lambda path: write(form, path, rows=wide, **plain)


def raw_dtypes(form: str) -> Iterator[tuple[str, Make]]:
    def of(name: str, dtype: Any, shape: Any = (10,)) -> Make:
        return lambda path: change(form, path, lambda file: _instead(file, name, dtype, shape))

    messages: dict[str, Any] = {
        "floats": h5py.vlen_dtype(np.dtype("f4")), "wide integers": h5py.vlen_dtype(np.dtype("u2")),
        "text": h5py.string_dtype(), "plain bytes": np.dtype("u1"), "opaque": np.dtype("V16"),
        "lists of lists": h5py.vlen_dtype(h5py.vlen_dtype(np.dtype("u1"))), "signed": h5py.vlen_dtype(np.dtype("i1")),
        "a table": np.dtype([("a", "u1")]), "references": h5py.ref_dtype,
    }  # fmt: skip
    for word, dtype in messages.items():
        yield f"messages are {word}", of("msgs", dtype)
    headers: dict[str, Any] = {
        "floats": [("io_groups", "f4")], "arrays": [("io_groups", "u1", (2,))], "text": [("io_groups", "S3")],
        "wide": [("io_groups", "<u8")], "a plain array": "u1", "another column": [("io_group", "u1")],
        "a table in it": [("io_groups", [("a", "u1")])], "lists": [("io_groups", h5py.vlen_dtype(np.dtype("u1")))],
        "signed": [("io_groups", "<i4")], "enumerations": [("io_groups", h5py.enum_dtype({"A": 1}, "u1"))],
    }  # fmt: skip
    for word, dtype in headers.items():
        yield f"headers are {word}", of("msg_headers", np.dtype(dtype))
    for name in ("msgs", "msg_headers"):
        yield f"{name} of two dimensions", of(name, h5py.vlen_dtype(np.dtype("u1")), (3, 3))
        yield f"{name} is a scalar", of(name, np.dtype("u1"), ())


def _instead(file: h5py.File, name: str, dtype: Any, shape: Any) -> None:
    del file[name]
    file.create_dataset(name, shape, dtype)


def links(form: str) -> Iterator[tuple[str, Make]]:
    name = main_dataset(form)

    def linked(made: Callable[[h5py.File], Any]) -> Make:
        def make(path: Path) -> None:
            write(form, path.with_name("other-file"))
            change(form, path, lambda file: made(file))

        return make

    def instead(link: Any) -> Make:
        def act(file: h5py.File) -> None:
            file.move(name, "elsewhere")
            file[name] = link

        return linked(act)

    yield "an external link", instead(h5py.ExternalLink("other-file", name))
    yield "an external link to this host", instead(h5py.ExternalLink("/etc/passwd", "/"))
    yield "an external link to nothing", instead(h5py.ExternalLink("nothing.h5", name))
    yield "a soft link to nothing", instead(h5py.SoftLink("/nothing"))
    yield "a soft link to itself", instead(h5py.SoftLink("/" + name))
    yield "a soft link through it", instead(h5py.SoftLink(f"/{name}/{name}"))
    yield "a good soft link", instead(h5py.SoftLink("/elsewhere"))
    yield (
        "a hard link to the root",
        linked(lambda file: (file.move(name, "elsewhere"), file.__setitem__(name, file["/"]))),
    )
    yield "groups in a circle", linked(lambda file: file.create_group("a").__setitem__("b", file["a"]))
    yield "a named type in its place", instead(np.dtype("u1"))
    yield "a group in its place", linked(lambda file: (file.move(name, "elsewhere"), file.create_group(name)))

    def virtual(file: h5py.File) -> None:
        old = file[name]
        layout = h5py.VirtualLayout(old.shape, old.dtype)
        layout[:] = h5py.VirtualSource("other-file", name, old.shape)
        file.move(name, "elsewhere")
        file.create_virtual_dataset(name, layout)

    yield "a virtual dataset of another file", linked(virtual)

    def stored_outside(file: h5py.File) -> None:
        file.move(name, "elsewhere")
        file.create_dataset(name, (100,), "u1", external=[("/etc/passwd", 0, 100)])

    yield "values in another file", linked(stored_outside)


def shapes(form: str) -> Iterator[tuple[str, Make]]:
    name = main_dataset(form)
    dtype: Any = h5py.vlen_dtype(np.dtype("u1")) if is_raw(form) else good_rows(form).dtype

    def made(shape: Any, **options: Any) -> Make:
        def act(file: h5py.File) -> None:
            del file[name]
            file.create_dataset(name, shape, dtype, **options)

        return lambda path: change(form, path, act)

    yield "no rows", made((0,), chunks=(10,), maxshape=(None,))
    yield "no rows, no chunks", made((0,))
    yield "no dataspace", lambda path: change(form, path, lambda file: _empty(file, name, dtype))
    yield "a scalar", made(())
    yield "three dimensions", made((2, 2, 2))
    yield "a million million rows that are not stored", made((10**12,), chunks=(1000,))
    yield "so many rows that they overflow", made(((1 << 63) - 1,), chunks=(1000,))
    yield "a chunk of gigabytes", made((10**8,), chunks=(10**8,), compression="gzip")
    yield "rows that were never written", made((500,))
    yield "a bomb of zeros", lambda path: change(form, path, lambda file: bomb(file, name, dtype))
    yield "deflated twice", lambda path: change(form, path, lambda file: _twice(file, name, dtype))
    yield "an unknown filter", lambda path: change(form, path, lambda file: _strange_filter(file, name, dtype))


def _empty(file: h5py.File, name: str, dtype: Any) -> None:
    del file[name]
    file[name] = h5py.Empty(dtype)


def bomb(file: h5py.File, name: str, dtype: Any, gigabytes: int = 3) -> None:
    """A chunk of some megabytes that expands to gigabytes."""
    del file[name]
    dset = file.create_dataset(name, (60_000,), dtype, chunks=(60_000,), compression="gzip")
    dset.id.write_direct_chunk((0,), _much_of_nothing(gigabytes))


@functools.cache
def _much_of_nothing(gigabytes: int) -> bytes:
    stream, much = zlib.compressobj(9), bytes(2**24)
    begin = stream.compress(much) + stream.flush(zlib.Z_FULL_FLUSH)
    again = stream.compress(much) + stream.flush(zlib.Z_FULL_FLUSH)  # refers to nothing before it: may be repeated
    return begin + again * (gigabytes * 64 - 1) + stream.flush()


def _low(file: h5py.File, name: str, dtype: Any, *filters: int) -> h5py.h5d.DatasetID:
    del file[name]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((100,))
    for code in filters:
        plist.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (6,))
    named = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    return h5py.h5d.create(file.id, name.encode(), named, h5py.h5s.create_simple((100,)), plist, links)


def _twice(file: h5py.File, name: str, dtype: Any) -> None:
    made = _low(file, name, dtype, 1, 1)
    made.write_direct_chunk((0,), zlib.compress(zlib.compress(bytes(10**6))))


def _strange_filter(file: h5py.File, name: str, dtype: Any) -> None:
    made = _low(file, name, dtype, 399)
    made.write_direct_chunk((0,), b"who knows")


TIMES: dict[str, Callable[[np.ndarray, np.random.Generator], None]] = {
    "time unsorted": lambda rows, random: random.shuffle(rows),
    "one time repeated": lambda rows, random: rows.__setitem__("timestamp", 7),
    "time runs backwards": lambda rows, random: rows.__setitem__("timestamp", rows["timestamp"][::-1].copy()),
    "time in the far future": lambda rows, random: rows.__setitem__("timestamp", (1 << 64) - 1),
    "time as of a negative number": lambda rows, random: rows.__setitem__("timestamp", np.int64(-5).astype(np.uint64)),
    "time wraps": lambda rows, random: rows.__setitem__("timestamp", (np.arange(len(rows)) * 10**8) % 2**31),
    "every field at its largest": lambda rows, random: rows.view("u1").__setitem__(slice(None), 0xFF),
    "every field zero": lambda rows, random: rows.view("u1").__setitem__(slice(None), 0),
    "noise": lambda rows, random: rows.view("u1").__setitem__(slice(None), random.integers(0, 256, rows.nbytes)),
}


def values(form: str) -> Iterator[tuple[str, Make]]:
    for word, act in TIMES.items():

        def make(path: Path, act: Any = act) -> None:
            rows = good_rows(form)
            act(rows, np.random.default_rng(5))
            write(form, path, rows=rows)

        yield word, make


def raw_values(form: str) -> Iterator[tuple[str, Make]]:
    def every(new: Callable[[int, np.ndarray], np.ndarray | list[int] | bytes]) -> Make:
        def act(file: h5py.File) -> None:
            for number, message in enumerate(list(file["msgs"])):
                file["msgs"][number] = np.frombuffer(bytes(new(number, message)), "u1")

        return lambda path: change(form, path, act)

    def byte(at: int, value: int) -> Callable[[int, np.ndarray], bytes]:
        return lambda number, message: bytes(message[:at]) + bytes([value]) + bytes(message[at + 1 :])

    yield "messages without a byte", every(lambda number, message: b"")
    yield "messages of one byte", every(lambda number, message: b"D")
    yield "messages of seven bytes", every(lambda number, message: message[:7])
    yield "only headers", every(lambda number, message: message[:8])
    yield "words cut short", every(lambda number, message: message[: len(message) - 5])
    yield "a byte too many", every(lambda number, message: bytes(message) + b"x")
    yield "another kind of message", every(byte(0, ord("?")))
    yield "another kind of message, not printable", every(byte(0, 0xFF))
    yield (
        "second beyond all calendars",
        every(lambda number, message: bytes(message[:1]) + b"\xff" * 4 + bytes(message[5:])),
    )
    yield "count of words lies, more", every(lambda n, m: bytes(m[:6]) + b"\xff\xff" + bytes(m[8:]))
    yield "count of words lies, none", every(lambda n, m: bytes(m[:6]) + b"\0\0" + bytes(m[8:]))
    yield "unknown words", every(lambda n, m: bytes(m[:8]) + b"\x7f" * (len(m) - 8))
    yield "words of zeros", every(lambda n, m: bytes(m[:8]) + bytes(len(m) - 8))
    yield "noise", every(lambda n, m: np.random.default_rng(n).bytes(len(m)))
    yield (
        "seconds backwards",
        every(lambda n, m: bytes(m[:1]) + (1_700_000_000 - n).to_bytes(4, "little") + bytes(m[5:])),
    )
    yield "a message of three megabytes", every(lambda n, m: bytes(3 << 20) if n == 3 else bytes(m))
    yield "more messages than headers", lambda path: change(form, path, lambda file: file["msg_headers"].resize((5,)))
    yield "more headers than messages", lambda path: change(form, path, lambda file: file["msgs"].resize((5,)))
    yield "without headers", lambda path: change(form, path, lambda file: file.__delitem__("msg_headers"))
    yield "without messages", lambda path: change(form, path, lambda file: file.__delitem__("msgs"))
    yield "without meta", lambda path: change(form, path, lambda file: file.__delitem__("meta"))
    yield (
        "io_groups of nobody",
        lambda path: change(
            form,
            path,
            lambda file: file["msg_headers"].__setitem__(slice(None), np.full(120, 255, [("io_groups", "u1")])),
        ),
    )
    for size in (1, 1 << 20, (1 << 32) - 1):
        yield f"length of a message lies ({size:,})", lambda path, size=size: _lying(form, path, size)
    yield "the heap of its messages is zeros", lambda path: _heaps(form, path, lambda size: bytes(size - 16))
    yield (
        "the heap of its messages is noise",
        lambda path: _heaps(form, path, lambda size: np.random.default_rng(1).bytes(size - 16)),
    )


def _lying(form: str, path: Path, size: int) -> None:
    """The number of bytes of message 3, in the dataset, is another than in the heap."""
    write(form, path, compression=None)
    with h5py.File(path, "r") as file:
        at = file["msgs"].id.get_chunk_info(0).byte_offset + 3 * 16
    content = bytearray(path.read_bytes())
    content[at : at + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)


def _heaps(form: str, path: Path, fill: Callable[[int], bytes]) -> None:
    write(form, path)
    content = bytearray(path.read_bytes())
    for place in structures(path):
        if place.kind == "global heap" and place.stop - place.start > 8192:
            content[place.start + 16 : place.stop] = fill(place.stop - place.start)
    path.write_bytes(content)


def attributes(form: str) -> Iterator[tuple[str, Make]]:
    holder = "meta" if is_raw(form) else "charge" if form == "flow" else "_header"
    odd: dict[str, Any] = {
        "text of a number": "5", "an array": np.arange(4), "not a number": np.nan, "infinite": np.inf,
        "2**80": str(2**80),
        "markup": MARKUP, "control and turning characters": TURNED, "a script": "javascript:alert(1)",
        "not UTF-8": b"\xff\xfe",
        "empty": h5py.Empty("f4"), "no text": "", "five thousand characters": "9" * 5000, "a wrong version": "9.9",
        "a version of nonsense": "2.x-rc", "a table": np.zeros(2, [("a", "f4")]), "a float": 2.4, "opaque": np.void(b"abc"),
        "a reference": h5py.Reference(), "large": np.zeros(8000, "u8"), "a list": np.array(["a", "b"], h5py.string_dtype()),
    }  # fmt: skip
    for word, value in odd.items():

        def act(file: h5py.File, value: Any = value) -> None:
            for name in ("version", "created", "run"):
                file[holder].attrs[name] = value

        yield f"attributes are {word}", lambda path, act=act: change(form, path, act)
    for word, name in {"markup": MARKUP, "turning characters": TURNED, "dots": "../../x", "length": "n" * 3000}.items():

        def group(file: h5py.File, name: str = name) -> None:
            file.create_group(name.replace("/", "_"))
            file.attrs[name] = name

        yield f"names of {word}", lambda path, act=group: change(form, path, act)
    yield "a name that is not UTF-8", lambda path: change(form, path, lambda file: file.create_group(b"caf\xe9"))
    yield "a user block", lambda path: _with_user_block(form, path)
    yield "without its header", lambda path: change(form, path, lambda file: file.__delitem__(holder))


def _with_user_block(form: str, path: Path) -> None:
    write(form, path.with_name("inside"))
    with h5py.File(path.with_name("inside"), "r") as source, h5py.File(path, "w", userblock_size=512) as file:
        for name in source:
            source.copy(name, file)


# -- not ours --------------------------------------------------------------------------------------------------------------


def foreign() -> Iterator[tuple[str, Make]]:
    def of(act: Callable[[h5py.File], Any], **options: Any) -> Make:
        def make(path: Path) -> None:
            with h5py.File(path, "w", **options) as file:
                act(file)

        return make

    def nexus(file: h5py.File) -> None:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry.create_dataset("data/counts", data=np.zeros((4, 5)))
        file.attrs["default"] = "entry"

    def pytables(file: h5py.File) -> None:
        file.attrs["PYTABLES_FORMAT_VERSION"] = "2.1"
        file.create_dataset("df/table", data=np.zeros(5, [("index", "<i8"), ("values_block_0", "<f8", (2,))]))
        file["df"].attrs["pandas_type"] = "frame_table"

    def anndata(file: h5py.File) -> None:
        file.attrs["encoding-type"] = "anndata"
        file["X"], file["obs/_index"] = np.zeros((3, 3)), np.array(["a", "b", "c"], h5py.string_dtype())

    def events_of_others(file: h5py.File) -> None:
        file["events"] = np.zeros(5, [("energy", "f4")])
        file["products"] = np.zeros(3)

    def packets_of_others(file: h5py.File) -> None:
        file["packets"] = np.zeros(5, [("src", "S15"), ("dst", "S15"), ("length", "<u4")])

    def flow_of_nothing(file: h5py.File) -> None:
        file.create_group("charge/packets")
        file.create_group("run_info")

    yield "NeXus", of(nexus)
    yield "PyTables", of(pytables)
    yield "AnnData", of(anndata)
    yield "plain arrays", of(lambda file: file.update({"a": np.zeros(3), "b": np.zeros((2, 2))}))
    yield "events of others", of(events_of_others)
    yield "network packets", of(packets_of_others)
    yield "a flow without packets", of(flow_of_nothing)
    yield "MATLAB 7.3", of(lambda file: file.create_dataset("x", data=[1.0]), userblock_size=512)
    yield "ten thousand groups", of(lambda file: [file.create_group(f"g{n}") for n in range(10_000)])
    yield "groups a thousand deep", of(lambda file: file.create_group("/".join(["d"] * 1000)))
    yield "nothing in it", of(lambda file: None)
    yield "the head of a light file", lambda path: path.write_bytes(b"Star" + bytes(40))
    yield "text", lambda path: path.write_text(MARKUP)
    yield "zeros", lambda path: path.write_bytes(bytes(100_000))
    yield "no byte", lambda path: path.write_bytes(b"")


# -- all of them -----------------------------------------------------------------------------------------------------------


@functools.cache
def of_format(form: str) -> dict[str, Make]:
    """What can be wrong with a file of a format."""
    own = (raw_dtypes, raw_values) if is_raw(form) else (dtypes, values)
    return {name: make for kind in (cuts, flips, *own, links, shapes, attributes) for name, make in kind(form)}


def cases(form: str) -> list[str]:
    """Names of all cases of a format, or of those that are `foreign`."""
    return [f"{form}: {name}" for name in (dict(foreign()) if form == "foreign" else of_format(form))]


def make(name: str, path: Path) -> None:
    """Makes the file of a case; what it needs beside it lies in the same folder, under names that are no data files."""
    form, _, case = name.partition(": ")
    (dict(foreign()) if form == "foreign" else of_format(form))[case](path)


def complaint(report: Any) -> str:
    """What is wrong with the answer about a file; empty when it has a state, and a reason that people can read."""
    reason = report.reason or ""
    if report.state not in STATES:
        return f"state {report.state!r}"
    if report.state != "ok" and not reason:
        return f"{report.state} without a reason"
    if report.state == "quarantined" and report.rows is not None:
        return "quarantined, and yet it has rows"
    return unfit(reason)


def unfit(reason: str) -> str:
    """Why a reason is none for people; empty when it is one."""
    if not reason.isprintable():
        return f"not printable: {reason!r}"
    if len(reason) > 1500:
        return f"{len(reason)} characters"
    if re.search(r"cannot be read: \w+(Error|Exception|Interrupt|Exit)\b", reason):
        return "unexplained: " + re.sub(r"\d+", "N", reason)
    return ""


def inspected(name: str) -> dict[str, Any]:
    """What ``larboard inspect`` says of the file of a case."""
    from dqm.formats import doorkeeper
    from dqm.ingest.oneshot import Sources, inspect

    doorkeeper.SECONDS = HANG_S
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        path = folder / "packet-0000005-2025_06_15_15_06_40_UTC.h5"
        make(name, path)
        report = inspect(path, Sources(name="demo"))
    finally:
        shutil.rmtree(folder)
    return {"state": report.state, "reason": report.reason or "", "rows": report.rows, "complaint": complaint(report)}


def for_the_watch(form: str) -> list[str]:
    """Cases of a format that go through the whole ingest: all that HDF5 finds right, and some of those of damaged bytes."""
    some = [name for number, name in enumerate(cases(form)) if number % 6 == 0 or " structure " not in name]
    return [name for name in some if "ten thousand" not in name]


def watched(form: str) -> dict[str, str]:
    """Name of each case with what is wrong with its row of the ledger, after a watch has seen them all; empty: nothing."""
    from dqm.formats import doorkeeper
    from dqm.records import FileState
    from tests.ingest.watching import FEWEST, Site, age, take

    doorkeeper.SECONDS = HANG_S
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    wrong = {}
    try:
        site = Site(folder, plots=FEWEST)
        names = for_the_watch(form)
        for number, name in enumerate(names):
            place = site.root / str(number)
            place.mkdir()
            make(name, place / f"case{number}.h5")
            for path in place.iterdir():
                age(path)
        (good,) = take(site.root / "good", subrun_s=4, raw=False)
        for _ in range(4):
            site.clock.now += 2
            site.watch._next["scan"] = 0.0
            while site.watch.step():
                pass
        with site.store.read() as tx:
            from dqm.store import files

            rows = {Path(file.path).name: file for file in files.search(tx, limit=2000)}
        for number, name in enumerate(names):
            row = rows.get(f"case{number}.h5")
            if row is None:
                wrong[name] = "is not in the ledger"
            elif row.state in (FileState.WAITING, FileState.READING):
                wrong[name] = f"is still {row.state}: {row.reason}"
            elif row.state is not FileState.DONE and not row.reason:
                wrong[name] = f"{row.state} without a reason"
            elif what := unfit(row.reason):
                wrong[name] = what
        if rows[good.name].state is not FileState.DONE:
            wrong["a good file among them"] = rows[good.name].state.value
    finally:
        shutil.rmtree(folder)
    return wrong
