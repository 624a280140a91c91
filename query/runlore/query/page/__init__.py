"""What only the web page asks: small charts, thinned charts, the slider's stops, counts of kinds."""
