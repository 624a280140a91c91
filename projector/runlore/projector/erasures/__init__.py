"""Erasures: what there is to erase, what may not be, and how it is done."""
