"""Recipes: one YAML file a run -> its arguments, every key checked before anything is loaded.

A recipe's keys stand flat: the fields of two dataclasses, one of `arguments` for what a run is made of (model,
data, rows, rewards), and the stage's own configuration, a `TrainingArguments` of transformers or TRL. TRL's `TrlParser`
reads both. `base: other.yaml` takes over the keys of another recipe, relative to the one that says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .arguments import STAGES, Stage

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Plan:
    """A recipe and its overrides, understood.

    Attributes:
        stage: one of `STAGES`.
        recipe: the file, as the user named it.
        overrides: the command line's own keys, as they were typed.
        settings: every key that the recipe, its bases or the command line give -> its value. What is not in it has its
            default.
        run, config: the stage's two dataclasses, filled.
    """

    stage: str
    recipe: str
    overrides: tuple[str, ...]
    settings: dict[str, Any]
    run: Any
    config: Any


def find_recipe(name: str | Path) -> Path:
    """A recipe by its path, or, where no such file is, by its path within the installed package.

    Raises:
        FileNotFoundError: it is in neither place.
    """
    path = Path(name).expanduser()
    for place in (path, _PACKAGE / path, _PACKAGE / "recipes" / path):
        if place.is_file():
            return place
    own = sorted(file.relative_to(_PACKAGE).as_posix() for file in _PACKAGE.glob("recipes/*/*.yaml"))
    raise FileNotFoundError(f"{name}: no such recipe. The package itself has {', '.join(own) or 'none'}")


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The keys of a recipe and of those that it is based on.

    Raises:
        FileNotFoundError: it, or its base, is not there.
        ValueError: a file is not a mapping of YAML, has a key twice, or recipes are based on each other in a circle.
    """
    return _read(find_recipe(path), ())


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    import yaml

    if path.resolve() in above:
        raise ValueError(f"{path}: this recipe is its own base, through {' -> '.join(step.name for step in above)}")
    try:
        keys = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys):
        raise ValueError(f"{path}: a recipe is a mapping of keys to values, such as `learning_rate: 1e-4`")
    base = keys.pop("base", None)
    if base is None:
        return keys
    if not isinstance(base, str) or not (path.parent / base).is_file():
        raise FileNotFoundError(f"{path}: its base {base!r} is not there; a base is named relative to the recipe")
    return _read(path.parent / base, (*above, path.resolve())) | keys


def _loader() -> type:
    """PyYAML's safe loader, which of a key that stands twice would silently take the second."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            names = [key.value for key, _ in node.value]
            if twice := {name for name in names if names.count(name) > 1}:
                raise yaml.MarkedYAMLError(problem=f"{min(twice)} stands twice", problem_mark=node.start_mark)
            return super().construct_mapping(node, deep)

    return Loader


def make_plan(stage: str, recipe: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Read a recipe and the keys of the command line.

    Args:
        stage: one of `STAGES`.
        recipe: the file; see `find_recipe`.
        overrides: `["--learning_rate", "5e-5", ...]`; they win over the recipe.

    Raises:
        FileNotFoundError: there is no such recipe.
        ValueError: a key is unknown, missing, or has a value of another kind.
        ImportError: the stage's libraries are not installed.
    """
    home = _stage(stage)
    given = read_recipe(recipe)
    parser = _parser(home)
    known = _hints(home)
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"{recipe}: {_unknown(key, known)}")
        given[key] = _of_its_kind(f"{recipe}: {key}", known[key], value)
    parser.set_defaults_with_config(**given)
    typed = list(map(str, overrides))
    names, rest = parser.parse_known_args(typed)
    if rest:
        word = next((word for word in rest if word.startswith("--")), rest[0])
        if not word.startswith("--"):
            raise ValueError(f"{word!r} belongs to no key: a key is typed as --key value")
        raise ValueError(_unknown(word[2:].partition("=")[0].replace("-", "_"), known, "--"))
    settings = {key: getattr(names, key) for key in known if key in given or key in _typed(typed, known)}
    for key in home.needs:
        if settings.get(key) is None:
            raise ValueError(f"{recipe}: {key} is missing ({_help(home, key)}): add it to the recipe, or type --{key}")
    if "disable_tqdm" not in settings:  # its default follows the verbosity of transformers' log
        parser.set_defaults(disable_tqdm=False)
    if "report_to" not in settings:
        parser.set_defaults(report_to=loggers() or "none")
    run, config = parser.parse_args_into_dataclasses(typed, look_for_args_file=False)
    if run.rows_seed is None:
        run.rows_seed = config.seed
    return Plan(stage, str(recipe), tuple(typed), settings, run, config)


