"""The command line: names, options and help. Each command imports its work when it is called, and no sooner."""

from __future__ import annotations

from typing import Annotated

import typer

from . import __version__

app = typer.Typer(
    name="issue-orch",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn ready GitHub issues into pull requests by coding agents. It never merges: you do.\n\n"
    "Start with: issue-orch demo   then, in your clone: issue-orch init",
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_text())
        raise typer.Exit


def version_text() -> str:
    """Asked side by side: some agents take a second to say it."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        lines = pool.map(version_line, ("git", "claude", "codex", "opencode", "gemini"))
    return "\n".join([f"issue-orch {__version__}", *filter(None, lines)])


def version_line(program: str) -> str:
    from .errors import Expected
    from .process.run import run
    from .text import one_line

    try:
        done = run(program, "--version", timeout=10, check=False)
    except Expected:
        return ""
    words = (done.stdout or done.stderr).strip().splitlines()
    return f"{program}: {one_line(words[0], 100)}" if words else ""


def known_issues(incomplete: str) -> list[tuple[str, str]]:
    """Shell completion: the numbers of the sessions with their titles.

    A stranger wrote the titles, and zsh evaluates what we print: nothing that a shell would act on is left in them.
    """
    import os
    import re

    from .errors import Expected
    from .store.files import load_sessions
    from .store.look import find_state

    try:
        sessions, _ = load_sessions(find_state(os.getcwd()))
    except Expected:
        return []
    rows = [
        (str(each["issueNumber"]), re.sub(r"[^\w .,/+-]+", " ", each["issueTitle"])[:60])
        for each in sessions
    ]
    return [row for row in rows if row[0].startswith(incomplete)]


Number = Annotated[
    int, typer.Argument(metavar="ISSUE", help="Number of the issue.", autocompletion=known_issues)
]
Numbers = Annotated[
    list[int] | None,
    typer.Argument(metavar="ISSUE", help="Numbers of issues.", autocompletion=known_issues),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
All = Annotated[bool, typer.Option("--all", help="Every session.")]


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=show_version,
            is_eager=True,
            help="Print the versions of issue-orch, git and the agents.",
        ),
    ] = False,
) -> None:
    pass


@app.command()
def init(
    yes: Yes = False,
    repo: Annotated[
        str | None, typer.Option(help="owner/name, when the remote does not say it.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option(help="claude, codex, opencode, gemini or command.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="API root of another GitHub server.")] = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Only approve what needs it, as it is checked out.")
    ] = False,
    workflows: Annotated[
        bool, typer.Option("--workflows", help="Also write the cleanup workflow.")
    ] = False,
    templates: Annotated[
        bool, typer.Option("--templates", help="Also copy the prompt templates for editing.")
    ] = False,
    labels: Annotated[
        bool, typer.Option("--labels", help="Also create the labels on GitHub.")
    ] = False,
) -> int:
    """Set up this clone, and write .issue-orch.toml.

    Finds repository, base and agent, and asks what it cannot find. It can be run again at any time: what stands
    in the file is kept.

    \b
    Examples:
      issue-orch init
      issue-orch init --yes --agent claude --labels
      issue-orch init --approve
    """
    from .commands.init import init as command

    return command(yes, repo, agent, base_url, approve, workflows, templates, labels)


@app.command()
def demo(
    yes: Yes = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the sandbox folder, and say where it is.")
    ] = False,
) -> int:
    """Show the whole idea on a GitHub that lives inside the demo.

    It needs no account, no token, no agent and no network, takes under a minute and leaves nothing behind. In a
    terminal you answer the worker's question; with --yes it answers for you.

    \b
    Examples:
      issue-orch demo
      issue-orch demo --yes
    """
    from .sandbox.demo import demo as command

    return command(yes, keep)


@app.command()
def plan(
    issues: Numbers = None,
    as_json: Json = False,
    stack: Annotated[
        bool, typer.Option("--stack", help="Allow issues to start on their blocker's branch.")
    ] = False,
) -> int:
    """Show which issues are ready, and why the others are not.

    Each issue that is held back is listed with every reason; overlaps are listed with the files. Nothing is
    changed, here or on GitHub.

    \b
    Examples:
      issue-orch plan
      issue-orch plan 123 124
      issue-orch plan --json | jq '.eligible[].number'
    """
    from .commands.plan import plan as command

    return command(issues or [], as_json, stack)


@app.command()
def spawn(
    issues: Numbers = None,
    yes: Yes = False,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Work on the branch although it exists already.")
    ] = False,
    agent: Annotated[
        str | None, typer.Option(help="Use this agent instead of the configured one.")
    ] = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="Allow issues to start on their blocker's branch.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Start a worker for each issue, in a worktree of its own.

    Without numbers it shows the plan, asks, and starts as many as there are free slots. It returns as soon as the
    agents run; they go on without it. Naming an issue is an approval of its text.

    \b
    Examples:
      issue-orch spawn
      issue-orch spawn 123 124
      issue-orch spawn --yes
    """
    from .commands.spawn import spawn as command

    return command(issues or [], yes, reuse, agent, stack, as_json)


