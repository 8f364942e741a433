"""A pedestal file that cannot be used, while files are read."""

from __future__ import annotations

from pathlib import Path

from tests.ingest.watching import Site, take


def test_a_bad_pedestal_file_is_said_on_the_tile_of_the_charge_and_mended_without_a_restart(tmp_path: Path) -> None:
    pedestals = tmp_path / "ped.json"
    site = Site(tmp_path, pedestals=pedestals, plots=None)
    take(site.root, raw=False)
    site.settle()
    found = site.elements("5")
    assert found["TriggerCharge"].state == "unavailable"
    assert found["TriggerCharge"].reason == f"pedestal file {pedestals} is not there (plots.pedestal_file)"
    assert {str(element.state) for name, element in found.items() if name != "TriggerCharge"} == {"ok"}
    pedestals.write_text('{"70": {"pedestal_mv": 700}}')
    site.settle()
    found = site.elements("5")
    assert found["TriggerCharge"].state == "unavailable"
    assert "has the key '70', which no channel has in the scheme 'tile'" in found["TriggerCharge"].reason
    assert "is plots.pedestal_keys right?" in found["TriggerCharge"].reason
    assert {str(element.state) for name, element in found.items() if name != "TriggerCharge"} == {"ok"}
    pedestals.write_text('{"4211392": {"pedestal_mv": 700}}')
    site.settle()
    found = site.elements("5")
    assert found["TriggerCharge"].state == "ok"
    assert found["TriggerCharge"].trends["charge_per_trigger"].value is not None
