"""The registers of LArPix chips by name, and the configuration of a chip as one row of bytes.

Names, widths and places are those of larpix-control (``larpix/configuration/configuration_v2.py``, ``_v2b.py`` and
``_lightpix_v1.py``). The row is our own, the same for all of them: values in the order of REGISTERS, in as many bits as
they need, and then a bit for each name that says whether it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

CHANNELS = 64

# name -> (how many values, bits of each)
REGISTERS: dict[str, tuple[int, int]] = {
    "channel_mask": (CHANNELS, 1),
    "threshold_global": (1, 8),
    "pixel_trim_dac": (CHANNELS, 8),
    "csa_gain": (1, 1),
    "csa_enable": (CHANNELS, 1),
    "csa_bypass_enable": (1, 1),
    "csa_bypass_select": (CHANNELS, 1),
    "csa_monitor_select": (CHANNELS, 1),
    "csa_testpulse_enable": (CHANNELS, 1),
    "csa_testpulse_dac": (1, 8),
    "bypass_caps_en": (1, 1),
    "vref_dac": (1, 8),
    "vcm_dac": (1, 8),
    "ibias_tdac": (1, 4),
    "ibias_comp": (1, 4),
    "ibias_buffer": (1, 4),
    "ibias_csa": (1, 4),
    "ibias_vref_buffer": (1, 4),
    "ibias_vcm_buffer": (1, 4),
    "ibias_tpulse": (1, 4),
    "ref_current_trim": (1, 5),
    "override_ref": (1, 1),
    "ref_kickstart": (1, 1),
    "digital_threshold": (CHANNELS, 8),
    "min_delta_adc": (1, 8),
    "reset_threshold": (1, 8),
    "reset_length": (1, 3),
    "shadow_reset_length": (1, 8),
    "threshold_polarity": (1, 1),
    "mark_first_packet": (1, 1),
    "adc_hold_delay": (1, 16),
    "adc_burst_length": (1, 8),
    "enable_dynamic_reset": (1, 1),
    "enable_min_delta_adc": (1, 1),
    "enable_hit_veto": (1, 1),
    "enable_cross_trigger": (1, 1),
    "enable_periodic_reset": (1, 1),
    "enable_rolling_periodic_reset": (1, 1),
    "enable_periodic_trigger": (1, 1),
    "enable_rolling_periodic_trigger": (1, 1),
    "enable_periodic_trigger_veto": (1, 1),
    "periodic_reset_cycles": (1, 24),
    "periodic_trigger_cycles": (1, 32),
    "external_trigger_mask": (CHANNELS, 1),
    "cross_trigger_mask": (CHANNELS, 1),
    "periodic_trigger_mask": (CHANNELS, 1),
    "chip_id": (1, 8),
    "load_config_defaults": (1, 1),
    "enable_fifo_diagnostics": (1, 1),
    "clk_ctrl": (1, 2),
    "enable_tx_dynamic_powerdown": (1, 1),
    "tx_dynamic_powerdown_cycles": (1, 3),
    **{f"slope_control{n}": (1, 4) for n in range(4)},
    **{f"test_mode_uart{n}": (1, 2) for n in range(4)},
    **{f"current_monitor_bank{n}": (4, 1) for n in range(4)},
    **{f"voltage_monitor_bank{n}": (3, 1) for n in range(4)},
    "voltage_monitor_refgen": (8, 1),
    "digital_monitor_enable": (1, 1),
    "digital_monitor_select": (1, 4),
    "digital_monitor_chan": (1, 6),
    "enable_miso_upstream": (4, 1),
    "enable_miso_downstream": (4, 1),
    "enable_miso_differential": (4, 1),
    "enable_mosi": (4, 1),
    "enable_piso_upstream": (4, 1),
    "enable_piso_downstream": (4, 1),
    "enable_posi": (4, 1),
    **{f"tx_slices{n}": (1, 4) for n in range(4)},
    **{f"i_tx_diff{n}": (1, 4) for n in range(4)},
    **{f"i_rx{n}": (1, 4) for n in (0, 1, 2, 3, "_clk", "_rst", "_ext_trig")},
    **{f"r_term{n}": (1, 5) for n in (0, 1, 2, 3, "_clk", "_reset", "_ext_trig")},
    **{f"v_cm_lvds_tx{n}": (1, 3) for n in range(4)},
    "lightpix_mode": (1, 1),
    "hit_threshold": (1, 7),
    "timeout": (1, 8),
}

NAMES = tuple(REGISTERS)
NUMBER = {name: number for number, name in enumerate(NAMES)}
LARGEST = {name: (1 << bits) - 1 for name, (_, bits) in REGISTERS.items()}
_ENDS = np.cumsum([count * bits for count, bits in REGISTERS.values()])
FIRST_BIT = dict(zip(NAMES, [0, *_ENDS[:-1].tolist()], strict=True))
VALUE_BYTES = -(-int(_ENDS[-1]) // 8)
ROW_BYTES = VALUE_BYTES + -(-len(NAMES) // 8)
"""Length of the row of a chip."""

# where each name begins in the registers of a chip [bit]; register n holds the bits from 8 n on, the lowest first
_V2 = {
    "pixel_trim_dac": 0, "threshold_global": 512, "csa_gain": 520, "csa_bypass_enable": 521, "bypass_caps_en": 522,
    "csa_enable": 528, "ibias_tdac": 592, "ibias_comp": 600, "ibias_buffer": 608, "ibias_csa": 616,
    "ibias_vref_buffer": 624, "ibias_vcm_buffer": 632, "ibias_tpulse": 640, "ref_current_trim": 648,
    "override_ref": 653, "ref_kickstart": 654, "vref_dac": 656, "vcm_dac": 664, "csa_bypass_select": 672,
    "csa_monitor_select": 736, "csa_testpulse_enable": 800, "csa_testpulse_dac": 864, "current_monitor_bank0": 872,
    "current_monitor_bank1": 880, "current_monitor_bank2": 888, "current_monitor_bank3": 896,
    "voltage_monitor_bank0": 904, "voltage_monitor_bank1": 912, "voltage_monitor_bank2": 920,
    "voltage_monitor_bank3": 928, "voltage_monitor_refgen": 936, "digital_monitor_enable": 944,
    "digital_monitor_select": 945, "digital_monitor_chan": 952, "slope_control0": 960, "slope_control1": 964,
    "slope_control2": 968, "slope_control3": 972, "chip_id": 976, "load_config_defaults": 985,
    "enable_fifo_diagnostics": 986, "clk_ctrl": 987, "enable_miso_upstream": 992, "enable_miso_downstream": 1000,
    "enable_miso_differential": 1004, "enable_mosi": 1008, "test_mode_uart0": 1016, "test_mode_uart1": 1018,
    "test_mode_uart2": 1020, "test_mode_uart3": 1022, "enable_cross_trigger": 1024, "enable_periodic_reset": 1025,
    "enable_rolling_periodic_reset": 1026, "enable_periodic_trigger": 1027, "enable_rolling_periodic_trigger": 1028,
    "enable_periodic_trigger_veto": 1029, "enable_hit_veto": 1030, "adc_hold_delay": 1032, "adc_burst_length": 1040,
    "channel_mask": 1048, "external_trigger_mask": 1112, "cross_trigger_mask": 1176, "periodic_trigger_mask": 1240,
    "periodic_reset_cycles": 1304, "periodic_trigger_cycles": 1328, "enable_dynamic_reset": 1360,
    "enable_min_delta_adc": 1361, "threshold_polarity": 1362, "reset_length": 1363, "mark_first_packet": 1366,
    "reset_threshold": 1368, "min_delta_adc": 1376, "digital_threshold": 1384,
}  # fmt: skip
_NOT_IN_2B = {f"slope_control{n}" for n in range(4)} | {
    "enable_miso_upstream", "enable_miso_downstream", "enable_miso_differential", "enable_mosi",
}  # fmt: skip
LAYOUTS: dict[str, dict[str, int]] = {
    "2": _V2,
    # only 239 registers of a chip are stored: those of 2b beyond them are not among these
    "2b": {name: bit for name, bit in _V2.items() if name not in _NOT_IN_2B} | {
        "adc_hold_delay": 960, "enable_tx_dynamic_powerdown": 984, "tx_dynamic_powerdown_cycles": 989,
        "enable_piso_upstream": 992, "enable_piso_downstream": 1000, "enable_posi": 1008, "shadow_reset_length": 1032,
    },
    "lightpix-1": _V2 | {"lightpix_mode": 1896, "hit_threshold": 1897, "timeout": 1904},
}  # fmt: skip
"""By ASIC version: where a name begins in the registers that a packet file keeps."""
LAYOUTS["lightpix-v1.0"] = LAYOUTS["lightpix-1"]
NARROWER = {("2", "adc_hold_delay"): 4, ("lightpix-1", "adc_hold_delay"): 4, ("lightpix-v1.0", "adc_hold_delay"): 4}
"""Bits where a version has fewer than the row."""


class NoRegisters(ValueError):
    """What was given is not the registers of a chip; the message says why."""


def values_of_json(config: Any) -> dict[str, Any]:
    """The registers in the JSON of a chip, ``{name: value or list}`` or that under "register_values"; raises NoRegisters."""
    if isinstance(config, dict) and isinstance(config.get("register_values"), dict):
        config = config["register_values"]
    if not isinstance(config, dict):
        raise NoRegisters(f"is {_kind(config)}, expected an object of registers by name")
    found = {name: value for name, value in config.items() if name in REGISTERS}
    if not found:
        raise NoRegisters("has no register of a LArPix chip, expected names such as channel_mask")
    return found


def bytes_of(name: str, value: Any) -> bytes:
    """The values of one register as bytes (u1 each, u4 for those of more than 8 bits); raises NoRegisters."""
    count, bits = REGISTERS[name]
    values = value if isinstance(value, list) else [value]
    if len(values) != count:
        raise NoRegisters(f"gives {len(values)} values of {name}, expected {count}")
    try:
        packed = bytes(values) if bits <= 8 else int.to_bytes(values[0], 4, "little")
        if bits not in (8, 32) and (max(packed) if bits < 8 else values[0]) > LARGEST[name]:
            raise ValueError
    except (TypeError, ValueError, AttributeError, OverflowError):
        strange = next(v for v in values if not (isinstance(v, int) and 0 <= v <= LARGEST[name]))
        shown = repr(strange)[:40] if isinstance(strange, (int, float, str)) else _kind(strange)
        raise NoRegisters(f"gives {shown} for {name}, expected whole numbers from 0 to {LARGEST[name]}") from None
    return packed


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        float: "a number",
        int: "a number",
        bool: "a truth value",
    }
    return names.get(type(value), "null")


def rows_of_values(columns: Mapping[str, tuple[list[int], list[bytes]]], n_chips: int) -> np.ndarray:
    """Rows of chips, u1 of shape (n_chips, ROW_BYTES), from (chips, `bytes_of` of each) by register."""
    bits = np.zeros((n_chips, VALUE_BYTES * 8), np.uint8)
    given = np.zeros((n_chips, (ROW_BYTES - VALUE_BYTES) * 8), np.uint8)
    for name, (chips, values) in columns.items():
        count, width = REGISTERS[name]
        whole = np.frombuffer(b"".join(values), "<u4" if width > 8 else "u1").reshape(len(chips), count)
        _put(bits, name, whole, np.array(chips, np.intp))
        given[chips, NUMBER[name]] = 1
    return _rows(bits, given)


def rows_of_registers(registers: np.ndarray, asic_version: str) -> np.ndarray:
    """Rows of chips from the registers that packet files keep, u1 of shape (n, n_registers); KeyError for a version."""
    layout = LAYOUTS[asic_version]
    theirs = np.unpackbits(registers, axis=1, bitorder="little")
    bits = np.zeros((len(registers), VALUE_BYTES * 8), np.uint8)
    given = np.zeros((len(registers), (ROW_BYTES - VALUE_BYTES) * 8), np.uint8)
    for name, first in layout.items():
        count, width = REGISTERS[name]
        narrow = NARROWER.get((asic_version, name), width)
        if first + count * narrow > theirs.shape[1]:
            continue
        at = FIRST_BIT[name]
        # values of a list lie as they do in the row: one after the other, the lowest bit first
        bits[:, at : at + count * narrow] = theirs[:, first : first + count * narrow]
        given[:, NUMBER[name]] = 1
    return _rows(bits, given)


def _rows(bits: np.ndarray, given: np.ndarray) -> np.ndarray:
    return np.packbits(np.concatenate([bits, given], axis=1), axis=1, bitorder="little")


def _put(bits: np.ndarray, name: str, values: np.ndarray, chips: np.ndarray) -> None:
    count, width = REGISTERS[name]
    shifts = np.arange(width, dtype=values.dtype)
    each = (values[:, :, None] >> shifts) & values.dtype.type(1)
    bits[chips, FIRST_BIT[name] : FIRST_BIT[name] + count * width] = each.reshape(len(values), -1)


def values_in(rows: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The values of one register in rows of chips, int64 of shape (n, count), and whether each chip has it, shape (n,)."""
    count, width = REGISTERS[name]
    first = FIRST_BIT[name]
    start, stop = first // 8, -(-(first + count * width) // 8)
    bits = np.unpackbits(rows[:, start:stop], axis=1, bitorder="little")[:, first - 8 * start :]
    each = bits[:, : count * width].reshape(len(rows), count, width).astype(np.int64)
    return each @ (np.int64(1) << np.arange(width)), _given(rows)[:, NUMBER[name]].astype(bool)


