"""Sampler names in all the ways they are written."""

from __future__ import annotations

import pytest

from generation import samplers
from generation.errors import UnknownSampler


def test_every_name_is_found_and_comes_back_from_a1111s_two_fields() -> None:
    every = samplers.names()
    assert len(every) == len(set(every)) == len(samplers.TABLE)
    for name in every:
        assert samplers.find(name.upper()).name == name
        base, schedule = samplers.to_a1111(name)
        assert samplers.find(base, schedule=schedule).name == name


@pytest.mark.parametrize(
    ("name", "scheduler", "argument"),
    [
        ("DPM++ 2M Karras", "DPMSolverMultistepScheduler", "use_karras_sigmas"),
        ("DPM++ 2M SDE Exponential", "DPMSolverMultistepScheduler", "use_exponential_sigmas"),
        ("DPM++ SDE Karras", "DPMSolverSDEScheduler", "use_karras_sigmas"),
        ("Euler SGM Uniform", "EulerDiscreteScheduler", "timestep_spacing"),
        ("Euler Beta", "EulerDiscreteScheduler", "use_beta_sigmas"),
        ("PLMS", "PNDMScheduler", "skip_prk_steps"),
    ],
)
def test_names_and_what_they_are_in_diffusers(name: str, scheduler: str, argument: str) -> None:
    choice = samplers.find(name)
    assert choice.scheduler_class == scheduler
    assert choice.arguments[argument]
    assert samplers.find("DPM++ 3M SDE").arguments["solver_order"] == 3


@pytest.mark.parametrize("schedule", ["", "Automatic", "automatic", "Uniform", "Normal"])
def test_schedules_that_change_nothing(schedule: str) -> None:
    assert samplers.find("Euler", schedule=schedule).name == "Euler"


def test_a_schedule_given_twice_counts_once() -> None:
    assert samplers.find("DPM++ 2M Karras", schedule="Karras").name == "DPM++ 2M Karras"


@pytest.mark.parametrize(("name", "schedule"), [("", ""), ("Euler a", "Karras"), ("Euler", "Turbo"), ("nonsense", "")])
def test_what_there_is_not_is_refused(name: str, schedule: str) -> None:
    with pytest.raises(UnknownSampler):
        samplers.find(name, schedule=schedule)
