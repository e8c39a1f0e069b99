"""The user interfaces of qfid: the terminal app and the command line.

Importing it checks that the package ``scorer`` that Python finds is the one installed with it. The
name is common: a file ``scorer.py`` in the working directory, or another distribution, hides ours.
"""

from __future__ import annotations


def _foreign_scorer() -> str | None:
    """Return the file of the ``scorer`` that is imported where it is not ours; else None."""
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("scorer")
    if spec is None:
        # An editable installation may have a finder of its own; importlib.util takes longer.
        from importlib.util import find_spec

        spec = find_spec("scorer")
    if spec is None:
        return "none at all"
    file = spec.origin or next(iter(spec.submodule_search_locations or ()), "a namespace package")
    # Two names up; importing pathlib would take longer than all the rest.
    if file.rsplit("/", 2)[0] != __file__.rsplit("/", 2)[0]:
        return file
    # Another distribution can have replaced files of ours in the same folder.
    import sys

    try:
        import scorer._version  # noqa: F401
    except ImportError:
        return file
    return None if getattr(sys.modules["scorer"], "DISTRIBUTION", None) == "qfid" else file


def _require_own_scorer() -> None:
    found = _foreign_scorer()
    if found is None:
        return
    import sys

    print(
        f"error: Python finds another package called `scorer`, not qfid's: {found}\n"
        "hint: rename or uninstall it, or install qfid in an environment of its own",
        file=sys.stderr,
    )
    raise SystemExit(2)


def leave_out_working_folder() -> None:
    """Import nothing more from the folder in which ``python -m`` was called, as ``qfid`` does.

    A file there that is named like a package would else go before it. Where this package lies in
    that folder it stays.
    """
    import sys

    # Two names up, as above; `python -m` puts the whole path of its folder first.
    folder = sys.path[0] if sys.path else ""
    if not sys.flags.safe_path and folder != __file__.rsplit("/", 2)[0]:
        del sys.path[:1]


_require_own_scorer()
