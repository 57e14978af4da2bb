"""Importing a scenario file by its path, fresh each time, with errors a user can act on.

The file is read once: what is hashed is what runs. Its folder goes to the front of sys.path, so that
it may import modules that stand beside it; those are imported anew too when the scenario is.

    LG102  syntax error, with line and caret
    LG103  an exception at import, with the scenario's own frames only
    LG107  a file of its folder hides a module that it imports
    LG108  a Locust file: import loadgen instead
    LG109  no such file, or not a Python file
"""

from __future__ import annotations

import ast
import importlib
import linecache
import os
import re
import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from loadgen.errors import LoadgenError, ScenarioError, UsageError
from loadgen.hooks import events
from loadgen.nearness import nearest

_imported: dict[Path, set[str]] = {}  # scenario file -> names of modules its last import brought


def shown(path: Path) -> str:
    """The path as a user wants to read it: relative to the current folder if it lies in there."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def read_source(path: Path) -> bytes:
    """The file's content. Raises LG109."""
    where = shown(path)
    if path.is_dir():
        raise ScenarioError(f"{where} is a folder, not a scenario", code="LG109", hints=_files_of(path))
    try:
        return path.read_bytes()
    except FileNotFoundError:
        near = nearest(path.name, _python_files(path.parent))
        hints = (f"Did you mean:  {shown(path.parent / near)}",) if near else _files_of(path.parent)
        raise ScenarioError(f"there is no file {where}", code="LG109", hints=hints) from None
    except OSError as exc:
        raise ScenarioError(f"cannot read {where}: {exc.strerror}", code="LG109") from exc


def _python_files(folder: Path) -> list[str]:
    try:
        return sorted(one.name for one in folder.iterdir() if one.suffix == ".py")
    except OSError:
        return []


def _files_of(folder: Path) -> tuple[str, ...]:
    names = _python_files(folder)[:8]
    return (f"Python files there: {', '.join(names)}",) if names else ()


def parse_source(source: bytes, path: Path) -> ast.Module:
    """The syntax tree. Raises LG102 with the line and a caret below the place."""
    try:
        return ast.parse(source, str(path))
    except SyntaxError as exc:
        raise _syntax_error(exc, path) from None
    except ValueError as exc:  # null bytes, before Python 3.12
        raise ScenarioError(f"{shown(path)} is not Python source: {exc}", code="LG102") from None


def _syntax_error(exc: SyntaxError, path: Path) -> ScenarioError:
    where = f"{shown(Path(exc.filename or path))}:{exc.lineno or 1}"
    hints: tuple[str, ...] = ()
    if exc.text:
        text = exc.text.rstrip("\n")
        body = text.lstrip()
        column = max((exc.offset or 1) - 1 - (len(text) - len(body)), 0)
        hints = (f"{body}\n{' ' * min(column, len(body))}^",)
    return ScenarioError(f"syntax error in {where}: {exc.msg}", code="LG102", hints=hints)


def module_name(path: Path) -> str:
    """A name for the scenario's module that takes nobody else's: "load-test.v2.py" is load_test_v2."""
    name = re.sub(r"\W", "_", path.stem)
    if not name.isidentifier():
        name = f"_{name}"
    taken = sys.modules.get(name)
    own = taken is not None and getattr(taken, "__file__", None) == str(path)
    if (taken is not None and not own) or name in sys.stdlib_module_names:
        return f"{name}_scenario"
    return name


def import_fresh(path: Path, source: bytes, tree: ast.Module) -> ModuleType:
    """The module of a scenario file, imported anew with the modules of its own folder.

    Raises ScenarioError (LG103, LG107, LG108) for whatever is wrong with it.
    """
    folder = str(path.parent)
    refuse_locust(tree, path)
    refuse_hiding(tree, path)
    forget(path)
    if not sys.path or sys.path[0] != folder:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    before = set(sys.modules)
    name = module_name(path)
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__spec__ = spec_from_file_location(name, path)
    sys.modules[name] = module
    linecache.checkcache(str(path))
    imported = False
    try:
        code: CodeType = compile(tree, str(path), "exec", dont_inherit=True)
        exec(code, module.__dict__)
        imported = True
    except UsageError as exc:
        raise _located(exc, path) from exc
    except (Exception, SystemExit) as exc:
        raise import_error(exc, path) from exc
    finally:
        _imported[path] = {name, *_local_modules(set(sys.modules) - before, path.parent)}
        if not imported:
            forget(path)
    return module


def _local_modules(names: set[str], folder: Path) -> Iterator[str]:
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None or name.partition(".")[0] == "loadgen":
            continue
        parents = Path(file).parents
        if folder in parents and not any(one.name in ("site-packages", "dist-packages") for one in parents):
            yield name


def forget(path: Path) -> None:
    """Undo the last import of this scenario: its modules, and the listeners they registered."""
    names = _imported.pop(path, set())
    events.forget(names)
    for name in names:
        sys.modules.pop(name, None)


