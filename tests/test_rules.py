"""The style card's maxima, held over the code. Every offender is named at once."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from app import errors

ROOT = Path(__file__).parent.parent
APP = tuple(sorted((ROOT / "app").rglob("*.py")))
TESTS = tuple(sorted((ROOT / "tests").rglob("*.py")))

FUNCTION_LINES = 40
COMPLEXITY = 10
NESTING = 3
PARAMETERS = 5
FILE_LINES = 400
DIRECTORY_FILES = 20
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"}

# Where anything may come up and one bad job or request must not end the service: file, function -> why.
BROAD_EXCEPTS: dict[tuple[str, str], str] = {
    ("app/jobs/runner.py", "*"): "a job that breaks in an unforeseen way is recorded as failed; the runner goes on",
    (
        "app/jobs/queue/pgqueuer.py",
        "_run_worker",
    ): "the queue begins anew, for a replica without one would look alive",
    (
        "app/jobs/watch/watcher.py",
        "process",
    ): "one file that breaks in an unforeseen way does not stop the folder's others",
    ("app/api/problems.py", "*"): "a client gets a problem document, never a traceback",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.Match)


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function without those of the functions and classes inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def lines(function: Function) -> int:
    """Lines from `def` to the end; the docstring is not counted, so that nobody saves on it."""
    first = function.body[0]
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and type(first.value.value) is str
    told = (first.end_lineno or first.lineno) - first.lineno + 1 if docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - told


def complexity(function: Function) -> int:
    """McCabe's number over statements, as the linter counts it; here no `noqa` gets round it."""
    return 1 + sum(isinstance(node, BRANCHES) for node in own_nodes(function))


def nesting(function: Function) -> int:
    return max((depth_of(statement, 0) for statement in function.body), default=0)


def depth_of(node: ast.AST, depth: int) -> int:
    if isinstance(node, Function | ast.ClassDef | ast.Lambda):
        return depth
    inner = depth + isinstance(node, BLOCKS)
    deepest = inner
    for name, value in ast.iter_fields(node):
        # `elif` is written as an `if` in `orelse`; a reader sees it on the level of the first
        chained = isinstance(node, ast.If) and name == "orelse" and len(value) == 1 and isinstance(value[0], ast.If)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                deepest = max(deepest, depth_of(child, depth if chained else inner))
    return deepest


def parameters(function: Function) -> int:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len([item for item in every if item.arg not in {"self", "cls"}])


@cache
def app_functions() -> tuple[tuple[Path, Function], ...]:
    return tuple((file, function) for file in APP for function in functions(tree_of(file)))


def offenders(measure: Callable[[Function], int], limit: int) -> list[str]:
    return [
        f"{name_of(file)}:{function.lineno} {function.name}: {measured} (limit {limit})"
        for file, function in app_functions()
        if (measured := measure(function)) > limit
    ]


def told(found: Iterable[str]) -> str:
    return "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("measure", "limit"),
    [(lines, FUNCTION_LINES), (complexity, COMPLEXITY), (nesting, NESTING), (parameters, PARAMETERS)],
)
def test_no_function_is_larger_than_the_style_card_allows(measure: Callable[[Function], int], limit: int) -> None:
    found = offenders(measure, limit)
    assert not found, told(found)


def test_no_file_is_longer_than_the_style_card_allows() -> None:
    counts = ((name_of(file), len(file.read_text(encoding="utf-8").splitlines())) for file in APP)
    found = [
        f"{name}: {count} lines (limit {FILE_LINES}: split by noun)" for name, count in counts if count > FILE_LINES
    ]
    assert not found, told(found)


def test_no_module_has_a_name_that_says_nothing() -> None:
    found = [name_of(file) for file in (*APP, *TESTS) if EMPTY_NAMES & {file.stem.strip("_"), file.parent.name}]
    assert not found, told(found)


