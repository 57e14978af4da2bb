"""A source of test data as a scenario sees it, and the register of those that were declared.

A source belongs to the module that declares it, and is forgotten with it when the scenario is imported
anew. Its key is the same on every worker: module, file and, for a second source of the same file, a number.

    LG703  a strategy or an end that does not exist, or that do not go together
    LG704  declared by a running user
    LG705  this worker may not use the source (see loadgen.data_feed and loadgen.data_pickers)
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

from loadgen.data_feed import Feed
from loadgen.data_files import CsvFile, GivenRows, JsonFile, Table
from loadgen.data_pickers import CircularPicker, Picker, RandomPicker, ShardPicker, Strategy
from loadgen.data_port import OnEnd, port_of
from loadgen.errors import ScenarioError
from loadgen.nearness import nearest
from loadgen.tasks import TaskSet
from loadgen.users import User

if TYPE_CHECKING:
    from loadgen.environment import Environment


E = TypeVar("E", Strategy, OnEnd)


class Declared(NamedTuple):
    """Where a source was declared: the module that is being imported, if it is one, and its folder."""

    module: ModuleType | None
    module_name: str
    folder: Path


class DataSource:
    """Rows that users take with `next(self)`. Made by data.csv, data.json and data.rows."""

    def __init__(
        self,
        reader: CsvFile | JsonFile | GivenRows,
        label: str,
        declared: Declared,
        strategy: Strategy,
        on_end: OnEnd,
    ) -> None:
        self.label = label
        self.strategy = strategy
        self.on_end = on_end
        self.path = None if isinstance(reader, GivenRows) else reader.path
        self.module_name = declared.module_name
        self._module = declared.module
        self._reader = reader
        self._pickers: WeakKeyDictionary[Environment, Picker] = WeakKeyDictionary()
        self._home: Callable[[], Environment | None] = _nowhere  # of what environment _picker is
        self._picker: Picker
        self.key = _register(self)

    def __repr__(self) -> str:
        return f"<data {self.label} {self.strategy.value}>"

    def __len__(self) -> int:
        """The number of rows. Reads the file."""
        return len(self.table.rows)

    @cached_property
    def table(self) -> Table:
        """The rows, read when they are first needed. Raises ScenarioError (LG701, LG702)."""
        return self._reader.read()

    def next(self, holder: User | TaskSet) -> Any:
        """The next row for this user: a map of column to text for CSV, else the value itself.

        At the end of unique and sharded rows: StopUser is raised, or the rows start over, or it blocks.
        """
        user = holder.own_user()
        if self._home() is not user.environment:
            self._move_to(user.environment)
        return self.table.row(self._picker.take(user))

    def used_in(self, environment: Environment) -> int:
        """How many unique rows users of this environment took."""
        picker = self._pickers.get(environment)
        return picker.used if isinstance(picker, Feed) else 0

    @property
    def is_current(self) -> bool:
        """Is the module that declared it still the one that is imported?"""
        return self._module is None or sys.modules.get(self._module.__name__) is self._module

    @property
    def module(self) -> ModuleType | None:
        return self._module

    def _move_to(self, environment: Environment) -> None:
        """Make the picker of this environment the one at hand: a process has one, so this is done once."""
        self._picker = self._pickers.get(environment) or self._new_picker(environment)
        self._home = ref(environment)

    def _new_picker(self, environment: Environment) -> Picker:
        rows, port = len(self), port_of(environment)
        picker: Picker
        match self.strategy:
            case Strategy.RANDOM:
                picker = RandomPicker(rows)
            case Strategy.CIRCULAR:
                picker = CircularPicker(rows, port.place())
            case Strategy.SHARD:
                picker = ShardPicker(self.label, rows, port.place(), self.on_end)
            case Strategy.UNIQUE:
                picker = Feed(port, self.key, self.label, rows, self.on_end)
        self._pickers[environment] = picker
        return picker


def _nowhere() -> None:
    return None


_sources: WeakValueDictionary[int, DataSource] = WeakValueDictionary()
_numbers: WeakKeyDictionary[ModuleType, Counter[str]] = WeakKeyDictionary()
_serial = 0


def _register(source: DataSource) -> str:
    """Remember the source; its key."""
    global _serial
    _serial += 1
    _sources[_serial] = source
    counts = _numbers.setdefault(source.module, Counter()) if source.module is not None else Counter[str]()
    counts[source.label] += 1
    module_name = source.module_name.removesuffix("_scenario")  # put there if the name is taken in this process
    return f"{module_name}:{source.label}#{counts[source.label]}"


def current(modules: Collection[str] | None = None) -> Iterator[DataSource]:
    """The sources of the scenario as it is imported now, in the order of their declaration.

    With `modules` only those declared by modules of these names.
    """
    for _, source in sorted(_sources.items()):
        if source.is_current and (modules is None or source.module_name in modules):
            yield source


def declaration(frame: FrameType, call: str) -> Declared:
    """Where `frame` is. Raises LG704 if a user runs there: each user would get a source of its own."""
    where: FrameType | None = frame
    while where is not None:
        if _is_users(where):
            raise ScenarioError(
                f"{call} is called by a running user ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})",
                code="LG704",
                hints=("Call it once where the file is imported, for example as the first line of the class.",),
            )
        where = where.f_back
    name = str(frame.f_globals.get("__name__", ""))
    module = sys.modules.get(name)
    own = module is not None and vars(module) is frame.f_globals
    file = frame.f_globals.get("__file__")
    return Declared(module if own else None, name, Path(file).absolute().parent if file else Path.cwd())


def _is_users(frame: FrameType) -> bool:
    """Does this frame run a method of a user or task set?"""
    if not frame.f_code.co_argcount:
        return False
    return isinstance(frame.f_locals.get(frame.f_code.co_varnames[0]), User | TaskSet)


def choice(strategy: str, on_end: str | None) -> tuple[Strategy, OnEnd]:
    """Both, checked. Raises LG703."""
    chosen = _one_of(Strategy, strategy, "strategy")
    if on_end is None:
        return chosen, OnEnd.STOP if chosen.has_end else OnEnd.RECYCLE
    end = _one_of(OnEnd, on_end, "on_end")
    if not chosen.has_end and end is not OnEnd.RECYCLE:
        raise ScenarioError(
            f'strategy="{chosen}" has no end, so on_end="{end}" would never happen',
            code="LG703",
            hints=('Leave on_end out, or take  strategy="unique"  or  strategy="shard".',),
        )
    return chosen, end


def _one_of(kind: type[E], text: str, what: str) -> E:
    try:
        return kind(text)
    except ValueError:
        near = nearest(str(text), [one.value for one in kind])
        known = ", ".join(one.value for one in kind)
        hint = f'Did you mean "{near}"?' if near else f"There are: {known}"
        raise ScenarioError(f"{what}={text!r} is unknown", code="LG703", hints=(hint,)) from None
