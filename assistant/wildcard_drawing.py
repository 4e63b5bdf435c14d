"""Wildcard templates under bounds: what dynamicprompts reads and draws, with its syntax kept apart from A1111's.

Knows which letters the package would misread (`shielded`), and guards its drawing (`Context`): each draw counts, a
wildcard that comes back to itself or is not known stays as text. Leaves folders and seeds to `wildcards`.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from random import Random
from typing import Any

from dynamicprompts.commands import Command, LiteralCommand, VariantCommand, VariantOption, WildcardCommand
from dynamicprompts.commands.variable_commands import VariableAccessCommand
from dynamicprompts.enums import SamplingMethod
from dynamicprompts.parser.parse import parse
from dynamicprompts.samplers.base import Sampler
from dynamicprompts.samplers.combinatorial import CombinatorialSampler
from dynamicprompts.samplers.cycle import CyclicalSampler
from dynamicprompts.samplers.random import RandomSampler
from dynamicprompts.sampling_context import SamplingContext
from dynamicprompts.sampling_result import SamplingResult

from assistant.errors import BadArgument, nearest
from generation.prompts.grammar import NETWORK

Warn = Callable[[str], None]
STEPS = 4_000  # draws for one prompt
DEEPEST = 30  # braces in braces, wildcards in wildcards
LONGEST = 20_000  # characters of a template
WILDCARD = re.compile(r"__[~!@]?((?:\$?\{[^{}]*\}|[^\s{}$%#(),|:<>]|(?<=\S) (?=\S))+?)(?:\([^()]*\))?__")
SIGNS = {"~": SamplingMethod.RANDOM, "!": SamplingMethod.COMBINATORIAL, "@": SamplingMethod.CYCLICAL}
SHIELD = 0xF0000  # shielded letters lie this much higher, in a plane for private use
SHIELDED = {SHIELD + ord(letter): letter for letter in "|_#/*$%{}\t"}

logging.getLogger("dynamicprompts").addHandler(logging.NullHandler())
parsed = lru_cache(maxsize=4096)(parse)


def silent(_: str) -> None:
    """Nobody hears the warnings."""


def shielded(text: str, known: Iterable[str], *, strict: bool = True) -> str:
    """The text without remarks, the letters shielded that the package would misread.

    Not `strict`, braces that do not match are text; else they raise `BadArgument`.
    """
    if strict and len(text) > LONGEST:
        raise BadArgument(f"the template is longer than {LONGEST} characters", "Shorten it.")
    text = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith(("#", "//")))
    literal: set[int] = {m.start() for m in re.finditer(r"[#/*\t]", text)}
    braces, problem = _pipes(text, literal)
    if problem and strict:
        raise BadArgument(problem, "Close every { with a }.")
    if problem:
        literal |= {n for n, letter in enumerate(text) if letter in "{}$%"}
        braces = []
    for match in re.finditer(r"\$\$|[$%]", text):
        inside = any(start < match.start() < end for start, end in braces)
        opens = len(match[0]) == 1 and text[match.end() : match.end() + 1] == "{"
        if not opens and not (inside and match[0] == "$$"):
            literal |= set(range(match.start(), match.end()))
    networks = [match.span() for match in NETWORK.finditer(text)]
    end = 0
    for match in WILDCARD.finditer(text):
        own = any(start <= match.start() < stop for start, stop in networks) and match[1] not in known
        literal |= {n for n in range(end, match.start()) if text[n] == "_"}
        literal |= {n for n in range(match.start(), match.end()) if text[n] == "_"} if own else set()
        literal -= set() if own else {n for n in range(match.start(), match.end()) if text[n] in "/*"}
        end = match.end()
    literal |= {n for n in range(end, len(text)) if text[n] == "_"}
    return "".join(chr(SHIELD + ord(letter)) if n in literal else letter for n, letter in enumerate(text))


def _pipes(text: str, literal: set[int]) -> tuple[list[tuple[int, int]], str]:
    """Adds stray `}` and the `|` of A1111's alternation to `literal`; returns the braces and what is wrong."""
    open_: list[int] = []
    pipes: list[tuple[int, list[int]]] = []
    braces, squares = [], set()
    for match in re.finditer(r"\\[\[\]]|[{}\[\]|]", text):
        letter, at = match[0], match.start()
        if letter in "{[":
            open_.append(at)
            if len(open_) > DEEPEST:
                return [], f"the template nests deeper than {DEEPEST} levels"
        elif letter == "|":
            pipes.append((at, open_.copy()))
        elif letter == "]" and open_ and text[open_[-1]] == "[":
            squares.add(open_.pop())
        elif letter == "}":
            if not any(text[one] == "{" for one in open_):
                literal.add(at)
                continue
            while text[start := open_.pop()] != "{":
                pass
            braces.append((start, at))
    for at, around in pipes:
        inner = [one for one in around if one in squares or text[one] == "{"]
        if inner and inner[-1] in squares:
            literal.add(at)
    lost = [one for one in open_ if text[one] == "{"]
    return braces, f"the brace at character {lost[0] + 1} is never closed" if lost else ""


