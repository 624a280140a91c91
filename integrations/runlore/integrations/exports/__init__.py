"""Documents about a model for other tools: CycloneDX ML-BOM, Hugging Face model card, in-toto provenance."""
