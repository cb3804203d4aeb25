"""The pages tell of the options that there are, and of all commands."""

import re
from importlib import import_module
from pathlib import Path

import click
import pytest

from geoseg_cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_OTHERS = {"--editable", "--index-url", "--extra-index-url", "--compile"}
"""Of pip, and of the scripts in tests/benchmarks."""


def with_subcommands(command):
    """A command, and all that stand below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return [command, *(each for sub in below for each in with_subcommands(sub))]


def all_options():
    found = {"--help", "--version"}
    for module, _ in COMMANDS.values():
        for command in with_subcommands(import_module(module).command):
            found.update(text for param in command.params for text in param.opts)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_help_of_the_list(name):
    module, text = COMMANDS[name]
    command = import_module(module).command
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help.splitlines()[0].rstrip(".").startswith(text.rstrip(".").split(",")[0][:20])
    for each in with_subcommands(command):
        assert each.help
        assert all(param.help for param in each.params if isinstance(param, click.Option))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_on_the_pages_exist(page):
    text = page.read_text(encoding="utf-8")
    commands = re.findall(r"(?:geoseg [^\n`]*|`-[^`\n]*`)", text)
    told = {word for line in commands for word in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)}
    assert told - all_options() - OF_OTHERS == set()


def commands_of(text):
    """Each `geoseg` command within blocks of code, its continued lines joined."""
    blocks = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in [block for language, block in blocks if language in ("", "bash", "sh")]:
        joined = block.replace("\\\n", " ")
        yield from re.findall(r"^(?:srun .*?)?geoseg ([^\n#]+)", joined, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_belong_to_their_command(page):
    assert page.name[:6] != "recipe" or len(list(commands_of(page.read_text("utf-8")))) > 6
    for line in commands_of(page.read_text(encoding="utf-8")):
        for call in line.split("&& geoseg "):
            name, *words = call.split()
            if name not in COMMANDS:  # geoseg COMMAND ...
                continue
            command = import_module(COMMANDS[name][0]).command
            known = {o for each in with_subcommands(command) for p in each.params for o in p.opts}
            given = {word for word in words if re.fullmatch(r"-[a-z]|--[a-z][a-z-]+", word)}
            assert given - known - {"--help"} == set(), call


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def test_options_that_errors_name_exist():
    told = set()
    for file in (ROOT / "geoseg").rglob("*.py"):
        quoted = re.findall(r'"[^"\n]*--[a-z][^"\n]*"', file.read_text(encoding="utf-8"))
        told.update(  # not var(--name), a value of a style sheet
            w for text in quoted for w in re.findall(r"(?<![\w(-])--[a-z][a-z-]*[a-z]", text)
        )
    assert told - all_options() == set()
