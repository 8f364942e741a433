"""A mask: a set of channels, as the disabled-channel JSON of LArPix has them, known by an address of its content."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dqm.formats.columns import PacketType
from dqm.formats.packets import Packets

MOST = 100_000
"""Channels of one mask; an io_group of ND-LAr has 45,000."""
CHANNELS = 64
SAID = 5
"""So many of what was not understood are named."""


class NoMask(ValueError):
    """What was given is no mask; the message says what was expected and what came."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Channels as integers ``io_group << 24 | io_channel << 16 | chip << 8 | channel``, ascending, each once."""

    keys: np.ndarray

    @classmethod
    def of(cls, keys: Iterable[int] | np.ndarray) -> Mask:
        given = np.asarray(keys if isinstance(keys, np.ndarray) else list(keys), np.int64)
        return cls(np.unique(given))

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and np.array_equal(self.keys, other.keys)

    def __hash__(self) -> int:
        return hash(self.address)

    def __or__(self, other: Mask) -> Mask:
        return Mask(np.union1d(self.keys, other.keys))

    def __sub__(self, other: Mask) -> Mask:
        return Mask(np.setdiff1d(self.keys, other.keys))

    @cached_property
    def address(self) -> str:
        """24 digits that tell this set of channels from any other; empty for the mask of nothing."""
        return hashlib.sha256(self.keys.astype("<u4").tobytes()).hexdigest()[:24] if len(self) else ""

    @cached_property
    def by_chip(self) -> dict[str, list[int]]:
        """Channels by ``io_group-io_channel-chip``."""
        chips, first = np.unique(self.keys >> 8, return_index=True)
        parts = np.split(self.keys & 255, first[1:]) if len(chips) else []
        return {chip_name(chip): part.tolist() for chip, part in zip(chips.tolist(), parts, strict=True)}

    @property
    def names(self) -> list[str]:
        """``io_group-io_channel-chip-channel`` of each."""
        return [f"{chip_name(key >> 8)}-{key & 255}" for key in self.keys.tolist()]

    def to_json(self) -> str:
        """The disabled-channel JSON: ``{"<io_group>-<io_channel>-<chip>": [channels]}``, a chip a line."""
        lines = [f"  {json.dumps(chip)}: {json.dumps(channels)}" for chip, channels in self.by_chip.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n" if lines else "{}\n"

    def to_csv(self) -> str:
        """A channel a line, with a head."""
        out = io.StringIO()
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["io_group", "io_channel", "chip_id", "channel_id"])
        columns = (self.keys >> 24, self.keys >> 16 & 255, self.keys >> 8 & 255, self.keys & 255)
        rows.writerows(zip(*(column.tolist() for column in columns), strict=True))
        return out.getvalue()

    def pixels(self, detector: Any) -> np.ndarray:
        """Of each channel the pixel of the detector, shape (n,); -1 where it has none, or no detector is known."""
        if detector is None or not len(self):
            return np.full(len(self), -1, np.int32)
        ids = (self.keys >> 24, self.keys >> 16 & 255, self.keys >> 8 & 255, self.keys & 255)
        return detector.pixel_of(*(part.astype(np.uint8) for part in ids))

    def selects(self, packets: Packets) -> np.ndarray:
        """Which of these are data packets of its channels, shape (n,).

        A pixel of the detector is left out through whichever io_channel of its tile it is read, as the network of a tile may
        be wired anew; a channel that is no pixel by its four ids.
        """
        wide = packets["io_group"].astype(np.int64)
        keys = ((wide << 8 | packets["io_channel"]) << 8 | packets["chip_id"]) << 8 | packets["channel_id"]
        pixels = self.pixels(packets.detector)
        chosen = np.isin(keys, self.keys[pixels < 0])
        if packets.detector is not None:
            places = np.zeros(len(packets.detector.pixels) + 1, bool)  # the last place is that of no pixel
            places[pixels[pixels >= 0]] = True
            chosen &= packets["pixel"] < 0
            chosen |= places[packets["pixel"]]
        return chosen & (packets["packet_type"] == PacketType.DATA)

    def without(self, packets: Packets) -> Packets:
        """The packets as if its channels had sent nothing."""
        return packets.without(self.selects)


NOTHING = Mask(np.zeros(0, np.int64))


def chip_name(chip: int) -> str:
    return f"{chip >> 16}-{chip >> 8 & 255}-{chip & 255}"


def read_mask(given: str | Mapping[str, Any]) -> tuple[Mask, list[str]]:
    """The mask of a disabled-channel JSON (its text, or read already), and sentences about what was left out of it.

    Raises NoMask when nothing of it can be used.
    """
    content = _parsed(given) if isinstance(given, str) else given
    if not isinstance(content, Mapping):
        raise NoMask(f'Expected an object such as {{"1-5-42": [7, 8]}}, got {_short(content)}.')
    keys: list[int] = []
    wrong: list[str] = []
    for name, channels in content.items():
        chip = _chip(name)
        if chip is None:
            wrong.append(f"“{_cut(str(name))}” is no io_group-io_channel-chip such as 1-5-42")
            continue
        if not isinstance(channels, list):
            wrong.append(f"{name}: expected a list of channels, got {_short(channels)}")
            continue
        for channel in channels:
            if isinstance(channel, int) and not isinstance(channel, bool) and 0 <= channel < CHANNELS:
                keys.append(chip << 8 | channel)
            else:
                wrong.append(f"{name}: expected channels from 0 to {CHANNELS - 1}, got {_short(channel)}")
        if len(keys) > 4 * MOST:
            break
    made = Mask.of(keys)
    check_size(made)
    said = [f"Left out of the mask: {few(wrong, '; ')}."] if wrong else []
    if wrong and not keys:
        raise NoMask(f"Nothing of it can be used: {few(wrong, '; ')}.")
    return made, said


def check_size(mask: Mask) -> None:
    """Raises NoMask for more channels than a mask may have."""
    if len(mask) > MOST:
        raise NoMask(f"A mask has at most {MOST:,} channels, these are {len(mask):,}: leave out whole files instead.")


def few(names: list[str], between: str = ", ") -> str:
    """The first of many, and how many more."""
    more = len(names) - SAID
    return between.join(names[:SAID]) + (f" and {more:,} more" if more > 0 else "")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        got = text.strip()[:40] or "nothing"
        raise NoMask(f'Expected JSON such as {{"1-5-42": [7, 8]}}, got “{got}”: {error.msg} at {where}.') from None
    except ValueError:  # a number of more digits than Python reads
        raise NoMask('Expected JSON such as {"1-5-42": [7, 8]}, got a number of thousands of digits.') from None
    except RecursionError:
        raise NoMask('Expected JSON such as {"1-5-42": [7, 8]}, got lists within lists without end.') from None


def _chip(name: Any) -> int | None:
    parts = name.split("-") if isinstance(name, str) and len(name) <= 11 else []
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and int(part) < 256 for part in parts):
        return None
    group, channel, chip = map(int, parts)
    return group << 16 | channel << 8 | chip


def _short(value: Any) -> str:
    return _cut(json.dumps(value, default=str, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
