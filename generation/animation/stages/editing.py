"""A file of stages changed as text: one value, one stage, their order; everything else stays to the letter.

Comments and the way things are written are the person's own. Where a change cannot be made in place (a list in
brackets, say) the file is written anew with its comments above, so that none is lost. Leaves what may stand in a file
to `reading`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from generation.errors import BadSpec

Data = dict[str, Any]
WIDTH = 100  # characters that an entry in one line may have


def data_of(text: str) -> Data:
    """The tables of a text, with `on` as a name: YAML 1.1 reads it as true. Raises `BadSpec` for what has none."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadSpec("this is no YAML", "Mend the file.") from error
    stages = data.get("stages") if isinstance(data, dict) else None
    if not isinstance(stages, list) or not all(isinstance(one, dict) for one in stages):
        raise BadSpec("there is no list of stages", "Begin with input: and stages:.")
    return {**data, "stages": [{"on" if key is True else key: value for key, value in one.items()} for one in stages]}


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """With other values of the video: `width`, `input`, ...; None takes one out. Raises `BadSpec`, as all below."""

    def put(text: str) -> str:
        return _put(text, (), values)

    return _edited(text, _with(data_of(text), values), put)


def with_stage(text: str, number: int, values: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> str:
    """With other `values` of a stage (`on`, `prompt`, ...) and other `settings` under `with`; None takes one out."""
    wanted = data_of(text)
    one = _with(wanted["stages"][number], values)
    if settings:
        one["with"] = _with(one.get("with") or {}, settings)
    wanted["stages"][number] = one

    def put(text: str) -> str:
        at = ("stages", number)
        if settings and isinstance(_find(_tree(text), (*at, "with")), yaml.MappingNode):
            text = _put(text, (*at, "with"), settings)
        elif settings:
            text = _put(text, at, {"with": dict(settings)})
        return _put(text, at, values)

    return _edited(text, wanted, put)


def added(text: str, number: int, stage: Data) -> str:
    """With one more stage that becomes the one at `number`."""
    wanted = data_of(text)
    wanted["stages"].insert(number, stage)

    def put(text: str) -> str:
        head, blocks, tail, indent = _blocks(text)
        return "".join([head, *blocks[:number], _entry(stage, indent), *blocks[number:], tail])

    return _edited(text, wanted, put)


def removed(text: str, number: int) -> str:
    """Without a stage and the comments that stand right above it. The last one cannot go."""
    wanted = data_of(text)
    if len(wanted["stages"]) < 2:
        raise BadSpec("this is the only stage", "Switch it off, or add another first.")
    del wanted["stages"][number]

    def put(text: str) -> str:
        head, blocks, tail, _ = _blocks(text)
        return "".join([head, *blocks[:number], *blocks[number + 1 :], tail])

    return _edited(text, wanted, put)


def moved(text: str, number: int, to: int) -> str:
    """With a stage taken to another place; its comments go with it."""
    wanted = data_of(text)
    wanted["stages"].insert(to, wanted["stages"].pop(number))

    def put(text: str) -> str:
        head, blocks, tail, _ = _blocks(text)
        blocks.insert(to, blocks.pop(number))
        return "".join([head, *blocks, tail])

    return _edited(text, wanted, put)


def comments(text: str) -> list[str]:
    """What stands behind # in a text, in order."""
    found, at = [], 0
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            # Between two tokens there is nothing but blanks and comments.
            between = text[at : token.start_mark.index]
            found += [line[line.index("#") :].rstrip() for line in between.split("\n") if "#" in line]
            at = max(at, token.end_mark.index)
    except yaml.YAMLError:
        return []
    return found


def _edited(text: str, wanted: Data, put: Callable[[str], str]) -> str:
    """What `put` makes of the text, where that says what is wanted and keeps every comment; else it is written anew."""
    text = text.replace("\r\n", "\n")
    text += "" if text.endswith("\n") else "\n"
    try:
        made = put(text)
        if data_of(made) == wanted and (set(comments(text)) <= set(comments(made)) or _fewer(text, wanted)):
            return made
    except (BadSpec, yaml.YAMLError, ValueError, LookupError):
        pass
    return "".join(f"{line}\n" for line in comments(text)) + _block(wanted)


def _with(table: Mapping[str, Any], values: Mapping[str, Any]) -> Data:
    return {key: value for key, value in {**table, **values}.items() if value is not None or key not in values}


def _fewer(text: str, wanted: Data) -> bool:
    """Whether a stage goes, and what is said about it with it."""
    return len(wanted["stages"]) < len(data_of(text)["stages"])


def _tree(text: str) -> Any:
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _find(node: Any, at: tuple[Any, ...]) -> Any:
    """The node at a place; None where there is none."""
    for key in at:
        if isinstance(node, yaml.MappingNode):
            node = next((value for name, value in node.value if getattr(name, "value", None) == key), None)
        else:
            node = node.value[key]
    return node


def _put(text: str, at: tuple[Any, ...], values: Mapping[str, Any]) -> str:
    """Write values into the table at a place, each where it stands already or behind the last one."""
    for key, value in values.items():
        table = _find(_tree(text), at)
        node = _find(table, (key,))
        if value is None:
            text = _without(text, table, key) if node is not None else text
        elif node is not None:
            start = node.start_mark.index
            text = f"{text[:start]}{written(value)}{text[_end(text, node) :]}"
        elif table.flow_style:
            end = table.end_mark.index - 1
            comma = ", " if table.value else ""
            text = f"{text[:end].rstrip()}{comma}{key}: {written(value)}{text[end:]}"
        else:
            line = _line_for(text, table)
            text = f"{text[:line]}{' ' * table.start_mark.column}{key}: {written(value)}\n{text[line:]}"
    return text


def _line_for(text: str, table: Any) -> int:
    """Where a further line of a table begins: before the list of stages, which may be long, else behind all."""
    for name, _ in table.value:
        if name.value == "stages" and not table.start_mark.column:
            return text.rindex("\n", 0, name.start_mark.index) + 1 if name.start_mark.line else 0
    return text.index("\n", _end(text, table.value[-1][1])) + 1


def _without(text: str, table: Any, key: str) -> str:
    """The text without an entry of a table. Raises `ValueError` where others stand on its line."""
    number = next(n for n, (name, _) in enumerate(table.value) if name.value == key)
    name, value = table.value[number]
    if table.flow_style:
        start, end = name.start_mark.index, _end(text, value)
        if number:
            start = _end(text, table.value[number - 1][1])
        elif len(table.value) > 1:
            end = table.value[1][0].start_mark.index
        return text[:start] + text[end:]
    start, end = text.rindex("\n", 0, name.start_mark.index) + 1, text.index("\n", _end(text, value)) + 1
    if text[start : name.start_mark.index].strip():
        raise ValueError
    return text[:start] + text[end:]


def _end(text: str, node: Any) -> int:
    """Where a value ends: what holds others, or is a text over several lines, says that it does at the next thing."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    start = int(node.start_mark.index)
    return start + len(text[start : node.end_mark.index].rstrip())


def _blocks(text: str) -> tuple[str, list[str], str, int]:
    """(what stands before the stages, each with the comments above it, what stands behind, columns before a dash).

    Raises `ValueError` where the list is not one stage below the other.
    """
    stages = _find(_tree(text), ("stages",))
    if stages.flow_style or not stages.value:
        raise ValueError
    lines = text.splitlines(keepends=True)
    indent = stages.start_mark.column
    starts = []
    for node in stages.value:
        line = node.start_mark.line
        while not (lines[line].startswith(" " * indent + "-") and line >= stages.start_mark.line):
            line -= 1
        while line > stages.start_mark.line and _outside(lines[line - 1], indent):
            line -= 1
        starts.append(line)
    while starts[0] and _outside(lines[starts[0] - 1], indent):
        starts[0] -= 1
    end = stages.end_mark.line + (1 if stages.end_mark.column else 0)
    while end > starts[-1] + 1 and (not lines[end - 1].strip() or _outside(lines[end - 1], indent)):
        end -= 1
    blocks = ["".join(lines[one:other]) for one, other in zip(starts, [*starts[1:], end], strict=True)]
    return "".join(lines[: starts[0]]), blocks, "".join(lines[end:]), indent


def _outside(line: str, indent: int) -> bool:
    """A comment that is not inside the stage above it."""
    return line.lstrip().startswith("#") and len(line) - len(line.lstrip()) <= indent


def _entry(stage: Data, indent: int) -> str:
    """A stage as an entry of the list: in one line where it fits."""
    short = written(_named(stage))
    if len(short) <= WIDTH:
        return f"{' ' * indent}- {short}\n"
    lines = _block(stage).splitlines()
    return "".join(f"{' ' * indent}{'- ' if n == 0 else '  '}{line}\n" for n, line in enumerate(lines))


class _On(str):
    """The key `on`, which is written without the quotes that a text of that name would have."""


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """A text of several lines is written in one, so that it may stand anywhere."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\n" in text else None)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(_On, lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:bool", "on"))


def _named(data: Data) -> Data:
    """The tables with the keys of stages as they are written."""
    found = {_On("on") if key == "on" else key: copy.deepcopy(value) for key, value in data.items()}
    if isinstance(found.get("stages"), list):
        found["stages"] = [_named(one) for one in found["stages"]]
    return found


def written(value: Any) -> str:
    """A value as YAML in one line, which may stand anywhere, also between brackets."""
    return _dump([value], flow=True).strip()[1:-1]


def _block(data: Data) -> str:
    return _dump(_named(data), flow=False)


def _dump(value: Any, *, flow: bool) -> str:
    width = 10**9 if flow else WIDTH
    return str(
        yaml.dump(value, Dumper=_Dumper, default_flow_style=flow, allow_unicode=True, sort_keys=False, width=width)
    )