# The package, bounded


class TooMuch(BadArgument):
    """More draws than a prompt may take."""


class Watch:
    """Counts the draws and says each thing once."""

    def __init__(self, warn: Warn, known: Iterable[str]) -> None:
        self.left = STEPS
        self.known = known
        self._warn = warn
        self._said: set[str] = set()

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise TooMuch("the template grows without an end", "Look for wildcards that hold each other often.")

    def say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._warn(message)


@dataclasses.dataclass(frozen=True)
class Context(SamplingContext):
    """The package's context, with the wildcards one is inside of."""

    rand: Random = dataclasses.field(default_factory=Random)
    inside: tuple[str, ...] = ()
    watch: Watch = dataclasses.field(default_factory=lambda: Watch(silent, ()))

    def generator_from_command(self, command: Command) -> Any:
        self.watch.step()
        return super().generator_from_command(command)

    def get_sampler_and_context(self, command: Command) -> Any:
        """`!` means nothing among draws without an end; the package says so on standard error."""
        if self.default_sampling_method.is_nonfinite() and command.sampling_method is SamplingMethod.COMBINATORIAL:
            return self.default_sampler, self
        return super().get_sampler_and_context(command)

    def kept(self, text: str) -> Iterator[SamplingResult]:
        """The text itself, as often as this way of drawing asks for it."""
        yield SamplingResult(text)
        while self.default_sampling_method.is_nonfinite():
            yield SamplingResult(text)

    def enter(self, command: WildcardCommand) -> tuple[str, Context | None]:
        """(name, the context inside); no context, and the text to keep, where the wildcard cannot be filled in."""
        name = str(next(iter(self.sample_prompts(command.wildcard, 1)), ""))
        sign = next((sign for sign, method in SIGNS.items() if method is command.sampling_method), "")
        text, shown = f"__{sign}{name}__", name.translate(SHIELDED)
        if name in self.inside or len(self.inside) == DEEPEST:
            self.watch.say(f"__{shown}__ comes back to itself by {' > '.join(self.inside)}; it stays as text")
            return text, None
        if ".." in name or not self.wildcard_manager.get_values(name):
            empty = shown in self.watch.known
            about = "holds nothing" if empty else "is no wildcard"
            self.watch.say(f"__{shown}__ {about}. {'' if empty else nearest(shown, self.watch.known)}".strip())
            return text, None
        inner: Any = self.with_variables(command.variables)
        return name, dataclasses.replace(inner, inside=(*self.inside, name))


class _Guard(Sampler):
    """Takes every wildcard through `Context.enter`, and keeps unknown variables as text."""

    def _get_wildcard(self, command: WildcardCommand, context: Any) -> Any:
        name, inside = context.enter(command)
        if inside is None:
            yield from context.kept(name)
        else:
            yield from super()._get_wildcard(dataclasses.replace(command, wildcard=LiteralCommand(name)), inside)

    def _get_variant(self, command: VariantCommand, context: Any) -> Any:
        first = command.values[0] if len(command) == 1 else None
        if not isinstance(first, WildcardCommand):
            yield from super()._get_variant(command, context)
            return
        name, inside = context.enter(first)
        if inside is None:
            yield from context.kept(name)
            return
        items = inside.wildcard_manager.get_values(name).items
        options = [VariantOption(parsed(str(item)), getattr(item, "weight", 1.0)) for item in items]
        yield from self._get_variant(dataclasses.replace(command, variants=options), inside)

    def _get_variable(self, command: VariableAccessCommand, context: Any) -> Any:
        if command.name not in context.variables and not command.default:
            context.watch.say(f"${{{command.name}}} is given no value; it stays as text")
            return context.kept(f"${{{command.name}}}")
        return super()._get_variable(command, context)


class _Random(_Guard, RandomSampler):
    def _get_variant_choices(self, values: Any, weights: Any, num_choices: int, rand: Random) -> list[Command]:
        """Drawn without putting back; the package takes the wrong weight out where two are alike."""
        left = list(zip(values, weights, strict=True))
        chosen = []
        for _ in range(min(num_choices, len(left))):
            total = [weight for _, weight in left]
            at = rand.choices(range(len(left)), weights=total if sum(total) > 0 else None)[0]
            chosen.append(left.pop(at)[0])
        return chosen


class _Combinatorial(_Guard, CombinatorialSampler):
    pass


class _Cyclical(_Guard, CyclicalSampler):
    pass


def samplers() -> dict[SamplingMethod, Sampler]:
    return {
        SamplingMethod.RANDOM: _Random(),
        SamplingMethod.COMBINATORIAL: _Combinatorial(),
        SamplingMethod.CYCLICAL: _Cyclical(),
    }
