"""What tells one model, one set of data or one function's code from another.

The digest of code must outlive this version of Python and of Keras, since records are read for
years. So it is taken from the syntax tree, without comments, docstrings, annotations and layout,
and neither from bytecode nor from a model's configuration: those change with each release. It
follows what a function uses within its own module and stops at what it imports, which is named
only: otherwise each repair of a download would make old records stale. Of any other object it takes
what `pickle` would keep.
"""

import ast
import copyreg
import dis
import functools
import hashlib
import inspect
import json
import sys
import types
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path, PurePath
from pickle import PicklingError
from typing import Any

import numpy as np

from ..data.loading import Data
from ..stopping.following import Rule

_HERE = __name__.partition(".")[0]
_PARTS = ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test")
_NO_MATTER = {"ctx", "kind", "type_comment", "type_params", "annotation", "returns"}
# Objects of these modules are the process's, as locks and the environment.
_WITHOUT_VALUE = {"_abc", "_contextvars", "_thread", "logging", "os", "threading"}


def data_digest(data: Data) -> str:
    """Return the SHA-256 of the arrays that a run trains on and is measured on."""
    digest = hashlib.sha256()
    for name in _PARTS:
        array = np.ascontiguousarray(getattr(data, name))
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def code_digest(name: str, function: Callable[..., Any]) -> str:
    """Return the function's name and a digest of its code and of all that it uses in its module.

    Raises `ValueError` naming the argument `name` where Python does not know the source, and where
    the code uses an object that cannot be told from others.
    """
    root = _function_of(function)
    try:
        described = _describe(function, getattr(root, "__module__", None), {})
    except (PicklingError, RecursionError) as error:
        found = error if isinstance(error, PicklingError) else "what is nested too deeply"
        raise ValueError(
            f"{name} must use values that a digest can tell from others, as numbers, strings, "
            f"arrays and what pickle takes; got {function!r}, which uses {found}."
        ) from error
    except (OSError, TypeError, SyntaxError) as error:
        raise ValueError(
            f"{name} must be written in a file or a notebook to be kept with a digest of its "
            f"code; got {function!r}: {error}."
        ) from error
    text = json.dumps(described, sort_keys=True)
    title = getattr(root, "__name__", type(root).__name__)
    return f"{title} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def rule_text(rule: Rule | None) -> str:
    """Return a rule's text, and the digest of each class in it that is not this package's."""
    own = [_class_digest(kind) for kind in _kinds(rule) if kind.__module__.split(".")[0] != _HERE]
    return " ".join([repr(rule), *own])


def _kinds(value: Any) -> Iterator[type]:
    """Return the class of a rule and those of the rules that it combines."""
    if isinstance(value, Rule):
        yield type(value)
        value = [*vars(value).values()]
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _kinds(part)


@functools.cache  # as it was when it was first used: the file may be edited while a run goes on
def _class_digest(kind: type) -> str:
    return code_digest("rule", kind)


def _function_of(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function)


def _describe(value: Any, module: str | None, seen: dict[int, Any]) -> Any:
    """Return what stands for a value in JSON: of code in `module` all, of other things a name.

    `seen` has what was met before by its id; a class is `None` there while its members are told.
    """

    def each(*parts: Any) -> list[Any]:
        return [_describe(part, module, seen) for part in parts]

    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return each(*value)
    if isinstance(value, (dict, types.MappingProxyType)):
        return {str(key): _describe(part, module, seen) for key, part in value.items()}
    if isinstance(value, (set, frozenset)):
        return ["set", *sorted(each(*value), key=json.dumps)]  # the same in each process
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", value.hex()]
    if isinstance(value, PurePath):
        return _portable(value, module)
    if isinstance(value, functools.partial):
        return each(value.func, value.args, value.keywords)
    if isinstance(value, Data):
        return data_digest(value)
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.hasobject:  # its bytes are addresses
            return [str(value.dtype), value.shape, *each(value.tolist())]
        return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if inspect.ismethod(value):
        owner = value.__self__
        if inspect.isclass(owner):
            return each(value.__func__, owner)
        told = _values(owner) if type(owner).__module__ == module else None
        return each(value.__func__, type(owner), *([] if told is None else [told]))
    if callable(value):  # what other modules have put around it is named in its decorators
        value = inspect.unwrap(value, stop=lambda part: module == _home(part))
    if not (inspect.isfunction(value) or inspect.isclass(value)):
        if inspect.ismodule(value) or inspect.isbuiltin(value):
            return value.__name__
        if id(value) in seen:
            return f"object {list(seen).index(id(value))}"
        kind = type(value)
        if isinstance(value, Enum):  # its class has the values
            return each(kind, value.name if seen.get(id(kind), kind) else None)
        if hasattr(value, "get_config"):  # Keras's objects
            return each(kind, value.get_config())
        if hasattr(kind, "numpy"):  # tensors, and variables whose names depend on others before
            return each(kind, value.numpy())
        if isinstance(value, (property, functools.cached_property, classmethod)):
            names = ("fget", "fset", "fdel", "func", "__func__")
            functions = [getattr(value, name, None) for name in names]
            return each(kind, [part for part in functions if _is_own(part, module)] or None)
        named = inspect.isdatadescriptor(value) and kind.__module__ != module  # as a class has them
        told = None if named else _values(value)
        if told is not None:
            seen[id(value)] = value
        return each(kind, told)
    if not _is_own(value, module):
        # Not the whole path: libraries move their modules. And Keras makes a base a Functional when
        # a class is first called with inputs and outputs.
        name = f"{value.__module__.partition('.')[0]}.{value.__qualname__}"
        return name.replace("keras.Functional", "keras.Model")
    if id(value) in seen:
        return value.__qualname__.rpartition(".")[2]
    seen[id(value)] = None
    parts = _function_parts(value) if inspect.isfunction(value) else _class_parts(value)
    described = {key: _describe(part, module, seen) for key, part in parts}
    seen[id(value)] = value
    return described


