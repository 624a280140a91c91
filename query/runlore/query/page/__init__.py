"""Queries of the web page alone: small charts, thinned charts, the slider's stops, counts of kinds."""