@app.command()
def status(
    as_json: Json = False,
    needs_me: Annotated[
        bool, typer.Option("--needs-me", help="Only what needs you; exit code 1 when nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh every two seconds, until Ctrl-C.")
    ] = False,
    fetch: Annotated[
        bool, typer.Option("--fetch", "-f", help="First look at the pulls on GitHub.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also what asking GitHub has cost.")
    ] = False,
) -> int:
    """List the sessions, those that need you first. Reads local files alone, unless told to --fetch.

    Up to nine sessions are listed with their details; from ten on it is a table with as many columns
    as fit (COLUMNS=160 widens it). [!] and warm colours want you, [*] and cool ones wait.

    \b
    Examples:
      issue-orch status
      issue-orch status --json | jq '.sessions[] | {id, headline}'
      issue-orch status --needs-me >/dev/null && echo 'an agent needs you'
    """
    from .commands.status import status as command

    return command(as_json, needs_me, watch, fetch, verbose)


@app.command()
def watch() -> int:
    """All sessions on one screen, kept current; answer from there.

    List, question, live log and diff of the worktree; keys to answer, pause, resume, stop, filter, and to open the
    pull in the browser.

    Reads local files alone, reacts within a second, works at 80x24, over ssh and without colour. ? lists the keys.

    \b
    Examples:
      issue-orch watch
      NO_COLOR=1 issue-orch watch
    """
    from .commands.tui.watch import watch as command

    return command()


@app.command()
def show(issue: Number, as_json: Json = False) -> int:
    """Everything about one session, and what to type next.

    Question with its options, plan, guidance with receipts, pull, changes, cost, and how long each phase took.

    \b
    Examples:
      issue-orch show 124
      issue-orch show 124 --json
    """
    from .commands.show import show as command

    return command(issue, as_json)


@app.command()
def answer(
    issue: Annotated[
        int | None,
        typer.Argument(metavar="ISSUE", help="Number of the issue.", autocompletion=known_issues),
    ] = None,
    text: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="The answer.")] = None,
    option: Annotated[
        int | None, typer.Option("--option", "-o", help="Choose an option by its number.")
    ] = None,
) -> int:
    """Answer a stuck worker.

    Without arguments it goes through the open questions one by one. The worker goes on at once, in the same
    conversation; the first answer to a question counts, later ones become guidance.

    \b
    Examples:
      issue-orch answer
      issue-orch answer 124 "Use sliding expiration"
      issue-orch answer 124 --option 1
    """
    from .commands.answer import answer as command

    return command(issue, " ".join(text or []), option)


@app.command()
def tell(
    issue: Number,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="The guidance.")],
    now: Annotated[bool, typer.Option("--now", help="Interrupt the worker's turn for it.")] = False,
) -> int:
    """Give guidance to a worker, at its next turn or now.

    \b
    Examples:
      issue-orch tell 123 "Keep the public API as it is"
      issue-orch tell 123 --now "Stop: do not touch the migrations"
    """
    from .commands.tell import tell as command

    return command(issue, " ".join(text), now)


@app.command()
def logs(
    issue: Number,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the worker ends.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The agent's output as it came.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", help="How many lines at the most; 0 for all.")
    ] = 200,
) -> int:
    """What the agent said and did, and how long its tools took.

    Tokens and terminal escapes are taken out; --raw in a pipe gives the bytes as they came.

    \b
    Examples:
      issue-orch logs 123
      issue-orch logs 123 -f
      issue-orch logs 123 --raw -n 0 | jq .
    """
    from .commands.logs import logs as command

    return command(issue, follow, raw, lines)


@app.command()
def attach(
    issue: Number,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for the worker's turn to end.")
    ] = False,
) -> int:
    """Take a session over by hand, in the agent's own program.

    It runs in the session's worktree, with its conversation; when it ends, the session is given back.

    \b
    Examples:
      issue-orch attach 123
      issue-orch attach 123 --now
    """
    from .commands.attach import attach as command

    return command(issue, now)