def _given(rows: np.ndarray) -> np.ndarray:
    return np.unpackbits(rows[:, VALUE_BYTES:], axis=1, bitorder="little")


def names_in(rows: np.ndarray) -> list[str]:
    """Registers that at least one of the chips has, in the order of REGISTERS."""
    have = np.bitwise_or.reduce(rows[:, VALUE_BYTES:], axis=0, initial=0)
    return [name for name, there in zip(NAMES, np.unpackbits(have, bitorder="little"), strict=False) if there]


@cache
def _places() -> np.ndarray:
    """The register that each bit of a row belongs to, shape (8 ROW_BYTES,); that of padding is the number of names."""
    place = np.full(8 * ROW_BYTES, len(NAMES))
    for name, (count, width) in REGISTERS.items():
        place[FIRST_BIT[name] : FIRST_BIT[name] + count * width] = NUMBER[name]
    place[8 * VALUE_BYTES : 8 * VALUE_BYTES + len(NAMES)] = np.arange(len(NAMES))
    return place


def names_that_differ(one: np.ndarray, other: np.ndarray) -> list[str]:
    """Registers in which rows of chips, shape (n, ROW_BYTES) or (ROW_BYTES,), differ from others of the same shape."""
    different = np.atleast_2d(one) ^ np.atleast_2d(other)
    bits = np.unpackbits(np.bitwise_or.reduce(different, axis=0), bitorder="little").astype(bool)
    found = set(_places()[bits].tolist())
    return [name for number, name in enumerate(NAMES) if number in found]
