"""One plot per file. Copy adc_spectrum.py to start your own; base.py holds the contract."""
