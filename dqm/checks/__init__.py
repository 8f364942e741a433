"""Rules that judge: good, suspect, bad or unknown, always with a reason."""
