"""Runs and steps: open contexts, decorators, parameters, outputs, and inheritance by child processes."""
