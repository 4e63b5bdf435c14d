"""What a pickle of weights holds, told without running it: names and shapes of tensors, and any code it would call.

Pickle is a small machine whose instructions can call any function. This reads the instructions of `torch.save` (zip
archives since 1.6, the stream before it) and calls nothing: a call stays a note of what would be called. Only what
rebuilds a tensor is taken for harmless; anything else is told by its name. Loading is `weights`' business.
"""

from __future__ import annotations

import io
import pickletools
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

LARGEST = 64_000_000  # bytes of instructions; a checkpoint of 2,000 tensors has under one million
MOST_STEPS = 3_000_000
MOST_TENSORS = 100_000
DEEPEST = 6
DEEPEST_PROGRAM = 16  # a module in a module; a program's tables hold nothing else
MAGIC = 0x1950A86A20F9469CFC6C  # the first number of a file of torch before 1.6
# torch's storage class -> (safetensors' name of the type, bytes of one number).
STORAGES = {
    "DoubleStorage": ("F64", 8), "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8), "IntStorage": ("I32", 4), "ShortStorage": ("I16", 2), "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1), "BoolStorage": ("BOOL", 1), "UntypedStorage": ("U8", 1),
}  # fmt: skip
# What instructions that make no sense end in.
NONSENSE = (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError, struct.error)
# What rebuilds tensors and plain data; `torch.load(weights_only=True)` calls the same.
HARMLESS = frozenset(
    "collections.OrderedDict collections.defaultdict torch.Size torch.device torch._utils._rebuild_tensor "
    "torch._utils._rebuild_tensor_v2 torch._utils._rebuild_parameter torch.nn.parameter.Parameter "
    "torch.nn.modules.container.ParameterDict torch.Tensor _codecs.encode __builtin__.set builtins.set "
    "__builtin__.dict builtins.dict __builtin__.long builtins.int".split()
)
# What only TorchScript's tables name: classes of the program's own, which stay notes like all else, and its lists.
PROGRAM = "__torch__."
OF_PROGRAMS = frozenset(
    f"torch.jit._pickle.{name}"
    for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
)
# Names that trainers left beside the weights. They are read as nothing at all, here and when the weights are loaded.
LEFT_BEHIND = frozenset(
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint numpy.core.multiarray.scalar "
    "numpy._core.multiarray.scalar numpy.dtype pytorch_lightning.utilities.enums.DeviceType "
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint".split()
)


class Held(NamedTuple):
    """One tensor: its shape, the type of its numbers by safetensors' name, and its storage's bytes and key.

    `offset` and `strides` say where in the storage its numbers stand, counted in numbers.
    """

    shape: list[int]
    dtype: str
    size: int
    key: str
    offset: int = 0
    strides: tuple[int, ...] = ()


class _Global(NamedTuple):
    name: str


class _Storage(NamedTuple):
    dtype: str
    width: int
    key: str
    length: int


class _Mark:
    pass


@dataclass
class _Object:
    """Something a call would make; `state` is what would be put into it."""

    call: str
    arguments: Any
    state: list[Any] = field(default_factory=list)
    items: dict[Any, Any] = field(default_factory=dict)


def read(path: Path) -> dict[str, Held]:
    """Name -> tensor of a file of `torch.save`, nested tables joined by dots; lists by number.

    Raises ValueError in one line for what is damaged, holds code or is no such file; OSError as it comes.
    """
    return _read(path, program=False)


def read_program(path: Path) -> dict[str, Held]:
    """As `read`, of a TorchScript archive: the tensors of its modules by their names. Its code is not looked at."""
    return _read(path, program=True)


