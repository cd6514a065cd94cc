"""What tells one model, one set of data or one function's code from another.

The digest of code must outlive this version of Python and of Keras, since records are read for
years. So it is taken from the syntax tree, without comments, docstrings, annotations and layout,
and neither from bytecode nor from a model's configuration: those change with each release. It
follows what a function uses within its own module and stops at what it imports, which is named
only: otherwise each repair of a download would make old records stale.
"""

import ast
import dis
import functools
import hashlib
import inspect
import json
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..data.loading import Data

_PARTS = ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test")
_NO_MATTER = {"ctx", "kind", "type_comment", "type_params", "annotation", "returns"}


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

    Raises `ValueError` naming the argument `name` where Python does not know the source.
    """
    root = _function_of(function)
    try:
        described = _describe(function, getattr(root, "__module__", None), set())
    except (OSError, TypeError, SyntaxError) as error:
        raise ValueError(
            f"{name} must be written in a file or a notebook to be kept in a record, which holds "
            f"a digest of its code; got {function!r}: {error}."
        ) from error
    text = json.dumps(described, sort_keys=True)
    title = getattr(root, "__name__", type(root).__name__)
    return f"{title} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _function_of(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function)


def _describe(value: Any, module: str | None, seen: set[int]) -> Any:
    """Return what stands for a value in JSON: of code in `module` all, of other things a name."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_describe(part, module, seen) for part in value]
    if isinstance(value, dict):
        return {str(key): _describe(part, module, seen) for key, part in value.items()}
    if isinstance(value, functools.partial):
        return [_describe(part, module, seen) for part in (value.func, value.args, value.keywords)]
    if isinstance(value, Data):
        return data_digest(value)
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if inspect.ismethod(value):
        return [_describe(part, module, seen) for part in (value.__func__, type(value.__self__))]
    value = inspect.unwrap(value) if callable(value) else value
    if not (inspect.isfunction(value) or inspect.isclass(value)):
        if inspect.ismodule(value) or inspect.isbuiltin(value):
            return value.__name__
        config = value.get_config() if hasattr(value, "get_config") else None  # Keras's objects
        return [_describe(part, module, seen) for part in (type(value), config)]
    if value.__module__ != module:
        # Not the whole path: libraries move their modules. And Keras makes a base a Functional when
        # a class is first called with inputs and outputs.
        name = f"{value.__module__.partition('.')[0]}.{value.__qualname__}"
        return name.replace("keras.Functional", "keras.Model")
    if id(value) in seen:
        return value.__qualname__.rpartition(".")[2]
    seen.add(id(value))
    parts = _function_parts(value) if inspect.isfunction(value) else _class_parts(value)
    return {key: _describe(part, module, seen) for key, part in parts}


def _class_parts(kind: type) -> Iterator[tuple[str, Any]]:
    yield "bases", kind.__bases__
    for name, member in vars(kind).items():
        if inspect.isfunction(member) or not name.startswith("__"):
            yield name, member


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
