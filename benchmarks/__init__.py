"""What Trackway promises about speed and memory, measured: ``make bench``."""
