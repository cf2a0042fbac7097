"""What goes over the network: one HTTP client, and one policy that says how much it may be used."""
