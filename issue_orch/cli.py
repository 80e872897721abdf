"""The command line: names, options and help. Each command imports its work when it is called, and no sooner."""

from __future__ import annotations

from typing import Annotated

import typer

from .declare import (
    ALL,
    ANY_WORDS,
    JSON,
    YES,
    Here,
    MaybeNumber,
    Number,
    Numbers,
    command,
    flag,
    option,
)
from .declare import app as app


@command(people=True)
def init(
    yes: bool = YES,
    repo: str | None = option("owner/name, when the remote does not say it."),
    agent: str | None = option("claude, codex, opencode, gemini or command."),
    base_url: str | None = option("API root of another GitHub server."),
    approve: bool = flag("Only approve what needs it, as it is checked out.", "--approve"),
    workflows: bool = flag("Also write the cleanup workflow.", "--workflows"),
    templates: bool = flag("Also copy the prompt templates for editing.", "--templates"),
    labels: bool = flag("Also create the labels on GitHub.", "--labels"),
) -> None:
    """Set up this clone, and write .issue-orch.toml.

    Finds repository, base and agent, and asks what it cannot find. It can be run again at any time: what stands
    in the file is kept.

    \b
    Examples:
      issue-orch init
      issue-orch init --yes --agent claude --labels
      issue-orch init --approve
    """


@command("sandbox.demo")
def demo(
    yes: bool = YES,
    keep: bool = flag("Leave the sandbox running, and say how it is ended.", "--keep"),
) -> None:
    """Show the whole idea on a GitHub that lives inside the demo.

    It needs no account, no token, no agent and no network, takes under a minute and leaves nothing behind. In a
    terminal you answer the worker's question; with --yes it answers for you. With --keep the sandbox goes on, to
    look around in.

    \b
    Examples:
      issue-orch demo
      issue-orch demo --keep
      issue-orch demo --yes
    """


@command()
def plan(
    issues: Numbers = None,
    as_json: bool = JSON,
    stack: bool = flag("Allow issues to start on their blocker's branch.", "--stack"),
    everything: bool = flag("List each issue, however many there are.", "--all", "-a"),
) -> None:
    """Show which issues are ready, and why the others are not.

    Each issue that is held back is listed with every reason; more than five that are held by the same become one
    line with their count. Overlaps are listed with the files. Nothing is changed, here or on GitHub.

    \b
    Examples:
      issue-orch plan
      issue-orch plan 123 124
      issue-orch plan --json | jq '.eligible[].number'
    """


@command(people=True)
def spawn(
    issues: Numbers = None,
    yes: bool = YES,
    reuse: bool = flag("Work on the branch although it exists already.", "--reuse"),
    agent: str | None = option("Use this agent instead of the configured one."),
    stack: bool = flag("Allow issues to start on their blocker's branch.", "--stack"),
    as_json: bool = JSON,
    pull: int | None = option("Take over the branch of this open pull.", "--pull"),
    branch: str | None = option("Take over this branch, with its open pull.", "--branch"),
) -> None:
    """Start a worker for each issue, in a worktree of its own.

    Without numbers it shows the plan, asks, and starts as many as there are free slots. It returns as soon as the
    agents run; they go on without it. Naming an issue is an approval of its text.

    \b
    Examples:
      issue-orch spawn
      issue-orch spawn 123 124
      issue-orch spawn 123 --pull 130    goes on with what somebody began, after their name was shown
      issue-orch spawn --yes
    """


@command()
def status(
    as_json: bool = JSON,
    needs_me: bool = flag("Only what needs you; exit code 1 when nothing.", "--needs-me"),
    watch: bool = flag("Refresh every two seconds, until Ctrl-C.", "--watch"),
    fetch: bool = flag("First look at the pulls on GitHub.", "--fetch", "-f"),
    verbose: bool = flag("Also what asking GitHub has cost.", "--verbose", "-v"),
) -> None:
    """List the sessions, those that need you first. Reads local files alone, unless told to --fetch.

    Up to nine sessions are listed with their details; from ten on it is a table with as many columns
    as fit (COLUMNS=160 widens it). [!] and warm colours want you, [*] and cool ones wait.

    \b
    Examples:
      issue-orch status
      issue-orch status --json | jq '.sessions[] | {id, headline}'
      issue-orch status --needs-me >/dev/null && echo 'an agent needs you'
    """


