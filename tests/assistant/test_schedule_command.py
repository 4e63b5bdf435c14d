"""`atelier schedule` and the curves it draws."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from assistant.__main__ import main
from assistant.tui.curves import braille, plot


def test_values_and_warnings_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "0:(s), 2:(4), 9:(1)", "--frames", "4", "--seed", "7", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["values"] == [7, 7, 4, 4]
    assert len(made["warnings"]) == 1
    assert "frame 9" in made["warnings"][0]


def test_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", '0:("Euler a"), 3:("DDIM")', "--words", "--frames", "5"]) == 0
    assert capsys.readouterr().out.split() == ["from", "frame", "0", "Euler", "a", "from", "frame", "3", "DDIM"]


def test_the_curve_fits_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["schedule", "0:(-12.5), 119:(3)"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == 60
    assert lines[0].split()[0] == "3"
    assert lines[-2].split()[0] == "-12.5"
    assert lines[-1].split() == ["0", "119"]


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "0:(sine(t))"]) == 2
    said = capsys.readouterr().err
    assert said == 'atelier: column 4: no function "sine". Did you mean "sin"?\n'


def test_braille_dots() -> None:
    assert braille([0, 1, 2, 3], 2, 1) == ["⡠⠊"]
    assert braille([3, 3], 1, 1) == ["⠤"]
    assert braille([], 2, 2) == ["⠀⠀", "⠀⠀"]
    assert braille([0, 3], 1, 1, low=0, high=6) == ["⡠"]


def test_a_peak_of_one_frame_is_drawn() -> None:
    peak = [0.0] * 10_000
    peak[5001] = 1.0
    top, *_, bottom = braille(peak, 20, 4)
    assert top.strip("⠀")
    assert "⠀" not in bottom


def test_values_without_a_size_leave_a_gap() -> None:
    assert braille([0, 0, math.nan, math.inf, 1, 1], 3, 1) == ["⣀⠀⠉"]
    assert braille([1e308, -1e308], 1, 1) == ["⢱"]


def test_any_width() -> None:
    for width in (1, 5, 9, 40, 200):
        for count in (1, 2, 79, 500):
            lines = plot([n % 7 for n in range(count)], width, 3)
            assert len({len(line) for line in lines[:3]}) == 1
            assert width < 5 or max(map(len, lines)) <= max(width, len(str(count)) + 4)


def test_the_table_of_commands_loads_no_numpy() -> None:
    code = "import sys, assistant.cli.table, assistant.tui.curves; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
