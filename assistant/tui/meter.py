"""The token meter: how full each 75-token chunk of the prompt is, and what the grammar warns of."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

CAPACITY = 75
BAR = 12


class Meter(Static):
    """One line for the chunks, one for the first warning."""

    def show(self, chunks: list[tuple[int, str, str]], warnings: list[str]) -> None:
        """`chunks` are (tokens, first words, the words moved there from the one before) in order."""
        line = Text(no_wrap=True, overflow="ellipsis")
        for number, (tokens, words, moved) in enumerate(chunks, 1):
            filled = round(BAR * tokens / CAPACITY)
            style = "red" if tokens > CAPACITY else "yellow" if tokens > CAPACITY - 8 else "green"
            if number > 1:
                line.append("  ")
            line.append("━" * filled, style)
            line.append("━" * (BAR - filled), "dim")
            line.append(f" {tokens}/{CAPACITY}")
            if moved:
                line.append(f" moved: {' '.join(moved.split())}", "yellow")
            elif number > 1:
                line.append(f" {words}", "dim")
        if warnings:
            line.append("\n")
            line.append(f"! {warnings[0]}", "yellow")
            if len(warnings) > 1:
                line.append(f" (+{len(warnings) - 1})", "dim")
        self.update(line)
