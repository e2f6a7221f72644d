"""The pickle of ``torch.save`` followed opcode by opcode, without calling or importing anything that it names.

A pickle is a program. The few instructions that a dict of tensors needs are followed on a stack of plain values;
whatever asks for more is refused by name.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from wan.untrusted.refusal import MALFORMED, Refused, reason_of, shown
from wan.untrusted.tensor_entry import BITS, is_size

_STORAGES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL", "ComplexFloatStorage": "C64",
    "UntypedStorage": "U8",
}  # fmt: skip
_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "bool": "BOOL",
}  # fmt: skip
_MARK = object()


class ForeignGlobal(Refused):
    """The pickle names something of Python that no file of tensors needs; ``name`` is it, as module.name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"it asks Python for {shown(name)} while it is read, and a file of tensors needs nothing but tensors; "
            "nothing of it was run"
        )


@dataclass(frozen=True, slots=True)
class Global:
    """What the pickle calls by name."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class StorageRef:
    """The bytes of one or more tensors: member ``data/<key>`` of the archive."""

    dtype: str
    key: str
    elements: int


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A view of a storage, unchecked."""

    storage: Any
    offset: Any
    shape: Any
    stride: Any


def read_pickle(content: bytes) -> Any:
    """The pickled object with ``TensorRef`` for tensors; ``Refused`` (``ForeignGlobal``) for anything but tensors."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            step = _STEPS.get(opcode.name)
            if step is None:
                raise Refused(f"its pickle uses the instruction {opcode.name}, which no file of tensors needs")
            step(machine, argument)
            if opcode.name == "STOP":
                return machine.result
    except Refused:
        raise
    except MALFORMED as error:
        raise Refused(f"its pickle is damaged ({reason_of(error)})") from error
    raise Refused("its pickle has no end")


class _Machine:
    """Stack and memo of the pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.result: Any = None

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise Refused("its pickle is damaged")
        return value

    def pop_to_mark(self) -> list[Any]:
        """Everything above the newest mark."""
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def push_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        known = Global(module, name)
        if not _is_known(known):
            raise ForeignGlobal(f"{module}.{name}")
        self.push(known)

    def push_persistent(self) -> None:
        """A storage: ("storage", type, key, place, number of elements)."""
        identity = self.pop()
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            raise Refused("its pickle names something outside of the file")
        _, kind, key, _, elements = identity
        dtype = _STORAGES.get(kind.name) if isinstance(kind, Global) else None
        if dtype is None or not isinstance(key, str) or not is_size(elements):
            raise Refused("its pickle describes a storage that no tensor can lie in")
        self.push(StorageRef(dtype, key, elements))

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise Refused("its pickle calls what cannot be called")
        self.push(_CALLS[function.name](arguments) if function.name in _CALLS else _uncallable(function))

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise Refused("its pickle is damaged")
        names = values[::2]
        if not all(isinstance(name, str | int) for name in names):
            raise Refused("its pickle is damaged")
        target.update(zip(names, values[1::2], strict=True))

    def extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise Refused("its pickle is damaged")
        target.extend(values)

    def build(self) -> None:
        """Attributes of an object: a dict of modules has version numbers there, which nobody reads."""
        self.pop()
        if not isinstance(self.stack[-1], dict):
            raise Refused("its pickle sets the attributes of an object that is no dict of tensors")

    def make_tuple(self, size: int) -> None:
        self.push(tuple([self.pop() for _ in range(size)][::-1]))


def _is_known(found: Global) -> bool:
    if found.module == "torch":
        return found.name in _STORAGES or found.name in _DTYPES or found.name == "Size"
    return (found.module, found.name) in _KNOWN


def _tensor(arguments: tuple[Any, ...]) -> TensorRef:
    storage, offset, shape, stride = arguments[:4]
    return TensorRef(storage, offset, shape, stride)


def _typed_tensor(arguments: tuple[Any, ...]) -> TensorRef:
    """Types without a storage class of their own (fp8): bytes, and the type as the seventh argument."""
    storage, offset, shape, stride = arguments[:4]
    dtype = arguments[6]
    if not isinstance(storage, StorageRef) or not isinstance(dtype, Global):
        raise Refused("its pickle is damaged")
    name = _DTYPES[dtype.name]
    return TensorRef(StorageRef(name, storage.key, storage.elements * 8 // BITS[name]), offset, shape, stride)


def _uncallable(function: Global) -> NoReturn:
    raise Refused(f"its pickle calls {shown(function.module)}.{shown(function.name)}, which makes no tensor")


_KNOWN = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor_v3"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch.storage", "UntypedStorage"),
}
_CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "OrderedDict": lambda arguments: {},
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _typed_tensor,
    "_rebuild_parameter": lambda arguments: arguments[0],
    "Size": lambda arguments: tuple(arguments[0]),
}
_Step = Callable[[_Machine, Any], object]


def _push_argument(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


def _remember(machine: _Machine, argument: Any) -> None:
    machine.memo[len(machine.memo) if argument is None else argument] = machine.stack[-1]


_STEPS: dict[str, _Step] = {
    "PROTO": lambda machine, argument: None,
    "FRAME": lambda machine, argument: None,
    "STOP": lambda machine, argument: setattr(machine, "result", machine.pop()),
    "MARK": lambda machine, argument: machine.push(_MARK),
    "NONE": _push_argument,
    "NEWTRUE": lambda machine, argument: machine.push(True),
    "NEWFALSE": lambda machine, argument: machine.push(False),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"), _push_argument
    ),
    "EMPTY_DICT": lambda machine, argument: machine.push({}),
    "EMPTY_LIST": lambda machine, argument: machine.push([]),
    "EMPTY_TUPLE": lambda machine, argument: machine.push(()),
    "TUPLE": lambda machine, argument: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, argument: machine.make_tuple(1),
    "TUPLE2": lambda machine, argument: machine.make_tuple(2),
    "TUPLE3": lambda machine, argument: machine.make_tuple(3),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, argument: machine.push(machine.memo[argument])),
    "GLOBAL": lambda machine, argument: machine.push_global(argument),
    "STACK_GLOBAL": lambda machine, argument: machine.push_global(" ".join([machine.pop(), machine.pop()][::-1])),
    "BINPERSID": lambda machine, argument: machine.push_persistent(),
    "REDUCE": lambda machine, argument: machine.call(),
    "BUILD": lambda machine, argument: machine.build(),
    "SETITEM": lambda machine, argument: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, argument: machine.set_items(machine.pop_to_mark()),
    "APPEND": lambda machine, argument: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, argument: machine.extend(machine.pop_to_mark()),
}