def is_program(path: Path) -> bool:
    """Whether a file is an archive of TorchScript."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _holds_code(archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def _read(path: Path, program: bool) -> dict[str, Held]:
    try:
        if zipfile.is_zipfile(path):
            return _zipped(path, program)
        return _streamed(path)
    except ValueError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise ValueError(f"the file is damaged: {' '.join(str(error).split())[:80]}") from error
    except NONSENSE as error:
        raise ValueError("the file is damaged: its pickle makes no sense") from error


def _holds_code(names: list[str]) -> bool:
    return any("/code/" in name or name.endswith("constants.pkl") for name in names)


def _zipped(path: Path, program: bool) -> dict[str, Held]:
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: info for info in archive.infolist()}
        if not program and _holds_code(list(parts)):
            raise ValueError("holds code: a TorchScript program")
        listing = next((name for name in parts if name.endswith("/data.pkl") or name == "data.pkl"), None)
        if listing is None:
            raise ValueError("an archive without data.pkl: no weights of torch")
        about = parts[listing]
        # torch stores and never packs; a packed part is how a small file claims to be a huge one.
        if about.compress_type != zipfile.ZIP_STORED or about.file_size != about.compress_size:
            raise ValueError("its parts are packed, which torch never does: not loaded")
        if about.file_size > LARGEST:
            raise ValueError(f"its table of tensors claims {about.file_size:,} bytes")
        with archive.open(about) as file:
            root = _run(io.BytesIO(file.read(LARGEST)), program)
    held = dict(_tensors(root, DEEPEST_PROGRAM if program else DEEPEST))
    folder = listing.removesuffix("data.pkl") + "data/"
    for name, tensor in held.items():
        part = parts.get(folder + tensor.key)
        if part is None or part.compress_type != zipfile.ZIP_STORED or part.file_size < tensor.size:
            raise ValueError(f'the file is cut short: the numbers of "{short(name)}" are not there')
    return held


def _streamed(path: Path) -> dict[str, Held]:
    """The stream of torch before 1.6: three small pickles, the weights' own, a list of storages, then numbers."""
    with path.open("rb") as file:
        head = file.read(LARGEST)
    if not head:
        raise ValueError("the file is empty")
    if tarfile.is_tarfile(io.BytesIO(head[:2048])):
        raise ValueError("an archive of torch before 0.1.10, which nothing reads any more")
    if head[:1] != b"\x80":
        raise ValueError("not a file of torch: it does not begin as a pickle")
    stream = io.BytesIO(head)
    first = _run(stream)
    if first != MAGIC:
        raise ValueError("a pickle, but not one of torch's weights")
    for _ in range(2):
        _run(stream)
    held = dict(_tensors(_run(stream)))
    keys = _run(stream)
    if not isinstance(keys, list):
        raise ValueError("the file is cut short: its list of tensors is missing")  # noqa: TRY004
    storages = {tensor.key: tensor.size for tensor in held.values()}
    needed = stream.tell() + sum(8 + size for size in storages.values())
    size = path.stat().st_size
    if needed > size:
        raise ValueError(f"the file is cut short: its tensors need {needed:,} bytes, file has {size:,}")
    return held


def short(name: object) -> str:
    """A name from a file as a piece of one line."""
    return " ".join(str(name).split())[:60]


def _tensors(root: Any, deepest: int = DEEPEST) -> Iterator[tuple[str, Held]]:
    """Every tensor below `root`, by its dotted name. Tables that are met again are not entered again."""
    seen: set[int] = set()
    stack: list[tuple[str, Any, int]] = [("", root, 0)]
    count = 0
    while stack:
        name, value, depth = stack.pop()
        if isinstance(value, Held):
            count += 1
            if count > MOST_TENSORS:
                raise ValueError(f"it claims more than {MOST_TENSORS:,} tensors")
            yield name or "weight", value
            continue
        if isinstance(value, _Object):
            value = _inner(value)
        if not isinstance(value, (dict, list, tuple)) or id(value) in seen or depth > deepest:
            continue
        seen.add(id(value))
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        inner = [(f"{name}.{key}" if name else str(key), below, depth + 1) for key, below in pairs]
        stack += reversed(inner)


def _inner(value: _Object) -> Any:
    """What a rebuilt table holds: its items, a program's attributes, or the parameters in a ParameterDict's state."""
    if value.items:
        return value.items
    for state in value.state:
        if isinstance(state, dict):
            if value.call.startswith(PROGRAM):
                return state
            for name in ("_parameters", "_data"):
                found = state.get(name)
                found = found.items if isinstance(found, _Object) else found
                if isinstance(found, dict) and found:
                    return found
    return None


