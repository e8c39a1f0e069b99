"""What the source of an architecture of mlx-lm says, without importing it.

Importing mlx-lm initializes MLX, so its files are read: which values of a config a model takes,
with their defaults, and the predicates by which it chooses layers to quantize and to cast.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from scorer.models.architectures import has_architecture, mlx_lm_folder

# Functions that the predicates of mlx-lm call.
_BUILTINS = {"any": any, "all": all, "isinstance": isinstance, "len": len, "int": int, "str": str}

Predicate = Callable[[str], Any]
"""Takes the path of a layer; returns whether it is chosen, or a dictionary of parameters."""


@lru_cache(maxsize=64)
def _tree(architecture: str) -> ast.Module | None:
    folder = mlx_lm_folder()
    if folder is None or not has_architecture(architecture):
        return None
    try:
        source = (folder / "models" / f"{architecture}.py").read_text("utf-8")
        return ast.parse(source)
    except (OSError, ValueError, SyntaxError):
        return None


@lru_cache(maxsize=256)
def argument_defaults(architecture: str) -> Mapping[str, Any] | None:
    """Names of the config values that an architecture takes, with their defaults.

    Returns:
        Name to default of every field of its classes of arguments; None as the default of a field
        that has none, or one that is no literal. None if the source cannot be read.
    """
    tree = _tree(architecture)
    if tree is None:
        return None
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Args", "Config")):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    found.setdefault(field.target.id, _literal(field.value))
    for other in _imported(tree, "Args"):
        for name, default in (argument_defaults(other) or {}).items():
            found.setdefault(name, default)
    return found or None


def _literal(value: ast.expr | None) -> Any:
    try:
        return None if value is None else ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return None


def _imported(tree: ast.Module, ending: str) -> list[str]:
    """Sibling modules of which the architecture uses a class whose name ends so."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            if node.module is None:
                found += [each.name for each in node.names]
            elif any(each.name.endswith(ending) for each in node.names):
                found.append(node.module)
    return [name for name in found if has_architecture(name)]


class NeedsModel(Exception):
    """A predicate needs more of the model than the path of a layer."""


def predicate_of(
    architecture: str, name: str, config: Mapping[str, Any]
) -> tuple[Predicate | None, bool]:
    """A predicate that the class ``Model`` of an architecture defines.

    It is cut out of the installed mlx-lm and run alone, with nothing but the path of a layer.

    Args:
        architecture: Module name in ``mlx_lm.models``.
        name: ``quant_predicate`` or ``cast_predicate``.
        config: What the predicate sees as the arguments of the model.

    Returns:
        The predicate, or None where the class defines none; and whether that is certain. The
        predicate raises :class:`NeedsModel` where a path is not enough.
    """
    tree = _tree(architecture)
    if tree is None:
        return None, False
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Model":
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name == name:
                    return _made(each, architecture, config)
            return None, True
    # The class is another architecture's.
    for other in _imported(tree, "Model"):
        return predicate_of(other, name, config)
    return None, False


def _made(
    function: ast.FunctionDef, architecture: str, config: Mapping[str, Any]
) -> tuple[Predicate | None, bool]:
    inner = f"self.language_model.{function.name}"
    last = function.body[-1]
    if isinstance(last, ast.Return) and last.value is not None and ast.unparse(last.value) == inner:
        tree = _tree(architecture)
        for other in _imported(tree, "Model") if tree else ():
            found = predicate_of(other, function.name, config)
            if found[0] is not None:
                return found
        return None, False
    for each in ast.walk(function):
        if isinstance(each, ast.FunctionDef):
            each.decorator_list = []
            each.returns = None
            for argument in each.args.args:
                argument.annotation = None
    values: dict[str, Any] = {"__builtins__": _BUILTINS}
    code = compile(ast.Module([function], []), f"mlx_lm/models/{architecture}.py", "exec")
    arguments = types.SimpleNamespace(**{str(key): value for key, value in config.items()})
    try:
        exec(code, values)
        predicate = values[function.name](types.SimpleNamespace(args=arguments))
    except Exception:  # it needs more of the model than its arguments
        return None, False
    takes_module = predicate.__code__.co_argcount > 1

    def chosen(path: str) -> Any:
        try:
            return predicate(path, None) if takes_module else predicate(path)
        except Exception:
            raise NeedsModel from None

    return chosen, True


@lru_cache(maxsize=64)
def has_bare_gates(architecture: str) -> bool:
    """Whether ``gate.weight`` of an architecture is a matrix of no linear layer.

    Such a router has no ``to_quantized`` and is never quantized.
    """
    tree = _tree(architecture)
    return tree is not None and any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id.endswith(("MoEGate", "TopkRouter", "Gate"))
        for node in ast.walk(tree)
    )
