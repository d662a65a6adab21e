"""Checks over source text that no general linter knows."""
