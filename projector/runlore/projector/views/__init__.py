"""Views: their files, generations and fitness, rebuild and replay."""