def _is_own(value: Any, module: str | None) -> bool:
    return module in (getattr(value, "__module__", None), _home(value))


def _home(value: Any) -> str | None:
    """Return where the code of a function, or of an object's class, is."""
    if inspect.isfunction(value):  # functools.wraps gives it the __module__ of another
        return value.__globals__.get("__name__")
    return type(value).__module__


def _values(value: Any) -> Any:
    """Return what `pickle` would keep of an object beside its type, `None` if that is nothing."""
    kind = type(value)
    if kind.__module__ in _WITHOUT_VALUE or (isinstance(value, np.dtype) and value.fields is None):
        return None
    reduce = copyreg.dispatch_table.get(kind)
    try:
        kept = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception as error:  # whatever somebody's __reduce__ raises
        raise PicklingError(f"{value!r:.200} ({error})") from error
    if isinstance(kept, str):
        return kept
    make, given, *rest = kept
    new = make is copyreg.__newobj__  # type: ignore[attr-defined]
    if new and len(given) == 1 and all(part is None for part in rest):
        return None
    return [make, given, *rest[:1], *(list(part) for part in rest[1:3] if part is not None)]


def _portable(path: PurePath, module: str | None) -> list[str]:
    """Return a path as text, one beside the module as seen from there."""
    file = getattr(sys.modules.get(module or ""), "__file__", None) or "notebook"
    folder = Path(file).absolute().parent
    return ["path", (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()]


def _class_parts(kind: type) -> Iterator[tuple[str, Any]]:
    yield "bases", kind.__bases__
    members = dict(vars(kind))
    if fields := members.get("__dataclass_fields__"):  # what is made of them has no source
        yield "fields", [(f.name, f.init, f.kw_only, f.default_factory) for f in fields.values()]
        members = {name: part for name, part in members.items() if not _is_made(part)}
    for name, member in members.items():
        if inspect.isfunction(member) or not name.startswith("__"):
            yield name, member


def _is_made(member: Any) -> bool:
    """Whether `dataclass` has made this method, or brought it along."""
    if not inspect.isfunction(member):
        return False
    code = inspect.unwrap(member).__code__
    made = code.co_filename == "<string>" and member.__name__.startswith("__")
    return made or member.__module__ == "dataclasses"


def _function_parts(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    code = function.__code__
    lines, _ = inspect.findsource(function)
    nodes = _functions("".join(lines)).get((code.co_firstlineno, code.co_name))
    # From Python 3.13 on, all that is called <string> has the source of python -c.
    if nodes is None:
        raise OSError("its code is not in what Python takes for its source")
    yield "code", nodes
    yield "defaults", [function.__defaults__, function.__kwdefaults__]
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    known = function.__globals__ | {name: cell.cell_contents for name, cell in cells}
    for name in sorted(_names(code) | {*code.co_freevars}):
        if name in known:
            yield f"uses {name}", known[name]


@functools.lru_cache(maxsize=16)
def _functions(source: str) -> dict[tuple[int, str], list[Any]]:
    """Return the syntax trees of all functions by first line and name, as code objects have them.

    Kept, since a notebook that reads a hundred sweeps from records asks for few sources.
    """
    functions: dict[tuple[int, str], list[Any]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            first = min(part.lineno for part in (node, *getattr(node, "decorator_list", [])))
            name = getattr(node, "name", "<lambda>")
            functions.setdefault((first, name), []).append(_plain(node))
    return functions


def _names(code: types.CodeType) -> set[str]:
    """Return the global names that code reads, functions inside of it too."""
    steps = dis.get_instructions(code)
    names = {step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return names.union(*map(_names, inner))


def _plain(node: Any) -> Any:
    """Return a syntax tree as lists, alike in all versions of Python."""
    if isinstance(node, list):
        return [_plain(part) for part in node if not _is_docstring(part)]
    if not isinstance(node, ast.AST):
        return node if isinstance(node, (str, int, float)) else repr(node)
    fields = [(name, part) for name, part in ast.iter_fields(node) if name not in _NO_MATTER]
    given = [[name, _plain(part)] for name, part in fields if part is not None and part != []]
    return [type(node).__name__, *given]


def _is_docstring(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