def imports_of(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(top-level module, line) of each absolute import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0], node.lineno


def refuse_locust(tree: ast.Module, path: Path) -> None:
    """LG108 for a file written for Locust; one inside `try:` is somebody's own way to support both."""
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for name, line in imports_of(ast.Module([statement], [])):
                if name == "locust":
                    raise locust_error(f"{shown(path)}:{line}", ast.unparse(statement))


def locust_error(where: str, statement: str) -> ScenarioError:
    """LG108, with the line to write instead where that is known to work."""
    import loadgen

    match = re.fullmatch(r"from locust import (.+)", statement)
    names = [one.strip().partition(" ")[0] for one in match[1].strip("()").split(",")] if match else []
    if names and all(name in loadgen.__all__ for name in names):
        hint = f"Replace  {statement}\nby       {statement.replace('from locust', 'from loadgen', 1)}"
    else:
        hint = "Replace  from locust import …  by  from loadgen import …; most names are the same."
        missing = [name for name in names if name not in loadgen.__all__]
        if missing:
            hint += f"\nNot in loadgen: {', '.join(missing)}"
    return ScenarioError(f"{where} imports locust: this is loadgen", code="LG108", hints=(hint,))


def refuse_hiding(tree: ast.Module, path: Path) -> None:
    """LG107 if a file beside the scenario (or itself) has the name of a module that it imports."""
    for name, line in imports_of(tree):
        file = path.parent / f"{name}.py"
        if file.is_file() and (kind := hidden_kind(name, file)):
            raise hiding_error(file, kind, name, f"{shown(path)}:{line}")


def hidden_kind(name: str, file: Path) -> str:
    """What importing `file` as `name` hides: "installed package", "standard module", or "" for nothing."""
    if name in sys.stdlib_module_names:
        return "standard module"
    if name == "loadgen":
        return "installed package"
    folder = os.path.realpath(file.parent)
    others = [entry for entry in sys.path if os.path.realpath(entry or ".") != folder]
    spec = PathFinder.find_spec(name, others)
    if spec is None or spec.origin is None or os.path.realpath(spec.origin) == os.path.realpath(file):
        return ""
    return "installed package"


def hiding_error(file: Path, kind: str, name: str, where: str) -> ScenarioError:
    local = shown(file)
    local = local if os.path.isabs(local) else f"./{local}"
    return ScenarioError(f'{local} hides the {kind} "{name}". Rename it (import came from {where}).', code="LG107")


def _located(exc: LoadgenError, path: Path) -> ScenarioError:
    """An error of our own classes, raised while the scenario defined its own: add where."""
    frames = own_frames(exc, path)
    where = f" ({shown(Path(frames[-1].filename))}:{frames[-1].lineno})" if frames else f" ({shown(path)})"
    return ScenarioError(exc.message + where, code=exc.code or "LG103", hints=exc.hints)


def import_error(exc: BaseException, path: Path) -> ScenarioError:
    """LG103 (or what is behind it): the exception, then the frames that are the scenario's own."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return _syntax_error(exc, path)
    frames = own_frames(exc, path)
    if isinstance(exc, ModuleNotFoundError) and exc.name == "locust":
        where = f"{shown(Path(frames[-1].filename))}:{frames[-1].lineno}" if frames else shown(path)
        return locust_error(where, frames[-1].line or "" if frames else "")
    for frame in traceback.extract_tb(exc.__traceback__):
        file = Path(frame.filename)
        if file.parent == path.parent and file != path and (kind := hidden_kind(file.stem, file)):
            return hiding_error(file, kind, file.stem, shown(path))
    text = str(exc)
    what = f"{type(exc).__name__}: {text}" if text else type(exc).__name__
    return ScenarioError(
        f"importing {shown(path)} failed: {what}", code="LG103", hints=(*_frame_lines(frames), *_advice(exc))
    )


def own_frames(exc: BaseException, path: Path) -> list[traceback.FrameSummary]:
    """The frames of an exception that lie in the scenario's folder, outermost first."""
    folder = f"{path.parent}{os.sep}"
    frames = traceback.extract_tb(exc.__traceback__)
    own = [one for one in frames if one.filename.startswith(folder) and "site-packages" not in one.filename]
    ours = os.path.dirname(__file__) + os.sep
    return [one for one in own if one.filename == str(path) or not one.filename.startswith(ours)]


def _frame_lines(frames: list[traceback.FrameSummary]) -> list[str]:
    return [f"{shown(Path(one.filename))}:{one.lineno} in {one.name}:  {one.line}" for one in frames]


def _advice(exc: BaseException) -> tuple[str, ...]:
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        near = nearest(exc.name, sys.stdlib_module_names)
        meant = f' Did you mean "{near}"?' if near else ""
        return (f'"{exc.name}" is not installed for {sys.executable}.{meant}',)
    if isinstance(exc, SystemExit):
        return ('The file ends the process when it is imported; put that under  if __name__ == "__main__":',)
    return ()
