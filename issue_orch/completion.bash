# issue-orch in bash: eval "$(issue-orch completion bash)"
_issue_orch() {
    local IFS=$'\n' tab=$'\t' word row rows width=0
    rows=($(_ISSUE_ORCH_COMPLETE=1 "$1" "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    COMPREPLY=()
    for row in "${rows[@]}"; do
        word=${row%%"$tab"*}
        [ ${#word} -gt $width ] && width=${#word}
    done
    for row in "${rows[@]}"; do
        word=${row%%"$tab"*}
        # What it is stands behind it while it is only shown; what is inserted is the word alone.
        if [ ${#rows[@]} -gt 1 ] && [ "$COMP_TYPE" != 37 ] && [ -n "${row#*"$tab"}" ]; then
            printf -v word "%-${width}s  (%s)" "$word" "${row#*"$tab"}"
        fi
        COMPREPLY+=("$word")
    done
}
_iocd() {
    COMP_WORDS=(issue-orch path "${COMP_WORDS[@]:1}")
    COMP_CWORD=$((COMP_CWORD + 1))
    _issue_orch issue-orch
}
complete -o nosort -F _issue_orch issue-orch 2>/dev/null || complete -F _issue_orch issue-orch
complete -o nosort -F _iocd iocd 2>/dev/null || complete -F _iocd iocd
# iocd 124: into the worktree of that session.
iocd() {
    local where
    where=$(command issue-orch path "$@") && cd -- "$where"
}
