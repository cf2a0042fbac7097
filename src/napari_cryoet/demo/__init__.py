"""The demo: a small simulated portal, made on this computer from a seed, whose truth is known (`scenes`)."""