def _run(stream: io.BytesIO, program: bool = False) -> Any:
    """What the next pickle of `stream` would make, with notes in place of everything it would call."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for steps, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if steps > MOST_STEPS:
            raise ValueError(f"its pickle has more than {MOST_STEPS:,} instructions")
        if opcode.name == "STOP":
            return stack.pop()
        _step(opcode.name, argument, stack, memo, program)
    raise ValueError("the file is cut short: its pickle does not end")


_PUSHED: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": list, "MARK": _Mark,
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
}  # fmt: skip
_VALUES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8".split()
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any], program: bool) -> None:
    if name in _VALUES:
        stack.append(argument)
    elif name in _PUSHED:
        stack.append(_PUSHED[name]())
    elif name in {"BINPUT", "LONG_BINPUT", "PUT"}:
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in {"BINGET", "LONG_BINGET", "GET"}:
        stack.append(memo[argument])
    elif name in _TUPLES:
        taken = stack[-_TUPLES[name] :]
        del stack[-_TUPLES[name] :]
        stack.append(tuple(taken))
    elif name in {"TUPLE", "LIST", "DICT", "SETITEMS", "APPENDS", "ADDITEMS", "POP_MARK"}:
        _gather(name, stack)
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        _table(stack[-1])[_key(key)] = value
    elif name == "APPEND":
        value = stack.pop()
        stack[-1].append(value)
    elif name == "GLOBAL":
        module, attribute = argument.split(" ", 1)
        stack.append(_named(module, attribute, program))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(_named(str(module), str(attribute), program))
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop()))
    elif name in {"REDUCE", "NEWOBJ"}:
        arguments, call = stack.pop(), stack.pop()
        stack.append(_called(call, arguments))
    elif name == "BUILD":
        state = stack.pop()
        if isinstance(stack[-1], _Object):
            stack[-1].state.append(state)
    elif name == "POP":
        stack.pop()
    elif name == "DUP":
        stack.append(stack[-1])
    elif name not in {"PROTO", "FRAME"}:
        raise ValueError(f"holds code: the instruction {name}, which no weights need")


def _gather(name: str, stack: list[Any]) -> None:
    """The instructions that take everything above the last mark."""
    start = max(place for place, value in enumerate(stack) if isinstance(value, _Mark))
    taken = stack[start + 1 :]
    del stack[start:]
    if name == "TUPLE":
        stack.append(tuple(taken))
    elif name == "LIST":
        stack.append(taken)
    elif name == "DICT":
        stack.append({_key(key): value for key, value in zip(taken[::2], taken[1::2], strict=True)})
    elif name == "SETITEMS":
        _table(stack[-1]).update((_key(key), value) for key, value in zip(taken[::2], taken[1::2], strict=True))
    elif name in {"APPENDS", "ADDITEMS"}:
        stack[-1].extend(taken)


def _key(value: Any) -> Any:
    """A key of a table; hashing a tuple of tuples of tuples would take for ever, so only plain ones are kept."""
    return value if isinstance(value, (str, int, float, bytes, type(None))) else f"<{type(value).__name__}>"


def _table(value: Any) -> dict[Any, Any]:
    return value.items if isinstance(value, _Object) else value


def _named(module: str, attribute: str, program: bool) -> _Global:
    name = f"{module}.{attribute}"
    if program and (name.startswith(PROGRAM) or name in OF_PROGRAMS):
        return _Global(name)
    storage = module in {"torch", "torch.storage"} and attribute in STORAGES
    number = module == "torch" and attribute.startswith(("float", "bfloat", "int", "uint", "half", "bool"))
    if name not in HARMLESS and name not in LEFT_BEHIND and not storage and not number:
        raise ValueError(f"holds code: {short(name)}")
    return _Global(name)


def _storage(value: Any) -> _Storage:
    """What torch writes for the numbers of a tensor: ("storage", class, key, where, how many, ...)."""
    if not isinstance(value, tuple) or len(value) < 5 or value[0] not in {"storage", b"storage"}:
        raise ValueError("the file is damaged: a tensor has no numbers")
    kind, key, count = value[1], value[2], value[4]
    dtype, width = STORAGES[kind.name.rpartition(".")[2]]
    if not isinstance(count, int) or not 0 <= count < 2**48:
        raise ValueError("the file is damaged: a tensor claims a size that cannot be")
    return _Storage(dtype, width, str(key), count)


def _called(call: Any, arguments: Any) -> Any:
    """The tensor a call would rebuild, or a note of the call."""
    if not isinstance(call, _Global) or not isinstance(arguments, tuple):
        raise ValueError("holds code: a call of something made on the way")  # noqa: TRY004
    if call.name in {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"}:
        storage, offset, sides = arguments[:3]
        if not isinstance(storage, _Storage) or not all(isinstance(side, int) and side >= 0 for side in sides):
            raise ValueError("the file is damaged: a tensor has no shape")
        strides = arguments[3] if len(arguments) > 3 and isinstance(arguments[3], tuple) else ()
        return Held(list(sides), storage.dtype, storage.width * storage.length, storage.key, offset, strides)
    if call.name in {"torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter"} and arguments:
        return arguments[0]
    return _Object(call.name, arguments)
