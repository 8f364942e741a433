"""Good files damaged at random, many thousand times over, before each reader: what ends without a state is written down.

    python -m tests.soak.fuzz --cases 100000 --seed 1 --keep finds/

A case is a number: the same number, seed and format give the same bytes. Bytes are changed where the structures of HDF5
are (with their check sums put right again, or HDF5 would look no further), pieces of another file are put in, numbers and
addresses are replaced by those that break arithmetic, and some files are changed through HDF5 itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.formats import good_files, limited
from tests.formats.structure import Structure, structures

READERS = {
    "raw": ("raw", "raw as larpix-control"),
    "packets": tuple(form for form in good_files.FORMATS if form.startswith("packets ")),
    "inside flow and simulation": ("flow", "sim"),
}
"""For each reader the formats that it reads: its cases are shared among them."""
SECONDS, MEGABYTES = 30.0, 300
HANG_S = 3.0
"""How long a file may take to be opened before it is refused."""
GIVEN_TO_A_RUNNER = 2000
NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
           1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1)  # fmt: skip
"""Numbers that sizes, counts and addresses are replaced by."""


# -- files and their places ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Good:
    """A good file with what is known of its inside."""

    content: bytes
    places: list[Structure]
    addresses: list[int]
    sums: list[tuple[int, int]]
    """(start, place of its check sum) of the structures that have one."""


@cache
def good(form: str) -> Good:
    with tempfile.TemporaryDirectory() as folder:
        path = good_files.write(form, Path(folder) / "good.h5")
        content, places = path.read_bytes(), structures(path)
    starts = [place.start for place in places]
    wanted = {struct.pack("<Q", start) for start in starts}
    addresses = [
        at for at in range(0, len(content) - 8) if content[at : at + 8] in wanted and content[at : at + 8].strip(b"\0")
    ]
    sums = [(place.start, end) for place in places if (end := _sum_of(content, place)) is not None]
    return Good(content, places, addresses, sums)


def _sum_of(content: bytes, place: Structure, most: int = 700) -> int | None:
    """Where the check sum of a structure is: the first place that holds the hash of all before it."""
    if place.kind.startswith(("chunk", "values", "global", "local", "symbol")):
        return None
    for end in range(place.start + 12, min(place.start + most, len(content) - 4)):
        if (
            content[end : end + 4] != b"\0\0\0\0"
            and lookup3(content[place.start : end]) == struct.unpack_from("<I", content, end)[0]
        ):
            return end
    return None


def lookup3(key: bytes) -> int:
    """Bob Jenkins' hash (public domain), with which HDF5 guards its metadata since version 1.8."""
    mask = 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + len(key)) & mask
    while len(key) > 12:
        x, y, z = struct.unpack_from("<III", key)
        a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
        for one, shift in ((0, 4), (1, 6), (2, 8), (0, 16), (1, 19), (2, 4)):
            if one == 0:
                a = (a - c) & mask
                a ^= ((c << shift) | (c >> (32 - shift))) & mask
                c = (c + b) & mask
            elif one == 1:
                b = (b - a) & mask
                b ^= ((a << shift) | (a >> (32 - shift))) & mask
                a = (a + c) & mask
            else:
                c = (c - b) & mask
                c ^= ((b << shift) | (b >> (32 - shift))) & mask
                b = (b + a) & mask
        key = key[12:]
    if not key:
        return c
    x, y, z = struct.unpack("<III", key.ljust(12, b"\0"))
    a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask

    def turned(value: int, shift: int) -> int:
        return ((value << shift) | (value >> (32 - shift))) & mask

    c = ((c ^ b) - turned(b, 14)) & mask
    a = ((a ^ c) - turned(c, 11)) & mask
    b = ((b ^ a) - turned(a, 25)) & mask
    c = ((c ^ b) - turned(b, 16)) & mask
    a = ((a ^ c) - turned(c, 4)) & mask
    b = ((b ^ a) - turned(a, 14)) & mask
    return ((c ^ b) - turned(b, 24)) & mask


# -- mutations -------------------------------------------------------------------------------------------------------------