def loggers() -> list[str]:
    """What shows curves while a run goes on, of those that are installed: they write to this machine alone. Others,
    which may send data away, are asked for by `report_to`."""
    from transformers.integrations import is_tensorboard_available, is_trackio_available

    available = {"tensorboard": is_tensorboard_available, "trackio": is_trackio_available}
    return [name for name, is_there in available.items() if is_there()]


def keys_of(stage: str) -> dict[str, tuple[Any, str]]:
    """Every key of a stage's recipes -> its default, and what it means."""
    home = _stage(stage)
    found = {}
    for part in (home.arguments, home.config_class()):
        for entry in fields(part):
            if entry.init:
                default = entry.default_factory() if entry.default_factory is not MISSING else entry.default
                found[entry.name] = (None if default is MISSING else default, _one_line(entry.metadata.get("help")))
    return found


def _stage(name: str) -> Stage:
    if name not in STAGES:
        raise ValueError(f"no stage {name!r}; there are {', '.join(STAGES)}")
    return STAGES[name]


def _parser(home: Stage):
    try:
        from trl import TrlParser
    except ImportError as error:
        raise ImportError(f"training needs trl ({error}): pip install 'med3d-r1[train]'") from error

    class Parser(TrlParser):
        """TRL's, which raises instead of leaving the program, and takes no beginnings of keys for keys."""

        def error(self, message: str):
            raise ValueError(message)

    return Parser((home.arguments, home.config_class()), allow_abbrev=False, add_help=False)


def _hints(home: Stage) -> dict[str, Any]:
    """Key -> its type."""
    hints: dict[str, Any] = {}
    for part in (home.arguments, home.config_class()):
        types = get_type_hints(part)
        hints |= {entry.name: types[entry.name] for entry in fields(part) if entry.init}
    return hints


def _typed(words: Sequence[str], known: Mapping[str, Any]) -> set[str]:
    """The keys that stand in a command line, `--no_key` for a key that is true included."""
    names = {word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    return {name if name in known else name.removeprefix("no_") for name in names}


def _unknown(key: str, known: Mapping[str, Any], dashes: str = "") -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    hint = f"did you mean {dashes}{near[0]}?" if near else "`med3d-r1 train STAGE --keys` lists all of them"
    return f"there is no key {dashes}{key}; {hint}"


def _help(home: Stage, key: str) -> str:
    about = [entry.metadata.get("help") for part in (home.arguments, home.config_class()) for entry in fields(part)
             if entry.name == key]  # fmt: skip
    return _one_line(about[0]).rstrip(".") if about else key


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _of_its_kind(place: str, hint: Any, value: Any) -> Any:
    """A recipe's value as its field wants it. TrlParser takes the values of a file as they come.

    Raises:
        ValueError: it is of another kind.
    """
    kinds = get_args(hint) if get_origin(hint) not in (Literal, list, dict, None) else (hint,)
    for kind in kinds:
        fits, made = _fit(kind, value)
        if fits:
            return made
    raise ValueError(f"{place} is {' or '.join(map(_spoken, kinds))}, not {value!r}")


def _fit(kind: Any, value: Any) -> tuple[bool, Any]:
    """(whether a value is of a kind, the value in that kind)."""
    if kind is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return True, float(value)  # YAML 1.1 takes 1e-4 for text, because it has no point
        except ValueError:
            return False, None
    if kind in (int, float):
        return isinstance(value, kind) and not isinstance(value, bool), value
    if kind in (str, bool, type(None)):
        return isinstance(value, kind), value
    if kind is dict or get_origin(kind) is dict:
        return isinstance(value, dict), value
    if get_origin(kind) is Literal:
        return value in get_args(kind), value
    if get_origin(kind) is list:
        inner = [_fit(get_args(kind)[0], one) for one in value] if isinstance(value, list) else [(False, None)]
        return all(fits for fits, _ in inner), [made for _, made in inner]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return value in {member.value for member in kind}, value
    return True, value


def _spoken(kind: Any) -> str:
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a mapping"}
    if kind is type(None):
        return "null"
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is list:
        return f"a list ({_spoken(get_args(kind)[0])} each)"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(str(member.value) for member in kind)
    return names.get(get_origin(kind) or kind, str(kind))


__all__ = ["Plan", "find_recipe", "keys_of", "loggers", "make_plan", "read_recipe"]
