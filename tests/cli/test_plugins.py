"""larboard process with plug-ins of any kind of fault."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import FEW, larboard


def test_a_plug_in_that_does_not_import_is_reported_and_the_rest_runs(good: Path, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "bad.py").write_text("import no_such_library")
    (tmp_path / "larboard.toml").write_text('[plots]\npaths = ["plugins"]\n')
    done = larboard("process", good, "--out", tmp_path / "out", "--html", tmp_path / "r.html", cwd=tmp_path)
    assert done.code == 1
    assert "BROKEN bad" in done.err
    assert "No module named 'no_such_library'" in done.err
    assert len(list((tmp_path / "out" / good.name).iterdir())) == len(FEW) + 1
    assert "no_such_library" in (tmp_path / "r.html").read_text()


def test_a_plug_in_that_raises_is_broken_on_its_own_tile(good: Path, tmp_path: Path) -> None:
    (tmp_path / "angry.py").write_text(
        "from plots.base import Plot\nclass Angry(Plot):\n    title = 'Angry'\n"
        "    def __call__(self, packets, fig):\n        raise ValueError('<b>never</b>')\n"
    )
    paths = json.dumps([str(tmp_path)])
    done = larboard("process", good, "--html", tmp_path / "r.html", LARBOARD_PLOTS__PATHS=paths)
    assert done.code == 1
    assert "BROKEN   Angry: counting rows from 0: ValueError: <b>never</b>" in done.out
    page = (tmp_path / "r.html").read_text()
    assert "<b>never</b>" not in page
    assert "&lt;b&gt;never&lt;/b&gt;" in page


def test_a_figure_of_an_earlier_run_does_not_stay_when_the_plot_broke(good: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    head = "from plots.base import Plot\nclass Mine(Plot):\n    title = 'Mine'\n"
    text = head + "    def __call__(self, packets, fig): {body}\n"
    paths = json.dumps([str(tmp_path)])
    plugin.write_text(text.format(body="fig.add_bar(y=[1])"))
    assert larboard("process", good, "--out", tmp_path / "out", LARBOARD_PLOTS__PATHS=paths).code == 0
    assert (tmp_path / "out" / good.name / "Mine.json").is_file()
    plugin.write_text(text.format(body="raise ValueError('x')"))
    for body in ("raise ValueError('x')", "return 5"):
        plugin.write_text(text.format(body="fig.add_bar(y=[1])"))
        assert larboard("process", good, "--out", tmp_path / "out", LARBOARD_PLOTS__PATHS=paths).code == 0
        plugin.write_text(text.format(body=body))
        assert larboard("process", good, "--out", tmp_path / "out", LARBOARD_PLOTS__PATHS=paths).code == 1
        assert not (tmp_path / "out" / good.name / "Mine.json").exists()
        assert larboard("process", good, LARBOARD_PLOTS__PATHS=paths).code == 1


WRONG_TRENDS = {
    "{'x': 3.0}": "returned 'x': float, expected a name and a Trend",
    "None": "trends returned NoneType",
    "[1]": "trends returned list",
    "{5: Trend(1, 'x')}": "returned 5: Trend",
    "{'x': Trend('abc', 'x')}": "a trend's value is str, expected a number or None",
    "{'x': Trend(1 + 2j, 'x')}": "a trend's value is complex",
    "{'x': Trend(1, 'x', warn=3)}": "a trend's warn is 3, expected (low, high)",
}


def test_wrong_trends_break_their_own_plot_only(good: Path, tmp_path: Path) -> None:
    classes = [
        f"class Odd{number}(AdcSpectrum):\n    def trends(self, state): return {trends}\n"
        for number, trends in enumerate(WRONG_TRENDS)
    ]
    text = "from plots.adc_spectrum import AdcSpectrum\nfrom plots.base import Trend\n"
    (tmp_path / "odd.py").write_text(text + "".join(classes))
    paths = json.dumps([str(tmp_path)])
    done = larboard("process", good, "--out", tmp_path / "out", "--json", LARBOARD_PLOTS__PATHS=paths)
    assert done.code == 1
    broken = done.json[0]["broken"]
    assert broken.keys() == {f"Odd{number}" for number in range(len(WRONG_TRENDS))}
    for number, reason in enumerate(WRONG_TRENDS.values()):
        assert reason in broken[f"Odd{number}"]
    assert done.json[0]["trends"]["AdcSpectrum.mean_adc"]["value"]
    tested = larboard("plots", "test", "Odd0", LARBOARD_PLOTS__PATHS=paths)
    assert tested.code == 1
    assert larboard("plots", "list", LARBOARD_PLOTS__PATHS=paths).code == 0


def test_numbers_beyond_json_are_written_all_the_same(good: Path, tmp_path: Path) -> None:
    (tmp_path / "big.py").write_text(
        "from plots.adc_spectrum import AdcSpectrum\nfrom plots.base import Trend\n"
        "class Big(AdcSpectrum):\n"
        "    def trends(self, state): return {'x': Trend(2**70, 'x'), 'y': Trend(float('inf'), 'Hz')}\n"
    )
    done = larboard("process", good, "--json", LARBOARD_PLOTS__PATHS=json.dumps([str(tmp_path)]))
    assert done.code == 0
    assert done.json[0]["trends"]["Big.x"]["value"] == 2.0**70
    assert done.json[0]["trends"]["Big.y"] == {"value": None, "unit": "Hz", "reason": "not a finite number"}


def test_a_plot_that_makes_no_plotly_figure_is_broken(good: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from plots.base import Plot\nclass Odd(Plot):\n    title = 'Odd'\n    def __call__(self, packets, fig): return 5\n"
    )
    done = larboard("process", good, "--out", tmp_path / "out", LARBOARD_PLOTS__PATHS=json.dumps([str(tmp_path)]))
    assert done.code == 1
    assert "expected a Plotly figure, the plot made int" in done.out


def test_what_a_plug_in_prints_does_not_get_into_the_json(good: Path, tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text(
        "from plots.base import Plot\nprint('hello')\nclass Chatty(Plot):\n    title = 'x'\n"
        "    def __call__(self, packets, fig): print('working')\n"
    )
    done = larboard("process", good, "--json", LARBOARD_PLOTS__PATHS=json.dumps([str(tmp_path)]))
    assert done.code == 0
    assert done.json[0]["rows"] == 3000
    assert "hello" in done.err
    assert "working" in done.err