def test_nothing_is_left_to_be_done_later() -> None:
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK|NotImplemented" r"Error)\b")
    found = [
        f"{name_of(file)}:{number} {line.strip()}"
        for file in (*APP, *TESTS)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if marks.search(line)
    ]
    assert not found, told(found)


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Cleaning up and raising the same again swallows nothing."""
    last = handler.body[-1]
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    broad = any(item is None or ast.unparse(item) in {"Exception", "BaseException"} for item in caught)
    return broad and not (isinstance(last, ast.Raise) and last.exc is None)


def broad_excepts(file: Path) -> Iterator[tuple[str, int]]:
    """The innermost function of every broad `except` ("" at module level) and its line."""
    where: dict[ast.AST, str] = {}
    for node in ast.walk(tree_of(file)):  # outer nodes come first, so an inner function overwrites its outer one
        for child in ast.iter_child_nodes(node):
            where[child] = node.name if isinstance(node, Function) else where.get(node, "")
        if isinstance(node, ast.ExceptHandler) and is_broad(node):
            yield where.get(node, ""), node.lineno


def test_everything_is_caught_only_where_a_reason_is_given() -> None:
    found = [
        f"{name_of(file)}:{line} in {function or 'the module'}: name what is caught, or add it with its reason here"
        for file in APP
        for function, line in broad_excepts(file)
        if not {(name_of(file), function), (name_of(file), "*")} & BROAD_EXCEPTS.keys()
    ]
    assert not found, told(found)


def settings_of_classes(file: Path) -> Iterator[str]:
    """Yield the assignments to an attribute of a class, and the `global` statements."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Global):
            yield f"{name_of(file)}:{node.lineno} global {', '.join(node.names)}"
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store):
            continue
        if isinstance(node.value, ast.Name) and (node.value.id[0].isupper() or node.value.id == "cls"):
            yield f"{name_of(file)}:{node.lineno} {node.value.id}.{node.attr}"


def test_nothing_that_outlives_a_service_is_set_while_it_runs() -> None:
    """Two services in one process would share it, and a test would leave it behind for those after it."""
    found = tuple(setting for file in (*APP, *TESTS) for setting in settings_of_classes(file))
    assert not found, told(found)


def leaves(error: type[errors.TarmacError]) -> Iterator[type[errors.TarmacError]]:
    below = error.__subclasses__()
    if not below:
        yield error
    for item in below:
        yield from leaves(item)


def test_every_error_has_a_code_title_and_origin_of_its_own() -> None:
    every = [leaf for leaf in leaves(errors.TarmacError) if leaf.__module__ == errors.__name__]
    seen: dict[str, str] = {}
    found = [
        f"{item.__name__}: code {item.code!r} stands in {seen[item.code]} too"
        for item in every
        if seen.setdefault(item.code, item.__name__) != item.__name__
    ]
    found += [f"{item.__name__}: no code of its own" for item in every if "code" not in vars(item)]
    found += [
        f"{item.__name__}: code {item.code!r} is not words joined by _"
        for item in every
        if not re.fullmatch(r"[a-z]+(_[a-z]+)*", item.code)
    ]
    found += [f"{item.__name__}: no title or origin" for item in every if not (item.title and item.origin)]
    assert len(every) > 30
    assert not found, told(found)


def test_the_errors_docstring_draws_the_whole_tree() -> None:
    drawn = errors.__doc__ or ""
    missing = [
        leaf.__name__
        for leaf in leaves(errors.TarmacError)
        if leaf.__module__ == errors.__name__ and leaf.__name__ not in drawn
    ]
    assert not missing, told(missing)


def test_no_test_sleeps() -> None:
    """`asyncio.sleep(0)` gives way to other tasks and is no wait."""
    found = [
        f"{name_of(file)}:{node.lineno} {ast.unparse(node)}"
        for file in TESTS
        if "sleep(" in file.read_text(encoding="utf-8")
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"time.sleep", "sleep", "asyncio.sleep", "anyio.sleep"}
        and [ast.unparse(argument) for argument in node.args] != ["0"]
    ]
    assert not found, told(found)


def test_the_linter_holds_the_same_limits() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert {"C90", "PL", "BLE"} <= set(ruff["select"])
    assert ruff["mccabe"]["max-complexity"] == COMPLEXITY
    assert ruff["pylint"]["max-args"] == PARAMETERS


def test_the_library_runs_without_the_web_framework_and_the_database() -> None:
    script = (
        "import sys, app.push; print(*sorted({'fastapi', 'starlette', 'sqlalchemy', 'aiosqlite'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT, timeout=50
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_every_package_docstring_lists_every_module_of_the_package() -> None:
    missing = []
    for package in (file for file in APP if file.name == "__init__.py" and "versions" not in file.parts):
        docstring = ast.get_docstring(tree_of(package)) or ""
        modules = [file.stem for file in package.parent.glob("*.py") if file.stem != "__init__"]
        packages = [folder.parent.name for folder in package.parent.glob("*/__init__.py")]
        missing += [
            f"{name_of(package)}: {name}"
            for name in (*modules, *packages)
            if not re.search(rf"^ *\b{name}\b", docstring, re.MULTILINE) and not re.search(rf"\b{name}\b", docstring)
        ]
    assert not missing


def test_no_directory_holds_more_files_than_the_style_card_allows() -> None:
    counts = Counter(file.parent for file in APP)
    assert not {name_of(folder): count for folder, count in counts.items() if count > DIRECTORY_FILES}
