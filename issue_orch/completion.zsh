#compdef issue-orch iocd
# issue-orch in zsh, after compinit: eval "$(issue-orch completion zsh)"
_issue_orch() {
    local -a rows typed
    local word about
    typed=("${(@)words[2,CURRENT]}")
    [[ ${words[1]} == iocd ]] && typed=(path "${(@)typed}")
    while IFS=$'\t' read -r word about; do
        rows+=("${word}${about:+:$about}")
    done < <(_ISSUE_ORCH_COMPLETE=1 command issue-orch "${(@)typed}" 2>/dev/null)
    _describe -V 'issue-orch' rows
}
compdef _issue_orch issue-orch iocd
# iocd 124: into the worktree of that session.
iocd() {
    local where
    where=$(command issue-orch path "$@") && cd -- "$where"
}
