"""How objects look: a stable colour and a diameter for each."""
