"""One plot of each kind to start from; `larboard plots new` copies them."""
