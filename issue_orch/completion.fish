# issue-orch in fish: issue-orch completion fish | source
function __issue_orch
    env _ISSUE_ORCH_COMPLETE=1 issue-orch $argv (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
complete -c issue-orch -f -k -a '(__issue_orch)'
complete -c iocd -f -k -a '(__issue_orch path)'
# iocd 124: into the worktree of that session.
function iocd
    set -l where (command issue-orch path $argv); and cd $where
end
