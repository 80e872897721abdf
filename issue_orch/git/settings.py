"""What git's settings do, by pattern as `git help -c` writes them. What git knows and no row names counts as dangerous."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from ..process.run import run
from .run import environment

Kind = Literal["harmless", "runs", "elsewhere", "changes"]

# The first row that fits counts. All in lower case; a star stands for any text, dots included.
TABLE: tuple[tuple[Kind, str], ...] = (
    (
        "runs",
        "filter.* diff.external diff.*.command diff.*.textconv merge.*.driver core.sshcommand core.gitproxy core.askpass"
        " core.alternaterefs* gpg.program gpg.*.program gpg.*command lfs.extension.* lfs.customtransfer.*"
        " lfs.standalonetransferagent remote.*.receivepack remote.*.uploadpack remote.*.vcs"
        " uploadpack.packobjectshook submodule.*.update protocol.*allow init.templatedir",
    ),
    (
        "elsewhere",
        "core.worktree credential.* url.* http.* include.* includeif.* lfs.url lfs.pushurl extensions.partialclone"
        " remote.*.promisor remote.*.url remote.*.pushurl remote.*.proxy* trace2.* bundle.* fetch.bundle* safe.*"
        " remote.*.partialclonefilter submodule.*.url submodule.alternate*",
    ),
    (
        "changes",
        "core.usereplacerefs core.autocrlf core.eol core.safecrlf core.filemode core.symlinks core.ignorecase"
        " core.attributesfile core.excludesfile core.precomposeunicode core.checkroundtripencoding core.ignorestat"
        " merge.renormalize",
    ),
    # What our own git does not obey, or what no command of ours reads: people's own commands do.
    (
        "harmless",
        "add.* advice.* alias.* am.* apply.* author.* blame.* branch.* browser.* checkout.* clean.*"
        " clone.* color.* column.* commit.* commitgraph.* committer.* completion.* credentialcache.* credentialstore.* diff.*"
        " difftool.* extensions.objectformat extensions.worktreeconfig fastimport.* feature.* format.*"
        " fsck.* fsmonitor.* gc.* gitcvs.* gitweb.* gpg.*"
        " grep.* gui.* guitool.* help.* i18n.* imap.* index.* init.defaultbranch instaweb.* interactive.* log.* lsrefs.* mailinfo.*"
        " mailmap.* maintenance.* man.* mergetool.* notes.* pack.* pager.* pretty.* protocol.version pull.*"
        " rebase.* receive.* remote.*.fetch remote.*.prune* remote.*.skip* remote.*.tagopt remote.pushdefault"
        " remotes.* repack.* rerere.* revert.* sendemail.* sequence.* showbranch.* sparse.* splitindex.* ssh.variant"
        " stash.* status.* tag.* tar.* transfer.* uploadarchive.* uploadpack.* uploadpackfilter.* user.*"
        " versionsort.* web.* worktree.* remote.*.gh-resolved lfs.*"
        # Families in which a key to come may do more: by name.
        " core.abbrev core.bare core.bigfilethreshold core.checkstat core.commentchar core.commitgraph core.*compression"
        " core.createobject core.deltabasecachelimit core.editor core.filesreflocktimeout core.fsmonitor* core.fsync*"
        " core.hidedotfiles core.hookspath core.logallrefupdates core.multipackindex core.notesref core.packed*"
        " core.pager core.prefersymlinkrefs core.preloadindex core.protect* core.quotepath core.repositoryformatversion"
        " core.restrictinheritedhandles core.sharedrepository core.sparsecheckout* core.splitindex core.trustctime"
        " core.unsetenvvars core.untrackedcache core.warnambiguousrefs core.whitespace core.longpaths core.fscache"
        " fetch.fsck* fetch.negotiationalgorithm fetch.output fetch.parallel fetch.prune* fetch.recursesubmodules"
        " fetch.showforcedupdates fetch.unpacklimit fetch.writecommitgraph"
        " merge.autostash merge.branchdesc merge.conflictstyle merge.defaulttoupstream merge.directoryrenames merge.ff"
        " merge.guitool merge.log merge.*.name merge.*.recursive merge.rename* merge.stat merge.suppressdest merge.tool"
        " merge.verbosity merge.verifysignatures"
        " push.autosetupremote push.default push.negotiate push.usebitmaps push.useforceifincludes push.pushoption"
        " push.gpgsign push.recursesubmodules push.followtags remote.*.mirror remote.*.push"
        " submodule.*.active submodule.*.branch submodule.*.fetchrecursesubmodules submodule.*.ignore submodule.active"
        " submodule.fetchjobs submodule.propagatebranches submodule.recurse",
    ),
)
# Of the harmless ones these run in the commands of people, or say who commits: a change is told and holds nothing.
TOLD = (
    "core.hookspath core.editor core.pager core.fsmonitor pager.* alias.* sequence.editor"
    " user.* author.* committer.* commit.gpgsign"
)


def kind_of(key: str) -> Kind | None:
    """None when the table does not name it. Only section and variable are without case; rows match those."""
    return next((kind for kind, row in TABLE if fits(key, row)), None)


def fits(key: str, row: str) -> bool:
    return any(fnmatchcase(key.lower(), pattern) for pattern in row.split())


def is_held(key: str) -> bool:
    """Whether a change of it holds what reaches out of the clone."""
    kind = kind_of(key)
    return kind != "harmless" if kind else any(fits(key, each) for each in known())


@lru_cache
def known() -> tuple[str, ...]:
    """The keys of the installed git, as patterns, in lower case; asked only when a key is in no row."""
    lines = run("git", "help", "-c", env=environment()).stdout.splitlines()
    return tuple(
        re.sub(r"<[^>]*>", "*", line).lower() for line in lines if re.fullmatch(r"\S+\.\S+", line)
    )
