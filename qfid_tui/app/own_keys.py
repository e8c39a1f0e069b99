"""Keys of the user's own, from the settings file, in place of ours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from textual.binding import Binding, BindingType

from scorer.common.inert_text import inert


def names_of(
    keys: Mapping[str, str], bindings: Iterable[BindingType], display: Callable[[str], str]
) -> dict[str, str]:
    """How a sentence names a key that was replaced.

    Args:
        keys: Id of a binding to its own keys, from :func:`own_keys`.
        bindings: Those of the workbench and of the app.
        display: A key as the footer shows it.

    Returns:
        Our key to the user's, both as they are shown.
    """
    return {
        display(binding.key): display(keys[binding.id].partition(",")[0])
        for binding in Binding.make_bindings(bindings)
        if binding.id is not None and binding.id in keys
    }


def own_keys(
    wanted: Mapping[str, str], bindings: Iterable[BindingType]
) -> tuple[dict[str, str], list[str]]:
    """What can be taken of the keys that are wanted, and why the rest cannot.

    Textual would let a key that two actions want go to one of them, and the other would be gone
    from the palette too.

    Args:
        wanted: Id of a binding to its keys, with commas between.
        bindings: Those of the workbench and of the app.

    Returns:
        Id of a binding to its keys, for Textual; a sentence for each that is left out.
    """
    taken: dict[str, str] = {}
    for binding in Binding.make_bindings(bindings):
        if binding.id is not None and binding.id not in wanted:
            taken.setdefault(binding.key, binding.id)
    found: dict[str, str] = {}
    refused = []
    for name, keys in wanted.items():
        parts = [key.strip() for key in keys.split(",") if key.strip()]
        owner = next((taken[key] for key in parts if taken.get(key, name) != name), None)
        # Lists move by keys of their own, which a screen's do not touch.
        if owner is not None and name.partition(".")[0] in ("workbench", "app"):
            text = f"{name} keeps its key: `{keys}` is that of {owner}, which needs another first"
            refused.append(inert(text))
            continue
        found[name] = ",".join(parts)
        taken.update(dict.fromkeys(parts, name))
    # The key that runs also goes on after a fault.
    if "workbench.run" in found:
        found.setdefault("fault.resume", found["workbench.run"])
    return found, refused


def unknown_keys(wanted: Iterable[str], known: Collection[str]) -> list[str]:
    """Return a sentence for each id that no binding has, with the nearest one that exists.

    Args:
        wanted: Ids for which the user gives keys.
        known: The ids of all bindings.
    """
    import difflib

    found = []
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else "; `?` lists the ids at its end"
            found.append(f"app.json gives keys for `{inert(name)}`, which is no action{hint}")
    return found
