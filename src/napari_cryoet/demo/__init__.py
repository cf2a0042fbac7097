"""The demo: a small simulated portal, generated locally from a seed, with known ground truth (`scenes`)."""
