"""Generate the pages that follow from the code: environments, registered pieces, API reference.

mkdocs calls `on_files` at build time (`hooks:` in mkdocs.yml). Nothing is listed by hand: a new registered environment,
strategy, learner, reward, suite or policy has its page as soon as its file exists. `pages()` needs no mkdocs.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

import al_gym
from al_gym.envs.engine import Settings
from al_gym.errors import MissingExtraError
from al_gym.registry import Registry

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
ENTRY_SECTIONS = {"Args", "Arguments", "Attributes", "Parameters", "Raises"}
SECTION = re.compile(r"^([A-Z][A-Za-z ]*):$")
MATH = re.compile(
    r'<(?:span|div) class="arithmatex">\s*(?:\\\((?P<inline>.*?)\\\)|\\\[(?P<block>.*?)\\\])\s*</(?:span|div)>',
    re.DOTALL,
)
ENTRY = re.compile(r"^(\*{0,2}[A-Za-z_][\w.]*)(?: \((.*?)\))?: (.*)$")


def pages() -> dict[str, str]:
    """Path below the docs folder -> Markdown text, for every generated page."""
    return {**environment_pages(), **registry_pages(), **api_pages()}


def navigation(paths: list[str]) -> dict[str, list[str]]:
    """Folder -> its pages in the order of the side bar, the index first."""
    folders: dict[str, list[str]] = {}
    for path in sorted(paths, key=lambda path: (not path.endswith("index.md"), path)):
        folders.setdefault(path.split("/")[0], []).append(path)
    return folders


# --- environments ------------------------------------------------------------------------------------------------


def environment_specs() -> list[EnvSpec]:
    """The registered environments of the namespace al_gym, sorted by id."""
    return sorted(
        (spec for spec in gymnasium.registry.values() if spec.namespace == "al_gym"), key=lambda spec: spec.id
    )


def environment_pages() -> dict[str, str]:
    """One page an environment id: the docstring of its class, then the arguments as `gym.make` takes them."""
    result, rows = {}, []
    for spec in environment_specs():
        entry = spec.entry_point
        creator = load_env_creator(entry) if isinstance(entry, str) else entry
        if creator is None:
            raise ValueError(f"{spec.id} has no entry point, so there is nothing to document.")
        slug = spec.id.split("/")[1].lower()
        result[f"environments/{slug}.md"] = environment_page(spec, creator)
        rows.append((f"[`{spec.id}`]({slug}.md)", first_line(creator)))
    result["environments/index.md"] = "# Environments\n\n" + table(("id", "one episode"), rows)
    return result


def environment_page(spec: EnvSpec, creator: Callable[..., Any]) -> str:
    """The page of one environment."""
    fixed = ", ".join(f"`{key}={value!r}`" for key, value in (spec.kwargs or {}).items())
    parts = [
        f"# {spec.id}",
        markdown(inspect.getdoc(creator) or "", level=2),
        "## Keyword arguments",
        call(spec, creator),
        entries(section(inspect.getdoc(Settings) or "", "Attributes")),
        f'The native vector form is `gym.make_vec("{spec.id}", num_envs=64, ...)`.',
    ]
    if fixed:
        parts.append(f"Set by the registration: {fixed}.")
    return "\n\n".join(parts) + "\n"


# --- registries --------------------------------------------------------------------------------------------------


def modules() -> Iterator[ModuleType]:
    """Every module of al_gym; one whose optional library is not installed is left out."""
    yield al_gym
    for info in pkgutil.walk_packages(al_gym.__path__, "al_gym.", onerror=reraise):
        if info.name.split(".")[-1] == "__main__":
            continue
        try:
            yield importlib.import_module(info.name)
        except MissingExtraError:
            continue


def reraise(name: str) -> None:
    """walk_packages hides import errors; a page that silently lacks a package is worse than a failed build."""
    importlib.import_module(name)


def registries() -> dict[str, Registry[Any]]:
    """Folder of the pages ("strategies") -> registry, for every registry in the library."""
    found = (value for module in modules() for value in list(vars(module).values()) if isinstance(value, Registry))
    return {plural(registry.kind): registry for registry in found}


def plural(kind: str) -> str:
    """The folder for a kind of piece."""
    word = kind.replace(" ", "-")
    return word[:-1] + "ies" if word.endswith("y") else word + "s"


def registry_pages() -> dict[str, str]:
    """One page a registered piece and an index for each registry."""
    result = {}
    for folder, registry in sorted(registries().items()):
        rows = [(f"[`{name}`]({name}.md)", line) for name, line in registry.describe().items()]
        title = folder.replace("-", " ").capitalize()
        result[f"{folder}/index.md"] = f"# {title}\n\n" + table(("name", "what it is"), rows)
        for name in registry.names():
            factory = registry.get(name)
            body = markdown(inspect.getdoc(factory) or "", level=2)
            source = f"Defined in `{factory.__module__}`."
            result[f"{folder}/{name}.md"] = "\n\n".join([f"# {name}", body, parameters(name, factory), source]) + "\n"
    return result


def parameters(name: str, factory: Callable[..., Any]) -> str:
    """How the piece is written as text, with its parameters and their defaults."""
    shown = {key: p.default for key, p in inspect.signature(factory).parameters.items() if p.default is not p.empty}
    if not shown:
        return f"Use it by name: `{name}`."
    spec = ",".join(f"{key}={value}" for key, value in shown.items() if isinstance(value, bool | int | float | str))
    return f"Use it by name: `{name}`" + (f", or with parameters (defaults shown): `{name}:{spec}`." if spec else ".")


# --- API reference -----------------------------------------------------------------------------------------------


def api_pages() -> dict[str, str]:
    """One page for each package below al_gym, and one for its top-level modules; mkdocstrings fills them."""
    groups: dict[str, list[str]] = {}
    for module in modules():
        name = module.__name__
        if any(part.startswith("_") for part in name.split(".")):
            continue
        package = name if hasattr(module, "__path__") else name.rpartition(".")[0]
        groups.setdefault(".".join(package.split(".")[:2]), []).append(name)
    rows = [(f"[`{group}`]({group}.md)", first_line(importlib.import_module(group))) for group in sorted(groups)]
    result = {"api/index.md": "# API reference\n\n" + table(("package", "what lives there"), rows)}
    for group, names in groups.items():
        result[f"api/{group}.md"] = f"# {group}\n\n" + "\n\n".join(f"::: {name}" for name in sorted(names)) + "\n"
    return result


# --- docstrings to Markdown --------------------------------------------------------------------------------------


def markdown(docstring: str, level: int) -> str:
    """A Google docstring as Markdown: sections become headings of `level`, entries lists, doctests code blocks."""
    lines, result, index = docstring.split("\n"), [], 0
    while index < len(lines):
        line = lines[index]
        match = SECTION.match(line)
        if match and index + 1 < len(lines) and lines[index + 1].startswith(" "):
            end = index + 1
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" ")):
                end += 1
            body = inspect.cleandoc("\n".join(["", *lines[index + 1 : end]]))
            result += [
                "",
                f"{'#' * level} {match[1]}",
                "",
                entries(body) if match[1] in ENTRY_SECTIONS else body,
                "",
            ]
            index = end
        else:
            heading = re.match(r"^(#+) ", line)
            result.append("#" * max(0, level - len(heading[1])) + line if heading else line)
            index += 1
    return re.sub(r"\n{3,}", "\n\n", fence("\n".join(result))).strip()


def section(docstring: str, title: str) -> str:
    """The body of one section of a Google docstring, dedented."""
    match = re.search(rf"^{title}:\n((?:[ ].*\n?|\n)+)", docstring, re.MULTILINE)
    if match is None:
        raise ValueError(f"The docstring has no section {title!r}: {docstring[:60]!r}")
    return inspect.cleandoc("\n" + match[1])


def entries(body: str) -> str:
    """The entries `name (type): text` of a section as a list, continuation lines joined."""
    items: list[str] = []
    for line in body.split("\n"):
        match = ENTRY.match(line)
        if match:
            kind = f" ({match[2]})" if match[2] else ""
            items.append(f"- `{match[1]}`{kind}: {match[3]}")
        elif items and line.strip():
            items[-1] += " " + line.strip()
        elif line.strip():
            items.append(f"- {line.strip()}")
    return "\n".join(items)


def fence(text: str) -> str:
    """Put doctest blocks into code fences; a block that already stands in one stays as it is."""
    result: list[str] = []
    fenced = doctest = False
    for line in text.split("\n"):
        fenced ^= line.startswith("```")
        if not fenced and not doctest and line.startswith(">>> "):
            result.append("```pycon")
            doctest = True
        elif doctest and not line.strip():
            result.append("```")
            doctest = False
        result.append(line)
    return "\n".join([*result, "```"] if doctest else result)


def call(spec: EnvSpec, creator: Callable[..., Any]) -> str:
    """`gym.make` with every keyword argument and its default, as a code block."""
    own = {key: p.default for key, p in inspect.signature(creator).parameters.items() if p.kind is not p.VAR_KEYWORD}
    defaults = {**vars(Settings()), **getattr(creator, "defaults", {}), **own, **spec.kwargs}
    return "\n".join(
        ["```text", f'gym.make("{spec.id}",', *(f"    {k}={v!r}," for k, v in defaults.items()), ")", "```"]
    )


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    cells = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells) + "\n"


def first_line(thing: object) -> str:
    """First line of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n")[0]


