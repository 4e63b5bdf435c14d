"""Atelier's own two themes: ink and lamp light, paper and ink. All of Textual's stay available."""

from __future__ import annotations

from textual.theme import Theme

THEMES = (
    Theme(
        name="atelier",
        primary="#d9a066",
        secondary="#7ea7a6",
        accent="#e5c07b",
        foreground="#e8e2d6",
        background="#15171a",
        surface="#1b1e22",
        panel="#24282d",
        success="#8fb573",
        warning="#e0b153",
        error="#d9665b",
        dark=True,
    ),
    Theme(
        name="atelier-paper",
        primary="#8a4b17",
        secondary="#2f6665",
        accent="#9a6a00",
        foreground="#26231e",
        background="#f6f1e7",
        surface="#efe8da",
        panel="#e4dbc9",
        success="#4a7a2f",
        warning="#9a6a00",
        error="#a8332a",
        dark=False,
    ),
)
