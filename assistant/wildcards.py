"""Templates of prompts: `{a|b}`, `{2$$a|b|c}`, `{0.5::a|b}`, `__name__`, and the wildcard folders they draw from.

The package dynamicprompts reads and draws; this module gives it folders and a seed, bounds what it does, and shields
A1111's own syntax (`[a|b]`, `(x:1.2)`, `<lora:...>`, a lone `$`, `%` or `#`) from it. A line that begins with # or // is
a remark. Jinja is never run. Leaves showing the warnings to others.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import pyparsing
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
from dynamicprompts.wildcards import WildcardManager
from dynamicprompts.wildcards.collection.list import ListWildcardCollection
from dynamicprompts.wildcards.collection.structured import parse_structured_file
from dynamicprompts.wildcards.item import WildcardItem

from assistant.errors import BadArgument, nearest
from generation.prompts.grammar import NETWORK

Warn = Callable[[str], None]
STEPS = 20_000  # draws for one prompt
DEEPEST = 30  # braces in braces, wildcards in wildcards
LARGEST = 20_000_000  # bytes of a wildcard file
LONGEST = 20_000  # characters of a template
WILDCARD = re.compile(r"__[~!@]?((?:\$?\{[^{}]*\}|[^\s{}$%#(),|:<>]|(?<=\S) (?=\S))+?)(?:\([^()]*\))?__")
SIGNS = {"~": SamplingMethod.RANDOM, "!": SamplingMethod.COMBINATORIAL, "@": SamplingMethod.CYCLICAL}
SHIELD = 0xF0000  # shielded letters lie this much higher, in a plane for private use
SHIELDED = {SHIELD + ord(letter): letter for letter in "|_#/*$%{}"}

logging.getLogger("dynamicprompts").addHandler(logging.NullHandler())


def _silent(_: str) -> None:
    pass


def names(folders: Iterable[Path], *, warn: Warn = _silent) -> list[str]:
    """The wildcards of the folders: files below them, and the lists inside .yaml and .json, as `a/b`."""
    return sorted(_values(folders, warn))


def expand(
    template: str, folders: Iterable[Path], *, seed: int, count: int = 1, warn: Warn = _silent
) -> list[str]:
    """`count` prompts drawn from the template, number n with seed + n.

    What cannot be filled in (an unknown wildcard, one that comes back to itself) stays as text; `warn` hears of it.
    Raises `BadArgument` for a template that cannot be read, or that grows without an end.
    """
    values = _values(folders, warn)
    text = _shielded(template, values)
    # Cycles (@) go on from prompt to prompt; all else starts afresh, so that a prompt is known by its seed alone.
    cyclic = re.search(r"(?:__|\{)\s*@", text) is not None
    rest: Iterator[str] | None = None
    found = []
    watch = _Watch(warn, values)
    with _mended(template):
        for number in range(count):
            watch.left = STEPS
            if rest is None or not cyclic:
                context = _Context(SamplingMethod.RANDOM, _manager(values), _samplers(), watch=watch)
                rest = _drawn(text, context)
            context.rand.seed(seed + number)
            found.append(next(rest, ""))
    return found


def combinations(template: str, folders: Iterable[Path], limit: int = 100, *, warn: Warn = _silent) -> list[str]:
    """Every different prompt of the template in order, at most `limit`; weights do not count."""
    values = {name: [str(one) for one in items] for name, items in _values(folders, warn).items()}
    text = _shielded(template, values)
    watch = _Watch(warn, values)
    watch.left = STEPS + 100 * limit
    context = _Context(SamplingMethod.COMBINATORIAL, _manager(values), _samplers(), watch=watch)
    found: dict[str, None] = {}
    with _mended(template):
        try:
            for prompt in _drawn(text, context):
                if prompt not in found and len(found) == limit:
                    watch.say(f"there are more than {limit} combinations; the first are kept")
                    break
                found[prompt] = None
        except _TooMuch:
            watch.say(f"the combinations have no end in sight; the first {len(found)} are kept")
    return list(found)


def _drawn(text: str, context: SamplingContext) -> Iterator[str]:
    context = dataclasses.replace(context, rand=context.rand)
    results = context.generator_from_command(_parsed(text)) if text else iter([SamplingResult("")])
    return (str(result).translate(SHIELDED) for result in results)


_parsed = lru_cache(maxsize=4096)(parse)


class _mended:  # noqa: N801
    """Turns what the package raises into an error a person can use."""

    def __init__(self, template: str) -> None:
        self.template = " ".join(template.split())[:60]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, pyparsing.ParseBaseException):
            near = str(error.line).translate(SHIELDED)[max(0, error.col - 1) :][:20]
            raise BadArgument(
                f'the template "{self.template}" cannot be read near "{near}"', "Check its braces and $$."
            ) from error
        if isinstance(error, RecursionError):
            raise BadArgument(f'the template "{self.template}" nests too deep', "Take a level out.") from error
        if isinstance(error, (RuntimeError, ValueError, KeyError, AssertionError)):
            raise BadArgument(f'the template "{self.template}" cannot be filled in: {error}') from error


# Folders


def _values(folders: Iterable[Path], warn: Warn) -> dict[str, list[Any]]:
    """Name -> entries; the later of two folders counts."""
    found: dict[str, list[Any]] = {}
    for folder in folders:
        if not folder.is_dir():
            warn(f"there is no wildcard folder {folder}")
        for place, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for path in sorted(Path(place) / name for name in files):
                if path.suffix in {".txt", ".json", ".yaml"}:
                    start = path.parent.relative_to(folder).as_posix()
                    try:
                        stat = path.stat()
                        if stat.st_size > LARGEST:
                            raise ValueError(f"it is larger than {LARGEST // 10**6} MB")
                        read = _file(path, stat.st_mtime_ns, stat.st_size)
                    except Exception as error:  # the readers of two formats; one bad file spoils no other
                        warn(f"{path} cannot be read: {' '.join(str(error).split())[:120]}")
                        continue
                    found |= {name if start == "." else f"{start}/{name}": list(items) for name, items in read}
    return found


@lru_cache(maxsize=4096)
def _file(path: Path, changed: int, size: int) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    if path.suffix == ".txt":
        lines = path.read_bytes().decode("utf-8-sig", "ignore").splitlines()
        return ((path.stem, tuple(line.strip() for line in lines if line.strip() and line.strip()[0] != "#")),)
    return tuple((name, tuple(collection.get_values())) for name, collection in parse_structured_file(path))


def _manager(values: dict[str, list[Any]]) -> WildcardManager:
    shielded: dict[str, Any] = {}
    for name, items in values.items():
        shielded[name] = _Entries(items, values)
    return WildcardManager(root_map={"": [shielded]})


class _Entries(ListWildcardCollection):
    """Entries of a wildcard, shielded when they are first drawn from."""

    def __init__(self, items: Sequence[Any], known: Iterable[str]) -> None:
        super().__init__(items)
        object.__setattr__(self, "known", known)

    def get_values(self) -> list[Any]:
        texts = [_shielded(str(item), getattr(self, "known"), strict=False) for item in self.entries]  # noqa: B009
        return [
            WildcardItem(text, item.weight) if isinstance(item, WildcardItem) else text
            for text, item in zip(texts, self.entries, strict=True)
            if text
        ]


# What is not the package's


def _shielded(text: str, known: Iterable[str], *, strict: bool = True) -> str:
    """The text without remarks, the letters shielded that the package would misread.

    Not `strict`, braces that do not match are text; else they raise `BadArgument`.
    """
    if strict and len(text) > LONGEST:
        raise BadArgument(f"the template is longer than {LONGEST} characters", "Shorten it.")
    text = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith(("#", "//")))
    literal: set[int] = {m.start() for m in re.finditer(r"[#/*]", text)}
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


class _TooMuch(BadArgument):
    """More draws than a prompt may take."""


class _Watch:
    """Counts the draws and says each thing once."""

    def __init__(self, warn: Warn, known: Iterable[str]) -> None:
        self.left = STEPS
        self.known = known
        self._warn = warn
        self._said: set[str] = set()

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _TooMuch("the template grows without an end", "Look for wildcards that hold each other often.")

    def say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._warn(message)


@dataclasses.dataclass(frozen=True)
class _Context(SamplingContext):
    """The package's context, with the wildcards one is inside of."""

    rand: Random = dataclasses.field(default_factory=Random)
    inside: tuple[str, ...] = ()
    watch: _Watch = dataclasses.field(default_factory=lambda: _Watch(_silent, ()))

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

    def enter(self, command: WildcardCommand) -> tuple[str, _Context | None]:
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
        return name, dataclasses.replace(self.with_variables(command.variables), inside=(*self.inside, name))


class _Guard(Sampler):
    """Takes every wildcard through `_Context.enter`, and keeps unknown variables as text."""

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
        options = [VariantOption(_parsed(str(item)), getattr(item, "weight", 1.0)) for item in items]
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


def _samplers() -> dict[SamplingMethod, Sampler]:
    return {
        SamplingMethod.RANDOM: _Random(),
        SamplingMethod.COMBINATORIAL: _Combinatorial(),
        SamplingMethod.CYCLICAL: _Cyclical(),
    }
