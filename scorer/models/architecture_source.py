"""What the source of an architecture of mlx-lm says, without importing it.

Importing mlx-lm initializes MLX, so its files are read: which values of a config a model takes,
with their defaults, and the predicates by which it chooses layers to quantize and to cast.
"""

from __future__ import annotations

import ast
import copy
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
    """A predicate that the class ``Model`` of an architecture has.

    It is cut out of the installed mlx-lm and run alone, with nothing but the path of a layer.

    Args:
        architecture: Module name in ``mlx_lm.models``.
        name: ``quant_predicate`` or ``cast_predicate``.
        config: Values of the config, which the predicate sees as the arguments of the model.

    Returns:
        The predicate, or None where the class has none; and whether that is certain. The predicate
        raises :class:`NeedsModel` where a path is not enough.
    """
    if _tree(architecture) is None:
        return None, False
    found = _property(architecture, "Model", name)
    if found is None:
        return None, True
    function, where = found
    values = dict(argument_defaults(where) or {}) | dict(config)
    try:
        predicate = _made(function, where, values)
    except NeedsModel:
        return None, False
    if predicate is None:
        return None, True
    takes_module = predicate.__code__.co_argcount > 1

    def chosen(path: str) -> Any:
        try:
            return predicate(path, None) if takes_module else predicate(path)
        except Exception:
            raise NeedsModel from None

    return chosen, True


def _property(architecture: str, kind: str, name: str) -> tuple[ast.FunctionDef, str] | None:
    """A property of a class, its own or inherited, and the module it stands in; None without."""
    tree = _tree(architecture)
    classes = (
        {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)} if tree else {}
    )
    imported = _names(architecture)
    if kind not in classes:
        return _property(*imported[kind], name) if kind in imported else None
    for node in classes[kind].body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            if f".{name}" not in ast.unparse(node.body[-1]):
                return node, architecture
            # It hands over to the language model inside.
            others = [*((architecture, each) for each in classes if each != kind)]
            others += [where for where in imported.values() if where[0] != architecture]
            return next(filter(None, (_property(*where, name) for where in others)), None)
    bases = (base.id for base in classes[kind].bases if isinstance(base, ast.Name))
    found = (_property(architecture, base, name) for base in bases if base != kind)
    return next(filter(None, found), None)


def _names(architecture: str) -> dict[str, tuple[str, str]]:
    """Names that an architecture imports from others, with the module and the name there.

    The name of a module that is imported whole stands for its ``Model``.
    """
    tree = _tree(architecture)
    found = {}
    for node in tree.body if tree else ():
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            for each in node.names:
                module, name = (node.module, each.name) if node.module else (each.name, "Model")
                if has_architecture(module):
                    found[each.asname or each.name] = (module, name)
    return found


def _made(function: ast.FunctionDef, where: str, values: Mapping[str, Any]) -> Any:
    """What a property returns for a model that has nothing but its arguments.

    Raises:
        NeedsModel: It needs more.
    """
    function = copy.deepcopy(function)
    for each in ast.walk(function):
        if isinstance(each, ast.FunctionDef):
            each.decorator_list = []
            each.returns = None
            for argument in each.args.args:
                argument.annotation = None
    names: dict[str, Any] = {"__builtins__": _BUILTINS}
    code = compile(ast.Module([function], []), f"mlx_lm/models/{where}.py", "exec")
    arguments = types.SimpleNamespace(**{str(key): value for key, value in values.items()})
    try:
        exec(code, names)
        return names[function.name](types.SimpleNamespace(args=arguments))
    except Exception:
        raise NeedsModel from None


@lru_cache(maxsize=64)
def bare_matrices(architecture: str) -> frozenset[str]:
    """Attributes of an architecture that hold a weight of their own and are no linear layers.

    Such as the routers of DeepSeek: they have no ``to_quantized`` and are never quantized.
    """
    tree = _tree(architecture)
    if tree is None:
        return frozenset()
    bare = {
        node.name for node in tree.body if isinstance(node, ast.ClassDef) and _holds_weight(node)
    }
    found: set[str] = set()
    known: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        made = {_called(each) for each in ast.walk(node.value) if isinstance(each, ast.Call)}
        for target in node.targets:
            if isinstance(target, ast.Attribute):
                known.add(target.attr)
                if made & bare:
                    found.add(target.attr)
    for other in {module for module, _ in _names(architecture).values()}:
        found |= bare_matrices(other) - known
    return frozenset(found)


def _holds_weight(node: ast.ClassDef) -> bool:
    quantizes = any(isinstance(f, ast.FunctionDef) and f.name == "to_quantized" for f in node.body)
    targets = (t for each in ast.walk(node) if isinstance(each, ast.Assign) for t in each.targets)
    return not quantizes and any(ast.unparse(target) == "self.weight" for target in targets)


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func)