@app.command()
def pause(issues: Numbers = None, all_: All = False) -> int:
    """Let the current turn end, then hold.

    \b
    Examples:
      issue-orch pause 123
      issue-orch pause --all
    """
    from .commands.pause import pause as command

    return command(issues or [], all_)


@app.command()
def resume(issues: Numbers = None, all_: All = False) -> int:
    """Go on after a pause, a stop, a crash or a used-up budget.

    Also publishes again what could not be published, and gives a fresh set of attempts.

    \b
    Examples:
      issue-orch resume 123
      issue-orch resume --all
    """
    from .commands.resume import resume as command

    return command(issues or [], all_)


@app.command()
def stop(issues: Numbers = None, all_: All = False) -> int:
    """End the worker and everything that it started. The session and its work stay.

    \b
    Examples:
      issue-orch stop 123
      issue-orch stop --all
    """
    from .commands.stop import stop as command

    return command(issues or [], all_)


@app.command()
def cancel(issues: Numbers = None, all_: All = False) -> int:
    """Stop, and give the session up. The worktree stays until `prune --cancelled`, the branch also then.

    \b
    Examples:
      issue-orch cancel 123
    """
    from .commands.cancel import cancel as command

    return command(issues or [], all_)


@app.command("run")
def run_command(
    once: Annotated[bool, typer.Option("--once", help="One pass, for cron.")] = False,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when only you have something to do.")
    ] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two passes.")] = 30.0,
    max_workers: Annotated[
        int | None, typer.Option(min=1, help="Instead of the configured number.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say why each issue is started or not.")
    ] = False,
    serialize: Annotated[
        bool, typer.Option("--serialize-overlaps", help="Hold what overlaps.")
    ] = False,
    stack: Annotated[
        bool, typer.Option("--stack", help="Allow issues to start on their blocker's branch.")
    ] = False,
) -> int:
    """Start what is ready and follow it up, until Ctrl-C.

    The workers go on without it.

    \b
    Examples:
      issue-orch run
      issue-orch run --max-workers 4 -v
      issue-orch run --once
    """
    from .commands.run import run as command

    return command(once, until_idle, interval, max_workers, verbose, serialize, stack)


@app.command()
def costs(as_json: Json = False) -> int:
    """What was spent, by issue, agent and day.

    And how far the budget is used.

    \b
    Examples:
      issue-orch costs
      issue-orch costs --json | jq .total.usd
    """
    from .commands.costs import costs as command

    return command(as_json)


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is safe to mend.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --fix: only say what would be done.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Check everything that issue-orch needs, and say how to mend it.

    Git, sessions, processes, the token, branch protection, agents, disk and templates.

    \b
    Examples:
      issue-orch doctor
      issue-orch doctor --fix --dry-run
      issue-orch doctor --json | jq '.checks[] | select(.state != "ok")'
    """
    from .commands.doctor import doctor as command

    return command(fix, dry_run, as_json)


@app.command()
def prune(
    issues: Numbers = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed.")] = False,
    pull: Annotated[int | None, typer.Option("--pr", help="Only the session of this pull.")] = None,
    closed: Annotated[
        bool, typer.Option("--closed", help="Also where the pull was closed unmerged.")
    ] = False,
    cancelled: Annotated[
        bool, typer.Option("--cancelled", help="Also cancelled sessions.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Remove the worktrees of merged pulls.

    Whatever is not safe on the remote is kept, and the reason is said. Remote branches are never removed.

    \b
    Examples:
      issue-orch prune
      issue-orch prune --dry-run
      issue-orch prune --cancelled
    """
    from .commands.prune import prune as command

    return command(issues or [], dry_run, pull, closed, cancelled, as_json)


@app.command()
def conflicts(as_json: Json = False) -> int:
    """Which branches would conflict, and which pull to review first.

    Each branch is tried against its base, and each pair against each other; nothing is merged.

    \b
    Examples:
      issue-orch conflicts
      issue-orch conflicts --json | jq '.sessions[].number'
    """
    from .commands.conflicts import conflicts as command

    return command(as_json)


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def merge() -> int:
    """Refused: issue-orch never merges.

    \b
    Examples:
      issue-orch conflicts
    """
    from .errors import Expected

    raise Expected(
        "issue-orch never merges; a person does, on GitHub",
        "issue-orch conflicts, then review the pulls in that order",
    )


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def report(context: typer.Context) -> int:
    """For workers: planning, working, stuck or complete.

    \b
    Examples:
      issue-orch report planning --plan plan.md --touches src/auth.py
      issue-orch report stuck --decision "Which?" --option A --option B
      issue-orch report complete --title "Add export button"
    """
    from .report import main

    return main(context.args)