@command("commands.tui.watch", people=True)
def watch() -> None:
    """All sessions on one screen, kept current; answer from there.

    What needs you stands first. Beside the list: question, plan and timeline, the live log, the diff of the worktree, and
    why a session has its headline. Keys to answer (a number is that option), to go to the next question, to start a
    worker, to pause, resume, stop, cancel, prune, filter, to take a session over, and to open its worktree or its pull.

    Reads local files alone, reacts within a second, works from 60 columns on, over ssh and without colour. ? lists the
    keys.

    \b
    Examples:
      issue-orch watch
      NO_COLOR=1 issue-orch watch
    """


@command()
def show(here: Here = None, as_json: bool = JSON) -> None:
    """Everything about one session, and what to type next.

    Question with its options, plan, guidance with receipts, pull, changes, cost, and how long each phase took.

    \b
    Examples:
      issue-orch show 124
      issue-orch show 124 --json
    """


@command()
def path(here: Here = None) -> None:
    """Where the worktree of a session is, and nothing else.

    For scripts; the script of `issue-orch completion` has `iocd 124`, which goes there.

    \b
    Examples:
      cd "$(issue-orch path 124)"
      code "$(issue-orch path 124)"
    """


@command()
def open(
    here: Here = None,
    editor: bool = flag("The worktree in your editor.", "--editor", "-e"),
    pull: bool = flag("The pull in the browser.", "--pull", "-p"),
    issue: bool = flag("The issue in the browser.", "--issue", "-i"),
) -> None:
    """Open a session's pull or issue, or its worktree in the editor.

    Without a flag the pull, or the issue while there is no pull; the address is printed too. The editor is VISUAL,
    EDITOR or the core.editor of your own git configuration; that of the clone, where a worker can write, does not
    count.

    \b
    Examples:
      issue-orch open 124
      issue-orch open 124 --editor
    """


@command()
def diff(
    here: Here = None,
    stat: bool = flag("Files and counts of lines alone.", "--stat"),
) -> None:
    """What a session has changed, committed or not.

    Against the commit at which its branch left the base. With your own pager and colours of git; in a pipe it is
    a patch.

    \b
    Examples:
      issue-orch diff 124
      issue-orch diff 124 --stat
      issue-orch diff 124 | git apply --check
    """


@command()
def explain(here: Here = None, as_json: bool = JSON) -> None:
    """Why a session has its headline, and what would change it.

    The rules in the order in which they are asked, and the facts that they look at: status, report, question, worker and
    processes, holds, waits, pull, budget. Read from local files; nothing is asked or changed.

    \b
    Examples:
      issue-orch explain 124
      issue-orch explain 124 --json | jq '.explanation.facts[] | select(.decides)'
    """


@command(people=True)
def answer(
    issue: MaybeNumber = None,
    text: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="The answer.")] = None,
    option: int | None = option("Choose an option by its number.", "--option", "-o"),
) -> None:
    """Answer a stuck worker.

    Without arguments it goes through the open questions one by one. The number of an option is that option, - is
    what comes on stdin. The worker goes on at once, in the same conversation; the first answer to a question
    counts, later ones become guidance.

    \b
    Examples:
      issue-orch answer
      issue-orch answer 124 "Use sliding expiration"
      issue-orch answer 124 2
      issue-orch answer 124 --option 1 "and document it"
      issue-orch answer 124 - <notes.md
    """


@command(people=True)
def tell(
    issue: Number,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="The guidance.")],
    now: bool = flag("Interrupt the worker's turn for it.", "--now"),
) -> None:
    """Give guidance to a worker, at its next turn or now.

    \b
    Examples:
      issue-orch tell 123 "Keep the public API as it is"
      issue-orch tell 123 --now "Stop: do not touch the migrations"
    """


@command()
def logs(
    here: Here = None,
    follow: bool = flag("Go on until the worker ends.", "--follow", "-f"),
    raw: bool = flag("The agent's output as it came.", "--raw"),
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many lines at the most; 0 for all.")
    ] = 200,
) -> None:
    """What the agent said and did, and how long its tools took.

    Tokens and terminal escapes are taken out; --raw in a pipe gives the bytes as they came.

    \b
    Examples:
      issue-orch logs 123
      issue-orch logs 123 -f
      issue-orch logs 123 --raw -n 0 | jq .
    """


@command(people=True)
def attach(
    here: Here = None,
    now: bool = flag("Do not wait for the worker's turn to end.", "--now"),
) -> None:
    """Take a session over by hand, in the agent's own program.

    It runs in the session's worktree, with its conversation; when it ends, the session is given back.

    \b
    Examples:
      issue-orch attach 123
      issue-orch attach 123 --now
    """


