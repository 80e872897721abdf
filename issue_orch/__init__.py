"""issue-orch: ready GitHub issues to pull requests, by coding agents, never merged by itself."""

__version__ = "0.1.0"