# --- mkdocs ------------------------------------------------------------------------------------------------------


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site and hang them into the side bar."""
    from mkdocs.structure.files import File

    home = (ROOT / "README.md").read_text()
    generated = {
        "index.md": re.sub(r"(?<!!)\[([^\]]*)\]\((?!docs/)[^)]*\)", r"\1", home).replace("](docs/", "](")
    } | pages()
    for path, text in generated.items():
        files.append(File.generated(config, path, content=text))
    del generated["index.md"]
    hang(config.nav, navigation(list(generated)))
    return files


def hang(nav: list[Any], folders: dict[str, list[str]]) -> None:
    """Replace each `FOLDER/` of the navigation by that folder's pages; folders without a place follow at the end."""
    left = dict(folders)
    for section in walk(nav):
        for title, target in section.items():
            if isinstance(target, str) and target.endswith("/"):
                section[title] = left.pop(target[:-1], [])
    nav += [{folder.replace("-", " ").capitalize(): paths} for folder, paths in left.items()]


def walk(nav: list[Any]) -> Iterator[dict[str, Any]]:
    """Every titled entry of a navigation tree."""
    for entry in nav:
        if isinstance(entry, dict):
            yield entry
            for target in list(entry.values()):
                if isinstance(target, list):
                    yield from walk(target)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the formulas that arithmatex marked into MathML, so that no page loads a script from elsewhere."""
    return MATH.sub(mathml, html)


def mathml(match: re.Match[str]) -> str:
    """One formula as MathML."""
    from latex2mathml.converter import convert

    formula = unescape(match["inline"] or match["block"])
    if "$" in formula:
        raise ValueError(f"Two formulas run together; put a blank line between them: {formula!r}.")
    result = convert(formula.replace(r"\arg", r"\operatorname{arg}"), display="inline" if match["inline"] else "block")
    if "\\" in result:
        raise ValueError(f"The formula {formula!r} has a command that latex2mathml does not know.")
    return result
