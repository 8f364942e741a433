"""Ids to tiles, pixels and positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dqm.detector import Detector, Library, NoGeometry, demo_detector
from dqm.detector.layouts import BadLayout, detector_from_layout

LAYOUT = """\
multitile_layout_version: 0.0.1
pixel_pitch: 4.0
chip_channel_to_position:
  11000: [0, 0]
  11001: [1, 0]
  12000: [0, 1]
  12001: [1, 1]
tile_chip_to_io:
  1: {11: 1001, 12: 1002}
  2: {11: 2001, 12: 2002}
tile_positions:
  1: [-300.0, 100.0, 50.0]
  2: [300.0, 100.0, 50.0]
tile_orientations:
  1: [1, 1, 1]
  2: [-1, 1, -1]
"""
DETECTOR = """\
drift_length: 30.0
tpc_offsets: [[10.0, 0.0, 1.0]]
module_to_io_groups: {1: [1, 2]}
"""


def ids(*rows: tuple[int, int, int, int]) -> tuple[np.ndarray, ...]:
    """Columns io_group, io_channel, chip_id, channel_id as packets have them."""
    return tuple(np.array(column, np.uint8) for column in zip(*rows, strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "multi_tile_layout-0.0.1_mod0_plain.yaml").write_text(LAYOUT)
    (tmp_path / "tiny.yaml").write_text(DETECTOR)
    return tmp_path


def test_positions_follow_the_formula_of_the_layout(folder: Path) -> None:
    tiny = Library([folder]).get("tiny")
    pixel = tiny.pixel_of(*ids((1, 1, 11, 1), (2, 1, 11, 1), (1, 2, 12, 0)))
    # z = sz (ix p - W/2 + p/2) + tile_z + offset, with p = 0.4 cm and W = 0.8 cm
    assert tiny.pixels.z[pixel].tolist() == pytest.approx([0.2 + 5 + 1, -0.2 + 5 + 1, -0.2 + 5 + 1])
    assert tiny.pixels.y[pixel].tolist() == pytest.approx([-0.2 + 10, -0.2 + 10, 0.2 + 10])
    assert tiny.pixels.x[pixel].tolist() == pytest.approx([-30 + 10, 30 + 10, -30 + 10])
    assert tiny.drift_length_cm == 30


def test_any_io_channel_of_a_tile_carries_any_of_its_chips(folder: Path) -> None:
    tiny = Library([folder]).get("tiny")
    pixels = tiny.pixel_of(*ids(*[(1, io_channel, 11, 0) for io_channel in (1, 2, 3, 4, 5)]))
    assert len(set(pixels[:4].tolist())) == 1
    assert pixels[4] == -1
    assert tiny.tile_of(np.array([1, 2, 3]), np.array([4, 4, 4])).tolist() == [1, 2, 0]


def test_ids_outside_give_minus_one_and_tile_zero() -> None:
    detector = demo_detector()
    outside = ids((1, 1, 10, 0), (9, 1, 11, 0), (1, 200, 11, 0), (1, 1, 11, 6), (1, 1, 11, 64), (255, 255, 255, 255))
    assert detector.pixel_of(*outside).tolist() == [-1] * 6
    assert detector.tile_of(outside[0], outside[1]).tolist() == [1, 0, 0, 1, 1, 0]


def test_every_pixel_of_the_demo_detector_is_found_by_its_ids() -> None:
    detector = demo_detector()
    table = detector.pixels
    found = detector.pixel_of(table.io_group, table.io_channel, table.chip_id, table.channel_id)
    assert found.tolist() == list(range(78_400))
    assert (detector.tile_of(table.io_group, table.io_channel) == table.tile).all()


def test_planes_place_every_pixel_once() -> None:
    detector = demo_detector()
    assert [plane.io_group for plane in detector.planes] == [1, 2, 3, 4]
    for plane in detector.planes:
        assert (len(plane.y), len(plane.z)) == (140, 140)
        image = plane.image(np.arange(len(detector.pixels), dtype=float))
        assert sorted(image[np.isfinite(image)].astype(int).tolist()) == plane.index.tolist()
        row, column = plane.row[17], plane.column[17]
        pixel = plane.index[17]
        assert (plane.y[row], plane.z[column]) == pytest.approx((detector.pixels.y[pixel], detector.pixels.z[pixel]))


def test_the_geometry_id_changes_with_any_position(folder: Path) -> None:
    before = Library([folder]).get("tiny").geometry_id
    moved = folder / "moved"
    moved.mkdir()
    (moved / "multi_tile_layout-0.0.1_mod0_plain.yaml").write_text(LAYOUT.replace("100.0, 50.0", "100.0, 51.0"))
    (moved / "tiny.yaml").write_text(DETECTOR)
    after = Library([moved]).get("tiny").geometry_id
    assert before != after
    assert before.startswith("tiny-")


def test_labels_name_a_pixel_by_its_ids() -> None:
    detector = demo_detector()
    pixel = detector.pixel_of(*ids((2, 6, 41, 5)))
    assert detector.labels(pixel) == ["2-6-41-5"]


def match(library: Library, detector: Detector, pixels: slice) -> str | None:
    table = detector.pixels
    found = library.match(*(c[pixels] for c in (table.io_group, table.io_channel, table.chip_id, table.channel_id)))
    return found.detector.name if found.detector else None


def test_a_file_is_matched_to_the_smallest_detector_that_has_its_ids(folder: Path) -> None:
    library = Library([folder])
    assert library.names == ("demo", "tiny")
    assert match(library, library.get("tiny"), slice(None)) == "tiny"
    assert match(library, demo_detector(), slice(None)) == "demo"


def test_a_few_wrong_ids_do_not_hide_the_detector() -> None:
    table = demo_detector().pixels
    columns = [c[:5000].copy() for c in (table.io_group, table.io_channel, table.chip_id, table.channel_id)]
    columns[2][:4] = 250
    assert Library().match(*columns).detector is demo_detector()
    columns[2][:50] = 250
    assert Library().match(*columns).detector is None


def test_without_data_nothing_is_matched_and_the_reason_says_so() -> None:
    found = Library().match(*[np.zeros(0, np.uint8)] * 4)
    assert found.detector is None
    assert "no data packets" in found.reason


def test_an_unknown_name_lists_the_known_ones(folder: Path) -> None:
    with pytest.raises(NoGeometry, match="no geometry named '3x3'; known are demo, tiny"):
        Library([folder]).get("3x3")


def test_a_layout_that_no_detector_uses_is_a_detector_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "multi_tile_layout-9.9.yaml").write_text(LAYOUT)
    assert Library([tmp_path]).names == ("demo", "9.9")
    assert len(Library([tmp_path]).get("9.9").pixels) == 8


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a list", "expected a mapping"),
        ("a: [", "cannot be read as yaml"),
        ("pixel_pitch: 4", "'chip_channel_to_position' is missing"),
        (LAYOUT.replace("tile_positions:\n  1:", "tile_positions:\n  7:"), "KeyError"),
        (LAYOUT.replace("pixel_pitch: 4.0", "pixel_pitch: wide"), "ValueError"),
        (LAYOUT.replace("pixel_pitch: 4.0", "pixel_pitch: .nan"), "positions that are not numbers"),
        (LAYOUT.replace("  11000:", f"  {2**80}:"), "OverflowError"),
        (LAYOUT.replace("{11: 1001, 12: 1002}", "[1001]"), "AttributeError|TypeError"),
        (LAYOUT.replace("  1: {11: 1001, 12: 1002}", "  99999: {11: 1001, 12: 1002}"), "KeyError|ids from"),
        (LAYOUT + "evil: !!python/object/apply:os.system ['true']\n", "cannot be read as yaml"),
    ],
)
def test_a_wrong_layout_is_one_sentence(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "layout.yaml"
    path.write_text(text)
    with pytest.raises(BadLayout, match=reason) as error:
        detector_from_layout(path)
    assert "layout.yaml" in str(error.value)


@pytest.mark.parametrize("modules", ["null", "[1, 2]", "{one: [1, 2]}", "{1: 7}", "{1: [1, 2], 2: [3]}"])
def test_a_wrong_detector_file_is_one_sentence(folder: Path, modules: str) -> None:
    (folder / "tiny.yaml").write_text(DETECTOR.replace("{1: [1, 2]}", modules))
    with pytest.raises(BadLayout, match=r"tiny\.yaml"):
        Library([folder]).get("tiny")
    found = Library([folder]).match(*ids((1, 1, 250, 63)))
    assert "tiny.yaml" in found.reason


def test_a_module_without_a_layout_is_named(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(DETECTOR)
    library = Library([tmp_path])
    with pytest.raises(BadLayout, match=r"no tile layout for module 1; expected a file named \.\.\._mod0_"):
        library.get("tiny")
    assert library.match(*ids((1, 1, 250, 63))).detector is None
    assert "no tile layout" in library.problems[0]


def test_layouts_can_be_named_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(DETECTOR)
    (tmp_path / "any name.yaml").write_text(LAYOUT)
    library = Library([tmp_path], {1: tmp_path / "any name.yaml"})
    assert len(library.get("tiny").pixels) == 8