def mutated(form: str, number: int, seed: int) -> bytes:
    """The bytes of a case."""
    chance = random.Random(f"{form}/{seed}/{number}")
    before = good(form)
    if chance.random() < 0.08:
        return _through_hdf5(form, chance)
    content = bytearray(before.content)
    resized = False
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        resized |= chance.choice(MUTATIONS)(content, before, chance)
    if not resized and chance.random() < 0.85:
        for start, end in before.sums:
            struct.pack_into("<I", content, end, lookup3(bytes(content[start:end])))
    return bytes(content)


def _place(before: Good, content: bytearray, chance: random.Random) -> int:
    """Somewhere in a structure; those of metadata as likely as large data, and near their beginning."""
    place = chance.choice(before.places)
    size = max(place.stop - place.start, 1)
    within = chance.randrange(min(size, 64)) if chance.random() < 0.6 else chance.randrange(size)
    return min(place.start + within, len(content) - 1)


def _flip(content: bytearray, before: Good, chance: random.Random) -> bool:
    content[_place(before, content, chance)] ^= 1 << chance.randrange(8)
    return False


def _byte(content: bytearray, before: Good, chance: random.Random) -> bool:
    content[_place(before, content, chance)] = chance.randrange(256)
    return False


def _number(content: bytearray, before: Good, chance: random.Random) -> bool:
    size = chance.choice((1, 2, 4, 8))
    at = _place(before, content, chance)
    at -= at % chance.choice((1, size))
    new = (chance.choice(NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    content[at : at + size] = new[: max(len(content) - at, 0)]
    return False


def _address(content: bytearray, before: Good, chance: random.Random) -> bool:
    """An address leads to another structure: loops, and things taken for what they are not."""
    at = chance.choice(before.addresses)
    target = chance.choice(before.places).start + chance.choice((0, 0, 0, 1, 8))
    content[at : at + 8] = struct.pack("<Q", target)
    return False


def _zeros(content: bytearray, before: Good, chance: random.Random) -> bool:
    at, size = _place(before, content, chance), chance.choice((4, 8, 16, 64, 512))
    fill = chance.choice((b"\0", b"\xff"))
    content[at : at + size] = fill * len(content[at : at + size])
    return False


def _copy(content: bytearray, before: Good, chance: random.Random) -> bool:
    one, other = _place(before, content, chance), _place(before, content, chance)
    size = chance.choice((1, 4, 8, 32, 256))
    piece = content[one : one + size]
    content[other : other + len(piece)] = piece[: max(len(content) - other, 0)]
    return False


def _splice(content: bytearray, before: Good, chance: random.Random) -> bool:
    """A structure of another file in the place of one of this."""
    other = good(chance.choice(good_files.FORMATS))
    mine, theirs = chance.choice(before.places), chance.choice(other.places)
    piece = other.content[theirs.start : theirs.stop][: max(len(content) - mine.start, 0)]
    content[mine.start : mine.start + len(piece)] = piece
    return False


def _cut(content: bytearray, before: Good, chance: random.Random) -> bool:
    del content[max(_place(before, content, chance), 1) :]
    return True


def _insert(content: bytearray, before: Good, chance: random.Random) -> bool:
    at, size = _place(before, content, chance), chance.choice((1, 4, 8, 100))
    if chance.random() < 0.5:
        content[at:at] = chance.randbytes(size)
    else:
        del content[at : min(at + size, len(content) - 1)]
    return True


MUTATIONS = (_flip, _byte, _byte, _number, _number, _number, _address, _address, _zeros, _copy, _splice, _cut, _insert)


def _through_hdf5(form: str, chance: random.Random) -> bytes:
    """A file that HDF5 itself finds right, and that is not what it should be."""
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        path = Path(folder) / "case.h5"
        path.write_bytes(good(form).content)
        with h5py.File(path, "r+") as file:
            for _ in range(chance.choice((1, 1, 2))):
                with suppress(Exception):  # what HDF5 does not let be made is no case
                    chance.choice((_retype, _relink, _values, _attribute))(file, form, chance)
        return path.read_bytes()


KINDS: tuple[Any, ...] = (
    "u1", "<i8", ">u4", "f4", "f8", "S5", "c16", "?", ("u1", (3,)), [("a", "u1"), ("b", "f4")], "V7", h5py.ref_dtype,
    h5py.string_dtype(), h5py.vlen_dtype(np.dtype("u2")), h5py.enum_dtype({"A": 0, "B": 1}, "u1"),
)  # fmt: skip


def _retype(file: h5py.File, form: str, chance: random.Random) -> None:
    name = chance.choice(
        [good_files.main_dataset(form), "msg_headers"] if good_files.is_raw(form) else [good_files.main_dataset(form)]
    )
    old = file.get(name)
    if not isinstance(old, h5py.Dataset):
        return
    rows = chance.choice((0, 1, len(old) if old.shape else 3, 1000))
    columns = [[column, old.dtype[column]] for column in old.dtype.names or ("value",) if old.dtype.names]
    for column in chance.sample(columns, min(len(columns), chance.choice((1, 1, 2)))):
        kind = chance.choice((None, *KINDS))
        if kind is None:
            columns.remove(column)
        else:
            column[1] = kind
    dtype = np.dtype([tuple(column) for column in columns]) if columns else np.dtype(chance.choice(KINDS))
    del file[name]
    shape = chance.choice(((rows,), (rows,), (rows,), (rows, 2), ()))
    file.create_dataset(name, shape, dtype, chunks=chance.choice((None, True)) if shape and rows else None)


def _relink(file: h5py.File, form: str, chance: random.Random) -> None:
    names: list[str] = []
    file.visit(names.append)
    if not names:
        return
    name, other = chance.choice(names), chance.choice([*names, "/", "nothing"])
    if name in file:
        del file[name]
    made = chance.choice(
        (h5py.SoftLink(other), h5py.SoftLink(f"{name}/{other}"), h5py.ExternalLink("other.h5", "/"), None)
    )
    if made is not None:
        file[name] = made
    elif other in file and other != "/":
        file[name] = file[other]


def _values(file: h5py.File, form: str, chance: random.Random) -> None:
    dset = file.get(good_files.main_dataset(form))
    if not isinstance(dset, h5py.Dataset) or dset.ndim != 1 or not len(dset):
        return
    some = np.sort(np.array(chance.sample(range(len(dset)), min(len(dset), 20))))
    if good_files.is_raw(form):
        for at in some.tolist():
            dset[at] = np.frombuffer(chance.randbytes(chance.choice((0, 1, 7, 8, 23, 24, 400))), "u1")
        return
    if dset.dtype.hasobject or not dset.dtype.names:
        return
    rows = dset[:]
    rows[some] = np.frombuffer(chance.randbytes(len(some) * dset.dtype.itemsize), dset.dtype)
    dset[:] = rows


def _attribute(file: h5py.File, form: str, chance: random.Random) -> None:
    holder = file.get(chance.choice(("_header", "meta", "run_info", "/")))
    if holder is None:
        return
    values = (np.nan, b"\xff\xfe", "<img src=x onerror=alert(1)>", "\u202e", 2**63, np.arange(3), h5py.Empty("S1"), -1,
              "1" * 5000, np.zeros(2, [("a", "f4")]), True)  # fmt: skip
    holder.attrs[chance.choice(("version", "created", "x" * 300))] = chance.choice(values)


# -- one case --------------------------------------------------------------------------------------------------------------


def _scratch() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def tried(case: Sequence[Any]) -> dict[str, str]:
    """Inspects the file of a case (format, seed, number): its state, and what is wrong with the answer."""
    from dqm.formats import doorkeeper
    from dqm.ingest.oneshot import Sources, inspect
    from tests.formats.corpus import complaint

    form, seed, number = case
    doorkeeper.SECONDS = HANG_S
    path = Path(_scratch() or tempfile.gettempdir()) / f"larboard-fuzz-{os.getpid()}.h5"
    path.write_bytes(mutated(form, number, seed))
    try:
        report = inspect(path, Sources(name="demo"))
    finally:
        path.unlink()
    return {"state": report.state, "complaint": complaint(report)}


# -- many of them ----------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What became of the cases of one reader."""

    cases: int = 0
    states: Counter[str] = field(default_factory=Counter)
    finds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest_s: float = 0.0
    most_megabytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "cases": self.cases, "finds": dict(self.finds), "states": dict(self.states),
            "cases_per_s": round(self.cases / self.seconds, 1) if self.seconds else None,
            "slowest_s": self.slowest_s, "most_megabytes": self.most_megabytes,
        }  # fmt: skip


def cases_of(reader: str, cases: int, seed: int, first: int = 0) -> Iterator[tuple[str, int, int]]:
    """(format, seed, number) of each case of a reader."""
    forms = READERS[reader]
    return ((forms[number % len(forms)], seed, number) for number in range(first, first + cases))


def main(
    cases: int = 300, seed: int = 1, readers: Sequence[str] = tuple(READERS), keep: Path | None = None, jobs: int = 1
) -> dict[str, dict[str, Any]]:
    """Runs `cases` for each of `readers`; the tally of each. What was found is kept in `keep`, with its bytes."""
    tallies = {}
    for reader in readers:
        tally = tallies[reader] = Tally()
        begun = time.monotonic()
        every = list(cases_of(reader, cases, seed))
        for outcome in _shared(every, jobs):
            _note(tally, outcome, keep)
        tally.seconds = time.monotonic() - begun
    return {reader: tally.to_json() for reader, tally in tallies.items()}


def _shared(cases: list[tuple[str, int, int]], jobs: int) -> Iterator[limited.Outcome]:
    """Outcomes of all cases, `jobs` runners at a time."""
    from concurrent.futures import ThreadPoolExecutor

    pieces = [cases[start : start + GIVEN_TO_A_RUNNER] for start in range(0, len(cases), GIVEN_TO_A_RUNNER)]

    def run(piece: list[tuple[str, int, int]]) -> list[limited.Outcome]:
        return limited.run("tests.soak.fuzz", "tried", piece, seconds=SECONDS, megabytes=MEGABYTES)

    with ThreadPoolExecutor(jobs) as pool:
        for outcomes in pool.map(run, pieces):
            yield from outcomes


def _note(tally: Tally, outcome: limited.Outcome, keep: Path | None) -> None:
    tally.cases += 1
    tally.slowest_s = max(tally.slowest_s, outcome.seconds)
    tally.most_megabytes = max(tally.most_megabytes, outcome.megabytes)
    found = outcome.end or (outcome.value or {}).get("complaint", "no answer")
    if outcome.value:
        tally.states[outcome.value["state"]] += 1
    if not found:
        return
    tally.finds[found[:100]] += 1
    form, seed, number = outcome.name
    print(f"{form}, seed {seed}, case {number}: {found}", file=sys.stderr)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{form.replace(' ', '_')}-{seed}-{number}.h5").write_bytes(mutated(form, number, seed))


def table(tallies: dict[str, dict[str, Any]]) -> str:
    """The tallies for people."""
    lines = [f"{'reader':<28}{'cases':>9}{'finds':>7}{'cases/s':>9}{'slowest':>10}{'memory':>9}  states"]
    for reader, tally in tallies.items():
        states = ", ".join(f"{state} {n:,}" for state, n in sorted(tally["states"].items()))
        lines.append(
            f"{reader:<28}{tally['cases']:>9,}{sum(tally['finds'].values()):>7}{tally['cases_per_s'] or 0:>9}"
            f"{tally['slowest_s']:>8.2f} s{tally['most_megabytes']:>5} MiB  {states}"
        )
    return "\n".join(lines)


def summary(tallies: dict[str, dict[str, Any]]) -> str:
    """The tallies in one line."""
    said = []
    for reader, tally in tallies.items():
        wrong, refused = sum(tally["finds"].values()), tally["states"].get("quarantined", 0)
        said.append(
            f"{reader}: {wrong} crashed, hung or unexplained of {tally['cases']:,} ({refused:,} in quarantine), "
            f"at most {tally['slowest_s']:.1f} s and {tally['most_megabytes']} MiB each"
        )
    return "; ".join(said)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300, help="for each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", action="append", choices=READERS, help="only this one; may be repeated")
    parser.add_argument("--keep", type=Path, help="directory for the files of what is found")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    result = main(given.cases, given.seed, given.reader or tuple(READERS), given.keep, given.jobs)
    print(json.dumps({"fuzz": result, "seed": given.seed}))
    print(table(result), file=sys.stderr)
    print(summary(result), file=sys.stderr)
    sys.exit(any(tally["finds"] for tally in result.values()))