@command(people=True)
def pause(issues: Numbers = None, all_: bool = ALL) -> None:
    """Let the current turn end, then hold.

    \b
    Examples:
      issue-orch pause 123
      issue-orch pause --all
    """


@command(people=True)
def resume(issues: Numbers = None, all_: bool = ALL) -> None:
    """Go on after a pause, a stop, a crash or a used-up budget.

    Also publishes again what could not be published, and gives a fresh set of attempts.

    \b
    Examples:
      issue-orch resume 123
      issue-orch resume --all
    """


@command(people=True)
def stop(issues: Numbers = None, all_: bool = ALL) -> None:
    """End the worker and everything that it started. The session and its work stay.

    \b
    Examples:
      issue-orch stop 123
      issue-orch stop --all
    """


@command(people=True)
def cancel(issues: Numbers = None, all_: bool = ALL) -> None:
    """Stop, and give the session up. The worktree stays until `prune --cancelled`, the branch also then.

    \b
    Examples:
      issue-orch cancel 123
    """


@command(people=True)
def run(
    once: bool = flag("One pass, for cron.", "--once"),
    until_idle: bool = flag("End when only you have something to do.", "--until-idle"),
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two passes.")] = 30.0,
    max_workers: Annotated[
        int | None, typer.Option(min=1, help="Instead of the configured number.")
    ] = None,
    verbose: bool = flag("Say why each issue is started or not.", "--verbose", "-v"),
    serialize: bool = flag("Hold what overlaps.", "--serialize-overlaps"),
    stack: bool = flag("Allow issues to start on their blocker's branch.", "--stack"),
) -> None:
    """Start what is ready and follow it up, until Ctrl-C.

    The workers go on without it.

    \b
    Examples:
      issue-orch run
      issue-orch run --max-workers 4 -v
      issue-orch run --once
    """


@command()
def costs(as_json: bool = JSON) -> None:
    """What was spent, by issue, agent and day.

    And how far the budget is used.

    \b
    Examples:
      issue-orch costs
      issue-orch costs --json | jq .total.usd
    """


@command()
def doctor(
    fix: bool = flag("Mend what is safe to mend.", "--fix"),
    dry_run: bool = flag("With --fix: only say what would be done.", "--dry-run"),
    as_json: bool = JSON,
) -> None:
    """Check everything that issue-orch needs, and say how to mend it.

    Git, sessions, processes, the token, branch protection, agents, disk and templates.

    \b
    Examples:
      issue-orch doctor
      issue-orch doctor --fix --dry-run
      issue-orch doctor --json | jq '.checks[] | select(.state != "ok")'
    """


@command(people=True)
def prune(
    issues: Numbers = None,
    dry_run: bool = flag("Say what would be removed.", "--dry-run"),
    pull: int | None = option("Only the session of this pull.", "--pr"),
    closed: bool = flag("Also where the pull was closed unmerged.", "--closed"),
    cancelled: bool = flag("Also cancelled sessions.", "--cancelled"),
    as_json: bool = JSON,
) -> None:
    """Remove the worktrees of merged pulls.

    Whatever is not safe on the remote is kept, and the reason is said. Remote branches are never removed.

    \b
    Examples:
      issue-orch prune
      issue-orch prune --dry-run
      issue-orch prune --cancelled
    """


@command()
def conflicts(as_json: bool = JSON) -> None:
    """Which branches would conflict, and which pull to review first.

    Each branch is tried against its base, and each pair against each other; nothing is merged.

    \b
    Examples:
      issue-orch conflicts
      issue-orch conflicts --json | jq '.sessions[].number'
    """


@command()
def completion(
    shell: Annotated[str | None, typer.Argument(help="bash, zsh or fish; else yours.")] = None,
) -> None:
    """Print the completion for your shell, with `iocd`, which goes into a worktree.

    It completes commands, options, and the issues that a command can act on, with their titles. Put the line below
    for your shell into ~/.bashrc, into ~/.zshrc after compinit, or into ~/.config/fish/config.fish.

    \b
    Examples:
      eval "$(issue-orch completion bash)"
      eval "$(issue-orch completion zsh)"
      issue-orch completion fish | source
    """


@app.command(context_settings=ANY_WORDS)
def merge() -> None:
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


@app.command(add_help_option=False, context_settings=ANY_WORDS)
def report() -> None:  # which __main__ runs
    """For workers: planning, working, stuck or complete.

    \b
    Examples:
      issue-orch report planning --plan plan.md --touches src/auth.py
      issue-orch report stuck --decision "Which?" --option A --option B
      issue-orch report complete --title "Add export button"
    """
