"""Runs and steps: what is open here, decorators, parameters, outputs, and what children inherit."""
